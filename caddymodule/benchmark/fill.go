package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// fillStep is how many tokens are written in a transaction.
const fillStep = 10_000

// fill writes through the store, in large transactions.
func (l lite) fill(ctx context.Context, t tokens) error {
	return withStore(ctx, l, time.Now, func(st store.Store) error {
		for next := 0; next < t.n; {
			var steps []store.Step
			for ; next < t.n && len(steps) < fillStep; next++ {
				if next%tokensPerGrant == 0 {
					steps = append(steps, store.InsertGrant{Grant: model.Grant{
						Service: t.service, ID: t.grant(next), Client: t.client, Subject: t.subject(next), Scopes: []string{scope},
						AuthTime: t.from.Unix(), ExpiresAt: t.grantsUntil(),
					}})
				}
				steps = append(steps, store.InsertAccessToken{Token: model.AccessToken{
					Service: t.service, ID: t.id(next), Grant: t.grant(next), Hash: t.hash(next), ExpiresAt: t.expiresAt,
				}})
			}
			if err := st.Write(ctx, steps...); err != nil {
				return err
			}
		}
		return nil
	})
}

// size is the file's: the write-ahead log is in it when no store is open.
func (l lite) size(context.Context) (int64, error) {
	info, err := os.Stat(l.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (l lite) remove(context.Context) error { return os.RemoveAll(filepath.Dir(l.path)) }

// fill has the server make the rows. The partitions are the store's own: those
// that it makes ahead when it is opened at the time of the tokens. Vacuum comes
// before the measurement, as it would with the hours.
func (p pg) fill(ctx context.Context, t tokens) error {
	for at := t.from; at.Before(t.from.Add(t.over)); at = at.Add(time.Hour) {
		if err := withStore(ctx, p, func() time.Time { return at }, func(store.Store) error { return nil }); err != nil {
			return err
		}
	}
	subject := fmt.Sprintf(`'5be86359-073c-434b-ad2d-' || lpad((i * %d)::text, 12, '0')`, tokensPerGrant)
	if t.own {
		subject = `NULL`
	}
	first, grantStep := int64(t.id(0)), int64(t.step())*tokensPerGrant
	statements := []string{
		fmt.Sprintf(`INSERT INTO grants (id, service, client, session, auth_time, expires_at, subject, scopes)
			SELECT %d + i * %d, %d, %d, 0, %d, %d, %s, '%s' FROM generate_series(0::bigint, %d) i`,
			first, grantStep, t.service, t.client, t.from.Unix(), t.grantsUntil(), subject, scope, t.grants()-1),
		fmt.Sprintf(`INSERT INTO access_tokens (id, service, grant_id, expires_at, hash)
			SELECT %d + i * %d, %d, %d + i / %d * %d, %d, sha256(sha256(int8send(i))) FROM generate_series(0::bigint, %d) i`,
			first, t.step(), t.service, first, tokensPerGrant, grantStep, t.expiresAt, t.n-1),
		`VACUUM (ANALYZE) grants`, `VACUUM (ANALYZE) access_tokens`, `CHECKPOINT`,
	}
	return p.connected(ctx, func(conn *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// size is that of the tables with their indexes.
func (p pg) size(ctx context.Context) (size int64, err error) {
	err = p.connected(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_stat_user_tables`).Scan(&size)
	})
	return size, err
}

func (p pg) connected(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, p.dsn)
	if err != nil {
		return err
	}
	return errors.Join(f(conn), conn.Close(context.WithoutCancel(ctx)))
}

// withStore opens a store without a sweeper for as long as f takes.
func withStore(ctx context.Context, p place, now func() time.Time, f func(store.Store) error) error {
	st, err := p.open(ctx, now, -1)
	if err != nil {
		return err
	}
	return errors.Join(f(st), st.Close())
}

// filled fills a place with live tokens whose ids are of the time before now,
// and returns how many bytes it has grown by.
func filled(ctx context.Context, p place, n int, over time.Duration, expiresAt time.Time) (t tokens, grown int64, err error) {
	t = tokens{n: n, from: time.Now().Add(-over), over: over, expiresAt: expiresAt.Unix(), client: benchClient}
	err = withStore(ctx, p, func() time.Time { return t.from }, func(st store.Store) error {
		t.service, err = st.EnsureService(ctx, benchIssuer)
		return err
	})
	if err != nil {
		return t, 0, err
	}
	before, err := p.size(ctx)
	if err != nil {
		return t, 0, err
	}
	if err := p.fill(ctx, t); err != nil {
		return t, 0, fmt.Errorf("filling: %w", err)
	}
	after, err := p.size(ctx)
	return t, after - before, err
}
