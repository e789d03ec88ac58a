package postgres

import (
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// accountStep plans the steps for accounts.
func (p *planner) accountStep(step store.Step) error {
	switch s := step.(type) {
	case store.InsertAccount:
		return p.insertAccount(&s.Account, ``)
	case store.PutAccount:
		return p.insertAccount(&s.Account, ` ON CONFLICT (service, subject) DO UPDATE SET name = excluded.name, key = excluded.key, claims = excluded.claims`)
	case store.SetPassword:
		p.each(store.ErrNotFound, tellAccount(s.Service), `UPDATE accounts SET password_hash = $3 WHERE id = $2 AND service = $1 RETURNING subject`,
			int64(s.Service), int64(s.ID), s.Hash)
	case store.SetDisabled:
		p.each(store.ErrNotFound, tellAccount(s.Service), `UPDATE accounts SET disabled = $3 WHERE id = $2 AND service = $1 RETURNING subject`,
			int64(s.Service), int64(s.ID), s.Disabled)
	default:
		return p.keyStep(step)
	}
	return nil
}

func (p *planner) insertAccount(a *model.Account, onConflict string) error {
	claims, err := column.Map(a.Claims)
	if err != nil {
		return err
	}
	p.add(nil, `INSERT INTO accounts (service, id, name, key, subject, password_hash, claims, disabled, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`+onConflict,
		int64(a.Service), int64(a.ID), a.Name, a.Key, a.Subject, a.PasswordHash, claims, a.Disabled, a.CreatedAt)
	p.tell(model.Change{Service: a.Service, Kind: model.ChangeAccount, Subject: a.Subject})
	return positive(a.ID)
}

// tellAccount tells of the account whose subject a statement returns.
func tellAccount(service model.ID) func(*outcomes, row) {
	return func(o *outcomes, r row) {
		o.tell(model.Change{Service: service, Kind: model.ChangeAccount, Subject: r.Text(0)})
	}
}

// keyStep plans the steps for keys and secrets.
func (p *planner) keyStep(step store.Step) error {
	switch s := step.(type) {
	case store.InsertKey:
		p.insertKey(&s.Key, ``)
		p.tellKeys(s.Key.Service)
	case store.RetireKeys:
		p.add(nil, `UPDATE keys SET expires_at = $4 WHERE service = $1 AND alg = $2 AND kid <> $3 AND expires_at = 0`,
			int64(s.Service), s.Alg, s.Except, s.ExpiresAt)
		p.tellKeys(s.Service)
	case store.InsertFirstKeys:
		p.insertFirstKeys(s)
	case store.InsertSecret:
		p.add(nil, `INSERT INTO secrets (service, name, sealed) VALUES ($1, $2, $3)`, int64(s.Service), s.Name, column.NotNull(s.Sealed))
	case store.ResealSecret:
		p.add(store.ErrConflict, `UPDATE secrets SET sealed = $4 WHERE service = $1 AND name = $2 AND sealed = $3`,
			int64(s.Service), s.Name, column.NotNull(s.Was), column.NotNull(s.Sealed))
		p.tellKeys(s.Service)
	case store.ResealKey:
		p.add(store.ErrConflict, `UPDATE keys SET sealed = $4 WHERE service = $1 AND kid = $2 AND sealed = $3`,
			int64(s.Service), s.KID, column.NotNull(s.Was), column.NotNull(s.Sealed))
		p.tellKeys(s.Service)
	default:
		return p.clientStep(step)
	}
	return nil
}

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
const lockService = `SELECT id FROM services WHERE id = $1 FOR UPDATE`

func (p *planner) insertFirstKeys(s store.InsertFirstKeys) {
	p.add(nil, lockService, int64(s.Service))
	for i := range s.Keys {
		condition := ``
		if i == 0 {
			condition = ` WHERE NOT EXISTS (SELECT 1 FROM keys WHERE service = $1)`
		}
		p.insertKey(&s.Keys[i], condition)
	}
	p.tellKeys(s.Service)
}
