package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// The server gives up on a node whose machine is gone within seconds, and goes
// along whole partitions for longer than other statements may take.
func TestLimitsOfASession(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	ctx := context.Background()
	show := func(conn interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}, name, want string) {
		t.Helper()
		var got string
		if err := conn.QueryRow(ctx, `SELECT current_setting($1)`, name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q: %v", name, got, want, err)
		}
	}
	must(t, h.exec(ctx, func(_ context.Context, conn *pgx.Conn) error {
		for name, want := range map[string]string{
			"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3", "tcp_user_timeout": "10000",
			"statement_timeout": "5s", "lock_timeout": "3s", "idle_in_transaction_session_timeout": "5s",
		} {
			show(conn, name, want)
		}
		return nil
	}))
	must(t, h.atLength(ctx, func(tx pgx.Tx) error {
		show(tx, "statement_timeout", "10min")
		return nil
	}))
	must(t, h.indexUnexpired(ctx, h.parts.list(accessTokens)[0], time.Now()))
	must(t, h.exec(ctx, func(_ context.Context, conn *pgx.Conn) error {
		show(conn, "statement_timeout", "5s")
		show(conn, "lock_timeout", "3s")
		return nil
	}))
}

// A setting under which commits are acknowledged before they are on disk counts for
// no connection, also when the server is given it while the connection is open.
// Others stay (PostgreSQL, §20.5.1).
func TestCommitsWait(t *testing.T) {
	server := pgtest.Start(t, "synchronous_commit=local")
	h := newHouse(t, Options{DSN: place(server)})
	pinned := func(s *Store, want string) {
		t.Helper()
		must(t, s.exec(context.Background(), func(ctx context.Context, conn *pgx.Conn) error {
			var got string
			err := conn.QueryRow(ctx, `SELECT current_setting('synchronous_commit')`).Scan(&got)
			if got != want {
				t.Errorf("commits wait for %s, want %s", got, want)
			}
			return err
		}))
	}
	pinned(h.Store, "local")
	server.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")
	conn := h.connect(t)
	await(t, "the reload", func() bool {
		var got string
		must(t, conn.QueryRow(context.Background(), `SELECT setting FROM pg_file_settings WHERE name = 'synchronous_commit' AND applied`).Scan(&got))
		return got == "off"
	})
	pinned(h.Store, "local")
	pinned(open(t, Options{DSN: h.opts.DSN, SweepInterval: -1}), "on")
}

// givenUp is a context that ends after some looks at it.
type givenUp struct {
	context.Context
	looks atomic.Int32
}

func (g *givenUp) Err() error {
	if g.looks.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// What its caller has given up is not done when a batch is tried again.
func TestGivenUpBeforeTheRepeat(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	part := h.parts.find(accessTokens, currentID(time.Now()))
	_, err := h.connect(t).Exec(context.Background(), `DROP TABLE `+part.name) // the first attempt fails
	must(t, err)
	ctx := &givenUp{Context: context.Background()}
	ctx.looks.Store(2) // Write's and the first attempt's
	id := part.from + 5
	token := store.InsertAccessToken{Token: model.AccessToken{Service: h.service, ID: id, Grant: h.grant, JWT: true, ExpiresAt: 1 << 40}}
	if err := h.Write(ctx, token); !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v", err)
	}
	if h.has(t, id) {
		t.Error("it was done all the same")
	}
	must(t, h.Write(context.Background(), token))
}

// An answer that leaves open what was committed is never taken for a refusal
// (CockroachDB, 40003), nor is one with which the session ends: what a server wrote
// before it panicked, it may find in its log.
func TestOpenOutcomes(t *testing.T) {
	for severity, codes := range map[string]map[string]bool{
		"ERROR": {"40003": true, "08006": true, "57P01": true, "40001": false, "23505": false, "42P01": false, "53100": false},
		"FATAL": {"57P01": true, "25P03": true},
		"PANIC": {"58030": true, "53100": true},
	} {
		for code, open := range codes {
			err := fmt.Errorf("at the commit: %w", &pgconn.PgError{SeverityUnlocalized: severity, Code: code})
			if isLost(err) != open {
				t.Errorf("%s %s: lost = %v", severity, code, isLost(err))
			}
		}
	}
}
