package sqlite

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

func (t *tx) insertSecret(s store.InsertSecret) error {
	_, err := t.exec(`INSERT INTO secrets (service, name, sealed) VALUES (?1, ?2, ?3)`, int64(s.Service), s.Name, column.NotNull(s.Sealed))
	return conflict(err)
}

func (t *tx) resealSecret(s store.ResealSecret) error {
	return t.reseal(s.Service, `UPDATE secrets SET sealed = ?4 WHERE service = ?1 AND name = ?2 AND sealed = ?3`,
		int64(s.Service), s.Name, column.NotNull(s.Was), column.NotNull(s.Sealed))
}

func (t *tx) resealKey(s store.ResealKey) error {
	return t.reseal(s.Service, `UPDATE keys SET sealed = ?4 WHERE service = ?1 AND kid = ?2 AND sealed = ?3`,
		int64(s.Service), s.KID, column.NotNull(s.Was), column.NotNull(s.Sealed))
}

// reseal runs a statement that changes a sealed value, and tells of it.
func (t *tx) reseal(service model.ID, query string, args ...any) error {
	if err := t.require(store.ErrConflict, query, args...); err != nil {
		return err
	}
	return t.tell(model.Change{Service: service, Kind: model.ChangeKeys})
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

// Renew extends a lease that has had no other holder since.
func (s *Store) Renew(ctx context.Context, name, holder string, d time.Duration) (held bool, err error) {
	until := s.opts.Now().UnixMilli() + d.Milliseconds()
	var renewed int64
	err = s.writer.do(ctx, nil, func(t *tx) (err error) {
		renewed, err = t.affected(`UPDATE leases SET until = ?3 WHERE name = ?1 AND holder = ?2`, name, holder, until)
		return err
	})
	return err == nil && renewed > 0, err
}
