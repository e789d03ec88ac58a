package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

const (
	selectService = `SELECT id FROM services WHERE issuer = $1`
	selectClient  = `SELECT id FROM clients WHERE service = $1 AND alias = $2`
)

// insertService makes a service, unless one of that name is being loaded.
const insertService = `INSERT INTO services (issuer)
	SELECT $1::text WHERE NOT EXISTS (SELECT 1 FROM services WHERE issuer = '` + store.Unfinished + `' || $1::text) ON CONFLICT DO NOTHING`

// EnsureService returns the id of an issuer. store.ErrUnfinished: it is being loaded.
func (s *Store) EnsureService(ctx context.Context, issuer string) (id model.ID, err error) {
	if issuer == "" {
		return 0, fmt.Errorf("a service without an issuer: %w", column.ErrMalformed)
	}
	id, err = s.ensure(ctx, selectService, insertService, issuer)
	if errors.Is(err, store.ErrNotFound) {
		err = store.ErrUnfinished
	}
	return id, err
}

// EnsureClients returns the ids of a service's clients by alias.
func (s *Store) EnsureClients(ctx context.Context, service model.ID, aliases []string) (map[string]model.ID, error) {
	ids := make(map[string]model.ID, len(aliases))
	for _, alias := range aliases {
		if alias == "" {
			return nil, fmt.Errorf("a client without an alias: %w", column.ErrMalformed)
		}
		id, err := s.ensure(ctx, selectClient, `INSERT INTO clients (service, alias) VALUES ($1, $2) ON CONFLICT DO NOTHING`, int64(service), alias)
		if err != nil {
			return nil, err
		}
		ids[alias] = id
	}
	return ids, ctx.Err()
}

// ensure reads an id, and makes its row first when there is none.
func (s *Store) ensure(ctx context.Context, look, make string, args ...any) (model.ID, error) {
	for made := false; ; made = true {
		r, err := s.reads.one(ctx, look, args...)
		if err == nil {
			return model.ID(r.Int(0)), nil
		}
		if made || !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		err = s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, make, args...)
			return outcome(err)
		})
		if err != nil {
			return 0, err
		}
	}
}

// Lease takes or renews a lease, by the database's clock.
func (s *Store) Lease(ctx context.Context, name, holder string, d time.Duration) (held bool, err error) {
	err = s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, `INSERT INTO leases (name, holder, until)
			SELECT $1::text, $2::text, n.now + $3::bigint FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) n
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE leases.holder = excluded.holder OR leases.until <= excluded.until - $3::bigint`, name, holder, d.Milliseconds())
		held = err == nil && tag.RowsAffected() > 0
		return err
	})
	return held, err
}

// Renew extends a lease that has had no other holder since, by the database's
// clock.
func (s *Store) Renew(ctx context.Context, name, holder string, d time.Duration) (held bool, err error) {
	err = s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, `UPDATE leases SET until = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $3::bigint
			WHERE name = $1 AND holder = $2`, name, holder, d.Milliseconds())
		held = err == nil && tag.RowsAffected() > 0
		return err
	})
	return held, err
}
