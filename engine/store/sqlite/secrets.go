package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// secretStep applies the steps for what is sealed under the master key.
func (t *tx) secretStep(step store.Step) error {
	switch s := step.(type) {
	case store.InsertSecret:
		_, err := t.exec(`INSERT INTO secrets (service, name, sealed) VALUES (?1, ?2, ?3)`, int64(s.Service), s.Name, notNull(s.Sealed))
		return conflict(err)
	case store.ResealSecret:
		return t.require(store.ErrConflict, `UPDATE secrets SET sealed = ?4 WHERE service = ?1 AND name = ?2 AND sealed = ?3`,
			int64(s.Service), s.Name, notNull(s.Was), notNull(s.Sealed))
	case store.ResealKey:
		err := t.require(store.ErrConflict, `UPDATE keys SET sealed = ?4 WHERE service = ?1 AND kid = ?2 AND sealed = ?3`,
			int64(s.Service), s.KID, notNull(s.Was), notNull(s.Sealed))
		if err != nil {
			return err
		}
		return t.tell(model.Change{Service: s.Service, Kind: model.ChangeKeys})
	}
	return fmt.Errorf("a step of type %T: %w", step, errMalformed)
}

// Secret reads a sealed value.
func (s *Store) Secret(ctx context.Context, service model.ID, name string) (sealed []byte, err error) {
	err = s.reads.one(ctx, func(r row) error {
		sealed = r.blob(0)
		return nil
	}, `SELECT sealed FROM secrets WHERE service = ?1 AND name = ?2`, int64(service), name)
	return sealed, err
}

// Lease takes or renews a lease, by the clock that the store was given.
func (s *Store) Lease(ctx context.Context, name, holder string, d time.Duration) (held bool, err error) {
	now := s.opts.Now().UnixMilli()
	var taken int64
	err = s.writer.do(ctx, nil, func(t *tx) (err error) {
		taken, err = t.affected(`INSERT INTO leases (name, holder, until) VALUES (?1, ?2, ?4)
			ON CONFLICT (name) DO UPDATE SET holder = ?2, until = ?4 WHERE holder = ?2 OR until <= ?3`,
			name, holder, now, now+d.Milliseconds())
		return err
	})
	return err == nil && taken > 0, err
}
