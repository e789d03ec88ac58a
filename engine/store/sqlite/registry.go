package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

const (
	selectService = `SELECT id FROM services WHERE issuer = ?1`
	selectClient  = `SELECT id FROM clients WHERE service = ?1 AND alias = ?2`
)

// insertService makes a service, unless one of that name is being loaded.
const insertService = `INSERT INTO services (issuer)
	SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM services WHERE issuer = '` + store.Unfinished + `' || ?1) ON CONFLICT DO NOTHING`

// EnsureService returns the id of an issuer. store.ErrUnfinished: it is being loaded.
func (s *Store) EnsureService(ctx context.Context, issuer string) (id model.ID, err error) {
	if issuer == "" {
		return 0, fmt.Errorf("a service without an issuer: %w", column.ErrMalformed)
	}
	err = s.reads.one(ctx, func(r row) error {
		id = model.ID(r.int(0))
		return nil
	}, selectService, issuer)
	if !errors.Is(err, store.ErrNotFound) {
		return id, err
	}
	var made model.ID
	err = s.writer.do(ctx, nil, func(t *tx) error {
		if _, err := t.exec(insertService, issuer); err != nil {
			return err
		}
		return t.query(func(r row) error {
			made = model.ID(r.int(0))
			return nil
		}, selectService, issuer)
	})
	if err != nil {
		return 0, err
	}
	if made == 0 {
		return 0, store.ErrUnfinished
	}
	return made, nil
}

// EnsureClients returns the ids of a service's clients by alias.
func (s *Store) EnsureClients(ctx context.Context, service model.ID, aliases []string) (map[string]model.ID, error) {
	ids := make(map[string]model.ID, len(aliases))
	var missing []string
	for _, alias := range aliases {
		if alias == "" {
			return nil, fmt.Errorf("a client without an alias: %w", column.ErrMalformed)
		}
		err := s.reads.one(ctx, func(r row) error {
			ids[alias] = model.ID(r.int(0))
			return nil
		}, selectClient, int64(service), alias)
		if errors.Is(err, store.ErrNotFound) {
			missing = append(missing, alias)
		} else if err != nil {
			return nil, err
		}
	}
	if len(missing) == 0 {
		return ids, nil
	}
	made := make(map[string]model.ID, len(missing))
	err := s.writer.do(ctx, nil, func(t *tx) error {
		for _, alias := range missing {
			if _, err := t.exec(`INSERT INTO clients (service, alias) VALUES (?1, ?2) ON CONFLICT DO NOTHING`, int64(service), alias); err != nil {
				return err
			}
			err := t.query(func(r row) error {
				made[alias] = model.ID(r.int(0))
				return nil
			}, selectClient, int64(service), alias)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for alias, id := range made {
		ids[alias] = id
	}
	return ids, nil
}
