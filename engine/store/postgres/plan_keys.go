package postgres

import (
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

func (p *planner) tellKeys(service model.ID) {
	p.tell(model.Change{Service: service, Kind: model.ChangeKeys})
}

func (p *planner) insertKey(k *model.Key, condition string) {
	var missing error
	if condition != `` {
		missing = store.ErrConflict
	}
	p.add(missing, `INSERT INTO keys (service, kid, alg, sealed, not_before, expires_at)
		SELECT $1::bigint, $2::text, $3::text, $4::bytea, $5::bigint, $6::bigint`+condition,
		int64(k.Service), k.KID, k.Alg, column.NotNull(k.Sealed), k.NotBefore, k.ExpiresAt)
}

// lockService lets one transaction at a time decide by what a service has.
func (p *planner) lockService(id model.ID) {
	p.shared = -id
	p.add(nil, `SELECT id FROM services WHERE id = $1 FOR UPDATE`, int64(id))
}

func (p *planner) insertFirstKeys(s store.InsertFirstKeys) {
	p.lockService(s.Service)
	for i := range s.Keys {
		condition := ``
		if i == 0 {
			condition = ` WHERE NOT EXISTS (SELECT 1 FROM keys WHERE service = $1)`
		}
		p.insertKey(&s.Keys[i], condition)
	}
	p.tellKeys(s.Service)
}

func (p *planner) retireKeys(s store.RetireKeys) {
	p.add(nil, `UPDATE keys SET expires_at = $4 WHERE service = $1 AND alg = $2 AND kid <> $3 AND expires_at = 0`,
		int64(s.Service), s.Alg, s.Except, s.ExpiresAt)
	p.tellKeys(s.Service)
}

func (p *planner) insertSecret(s store.InsertSecret) {
	p.add(nil, `INSERT INTO secrets (service, name, sealed) VALUES ($1, $2, $3)`, int64(s.Service), s.Name, column.NotNull(s.Sealed))
}

func (p *planner) resealSecret(s store.ResealSecret) {
	p.add(store.ErrConflict, `UPDATE secrets SET sealed = $4 WHERE service = $1 AND name = $2 AND sealed = $3`,
		int64(s.Service), s.Name, column.NotNull(s.Was), column.NotNull(s.Sealed))
	p.tellKeys(s.Service)
}

func (p *planner) resealKey(s store.ResealKey) {
	p.add(store.ErrConflict, `UPDATE keys SET sealed = $4 WHERE service = $1 AND kid = $2 AND sealed = $3`,
		int64(s.Service), s.KID, column.NotNull(s.Was), column.NotNull(s.Sealed))
	p.tellKeys(s.Service)
}
