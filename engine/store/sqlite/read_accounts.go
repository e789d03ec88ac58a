package sqlite

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// Keys reads the signing keys of a service.
func (s *Store) Keys(ctx context.Context, service model.ID) (keys []model.Key, err error) {
	err = s.reads.query(ctx, func(r row) error {
		keys = append(keys, model.Key{
			Service: service, KID: r.text(0), Alg: r.text(1), Sealed: r.blob(2), NotBefore: r.int(3), ExpiresAt: r.int(4),
		})
		return nil
	}, `SELECT kid, alg, sealed, not_before, expires_at FROM keys WHERE service = ?1`, int64(service))
	return keys, err
}

// selectAccounts is read by scanAccount.
const selectAccounts = `SELECT id, name, key, subject, password_hash, disabled, created_at, claims FROM accounts WHERE service = ?1`

func scanAccount(r row, service model.ID) (model.Account, error) {
	a := model.Account{
		Service: service, ID: model.ID(r.int(0)), Name: r.text(1), Key: r.text(2), Subject: r.text(3),
		PasswordHash: r.text(4), Disabled: r.int(5) != 0, CreatedAt: r.int(6),
	}
	return a, column.Decode(r.text(7), &a.Claims)
}

// AccountByKey reads the account of a name's key.
func (s *Store) AccountByKey(ctx context.Context, service model.ID, key string) (a model.Account, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		a, err = scanAccount(r, service)
		return err
	}, selectAccounts+` AND key = ?2`, int64(service), key)
	return a, err
}

// AccountBySubject reads the account of a subject.
func (s *Store) AccountBySubject(ctx context.Context, service model.ID, subject string) (a model.Account, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		a, err = scanAccount(r, service)
		return err
	}, selectAccounts+` AND subject = ?2`, int64(service), subject)
	return a, err
}

// Accounts lists accounts by id.
func (s *Store) Accounts(ctx context.Context, service, after model.ID, limit int) (accounts []model.Account, err error) {
	err = s.reads.query(ctx, func(r row) error {
		a, err := scanAccount(r, service)
		accounts = append(accounts, a)
		return err
	}, selectAccounts+` AND id > ?2 ORDER BY id LIMIT ?3`, int64(service), int64(after), int64(max(limit, 0)))
	return accounts, err
}

// Session reads a sign-in session.
func (s *Store) Session(ctx context.Context, service, id model.ID) (session model.Session, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		session = model.Session{Service: service, ID: id, Subject: r.text(0), AuthTime: r.int(1), ExpiresAt: r.int(2)}
		if session.Hash, err = r.hash(3); err != nil {
			return err
		}
		return column.Decode(r.text(4), &session.AMR)
	}, `SELECT subject, auth_time, expires_at, hash, amr FROM sessions WHERE id = ?2 AND service = ?1`, int64(service), int64(id))
	return session, err
}

// SessionClients lists the clients that joined a session, by id.
func (s *Store) SessionClients(ctx context.Context, service, session model.ID) (clients []model.ID, err error) {
	err = s.reads.query(ctx, func(r row) error {
		clients = append(clients, model.ID(r.int(0)))
		return nil
	}, `SELECT client FROM session_clients WHERE service = ?1 AND session = ?2
		AND EXISTS (SELECT 1 FROM sessions WHERE id = ?2 AND service = ?1) ORDER BY client`, int64(service), int64(session))
	return clients, err
}

// selectConsents is read by scanConsent.
const selectConsents = `SELECT client, scopes, granted_at, claims FROM consents WHERE service = ?1 AND subject = ?2`

func scanConsent(r row, service model.ID, subject string) (model.Consent, error) {
	c := model.Consent{
		Service: service, Subject: subject, Client: model.ID(r.int(0)), Scopes: column.SplitWords(r.text(1)), GrantedAt: r.int(2),
	}
	return c, column.Decode(r.text(3), &c.Claims)
}

// Consent reads what a subject has allowed a client.
func (s *Store) Consent(ctx context.Context, service model.ID, subject string, client model.ID) (c model.Consent, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		c, err = scanConsent(r, service, subject)
		return err
	}, selectConsents+` AND client = ?3`, int64(service), subject, int64(client))
	return c, err
}

// Consents lists what a subject has allowed, by client id.
func (s *Store) Consents(ctx context.Context, service model.ID, subject string, limit int) (consents []model.Consent, err error) {
	err = s.reads.query(ctx, func(r row) error {
		c, err := scanConsent(r, service, subject)
		consents = append(consents, c)
		return err
	}, selectConsents+` ORDER BY client LIMIT ?3`, int64(service), subject, int64(max(limit, 0)))
	return consents, err
}
