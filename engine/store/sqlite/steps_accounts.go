package sqlite

import (
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

func (t *tx) putConsent(c *model.Consent) error {
	claims, err := column.List(c.Claims)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT OR REPLACE INTO consents (service, subject, client, scopes, claims, granted_at)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6)`,
		int64(c.Service), c.Subject, int64(c.Client), column.OrNull(column.JoinWords(c.Scopes)), claims, c.GrantedAt)
	return err
}

func (t *tx) deleteConsent(s store.DeleteConsent) error {
	_, err := t.exec(`DELETE FROM consents WHERE service = ?1 AND subject = ?2 AND client = ?3`, int64(s.Service), s.Subject, int64(s.Client))
	return err
}

func (t *tx) insertAccount(a *model.Account) error {
	claims, err := column.Map(a.Claims)
	if err != nil {
		return err
	}
	err = t.insert(a.ID, `INSERT INTO accounts (service, id, name, key, subject, password_hash, claims, disabled, created_at)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`,
		int64(a.Service), int64(a.ID), a.Name, a.Key, a.Subject, a.PasswordHash, claims, a.Disabled, a.CreatedAt)
	if err != nil {
		return err
	}
	return t.tell(model.Change{Service: a.Service, Kind: model.ChangeAccount, Subject: a.Subject})
}

func (t *tx) putAccount(a *model.Account) error {
	claims, err := column.Map(a.Claims)
	if err != nil {
		return err
	}
	err = t.insert(a.ID, `INSERT INTO accounts (service, id, name, key, subject, password_hash, claims, disabled, created_at)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
		ON CONFLICT (service, subject) DO UPDATE SET name = ?3, key = ?4, claims = ?7`,
		int64(a.Service), int64(a.ID), a.Name, a.Key, a.Subject, a.PasswordHash, claims, a.Disabled, a.CreatedAt)
	if err != nil {
		return err
	}
	return t.tell(model.Change{Service: a.Service, Kind: model.ChangeAccount, Subject: a.Subject})
}

func (t *tx) setPassword(s store.SetPassword) error {
	return t.updateAccount(s.Service, `UPDATE accounts SET password_hash = ?3 WHERE id = ?2 AND service = ?1 RETURNING subject`,
		int64(s.Service), int64(s.ID), s.Hash)
}

func (t *tx) setDisabled(s store.SetDisabled) error {
	return t.updateAccount(s.Service, `UPDATE accounts SET disabled = ?3 WHERE id = ?2 AND service = ?1 RETURNING subject`,
		int64(s.Service), int64(s.ID), s.Disabled)
}

// updateAccount runs an UPDATE that returns the subject.
func (t *tx) updateAccount(service model.ID, query string, args ...any) error {
	subject, found := "", false
	err := t.query(func(r row) error {
		subject, found = r.text(0), true
		return nil
	}, query, args...)
	if err != nil {
		return err
	}
	if !found {
		return store.ErrNotFound
	}
	return t.tell(model.Change{Service: service, Kind: model.ChangeAccount, Subject: subject})
}

func (t *tx) insertKey(k model.Key) error {
	_, err := t.exec(`INSERT INTO keys (service, kid, alg, sealed, not_before, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)`,
		int64(k.Service), k.KID, k.Alg, column.NotNull(k.Sealed), k.NotBefore, k.ExpiresAt)
	if err != nil {
		return conflict(err)
	}
	return t.tell(model.Change{Service: k.Service, Kind: model.ChangeKeys})
}

func (t *tx) retireKeys(s store.RetireKeys) error {
	_, err := t.exec(`UPDATE keys SET expires_at = ?4 WHERE service = ?1 AND alg = ?2 AND kid <> ?3 AND expires_at = 0`,
		int64(s.Service), s.Alg, s.Except, s.ExpiresAt)
	if err != nil {
		return err
	}
	return t.tell(model.Change{Service: s.Service, Kind: model.ChangeKeys})
}

func (t *tx) insertFirstKeys(s store.InsertFirstKeys) error {
	for i, k := range s.Keys {
		condition := ``
		if i == 0 {
			condition = ` WHERE NOT EXISTS (SELECT 1 FROM keys WHERE service = ?1)`
		}
		err := t.require(store.ErrConflict, `INSERT INTO keys (service, kid, alg, sealed, not_before, expires_at)
			SELECT ?1, ?2, ?3, ?4, ?5, ?6`+condition,
			int64(s.Service), k.KID, k.Alg, column.NotNull(k.Sealed), k.NotBefore, k.ExpiresAt)
		if err != nil {
			return err
		}
	}
	return t.tell(model.Change{Service: s.Service, Kind: model.ChangeKeys})
}
