package postgres

import (
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

func (p *planner) putConsent(c *model.Consent) error {
	claims, err := column.List(c.Claims)
	if err != nil {
		return err
	}
	p.add(nil, `INSERT INTO consents (service, subject, client, scopes, claims, granted_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (service, subject, client) DO UPDATE SET scopes = excluded.scopes, claims = excluded.claims, granted_at = excluded.granted_at`,
		int64(c.Service), c.Subject, int64(c.Client), column.OrNull(column.JoinWords(c.Scopes)), claims, c.GrantedAt)
	return nil
}

func (p *planner) deleteConsent(s store.DeleteConsent) {
	p.add(nil, `DELETE FROM consents WHERE service = $1 AND subject = $2 AND client = $3`, int64(s.Service), s.Subject, int64(s.Client))
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

func (p *planner) setPassword(s store.SetPassword) {
	p.each(store.ErrNotFound, tellAccount(s.Service), `UPDATE accounts SET password_hash = $3 WHERE id = $2 AND service = $1 RETURNING subject`,
		int64(s.Service), int64(s.ID), s.Hash)
}

func (p *planner) setDisabled(s store.SetDisabled) {
	p.each(store.ErrNotFound, tellAccount(s.Service), `UPDATE accounts SET disabled = $3 WHERE id = $2 AND service = $1 RETURNING subject`,
		int64(s.Service), int64(s.ID), s.Disabled)
}

// tellAccount tells of the account whose subject a statement returns.
func tellAccount(service model.ID) func(*outcomes, row) {
	return func(o *outcomes, r row) {
		o.tell(model.Change{Service: service, Kind: model.ChangeAccount, Subject: r.Text(0)})
	}
}
