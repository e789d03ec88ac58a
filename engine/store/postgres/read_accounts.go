package postgres

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// Keys reads the signing keys of a service.
func (s *Store) Keys(ctx context.Context, service model.ID) ([]model.Key, error) {
	return list(ctx, s, func(r row) (model.Key, error) {
		return model.Key{Service: service, KID: r.Text(0), Alg: r.Text(1), Sealed: r.Blob(2), NotBefore: r.Int(3), ExpiresAt: r.Int(4)}, nil
	}, `SELECT kid, alg, sealed, not_before, expires_at FROM keys WHERE service = $1`, int64(service))
}

// Secret reads a sealed value.
func (s *Store) Secret(ctx context.Context, service model.ID, name string) ([]byte, error) {
	r, err := s.reads.one(ctx, `SELECT sealed FROM secrets WHERE service = $1 AND name = $2`, int64(service), name)
	if err != nil {
		return nil, err
	}
	return r.Blob(0), nil
}

// selectAccounts is read by scanAccount.
const selectAccounts = `SELECT id, name, key, subject, password_hash, disabled, created_at, claims FROM accounts WHERE service = $1`

func scanAccount(service model.ID) func(row) (model.Account, error) {
	return func(r row) (model.Account, error) {
		a := model.Account{
			Service: service, ID: model.ID(r.Int(0)), Name: r.Text(1), Key: r.Text(2), Subject: r.Text(3),
			PasswordHash: r.Text(4), Disabled: r.Bool(5), CreatedAt: r.Int(6),
		}
		return a, column.Decode(r.Text(7), &a.Claims)
	}
}

func (s *Store) account(ctx context.Context, service model.ID, condition, value string) (a model.Account, err error) {
	r, err := s.reads.one(ctx, selectAccounts+condition, int64(service), value)
	if err != nil {
		return a, err
	}
	return scanAccount(service)(r)
}

// AccountByKey reads the account of a name's key.
func (s *Store) AccountByKey(ctx context.Context, service model.ID, key string) (model.Account, error) {
	return s.account(ctx, service, ` AND key = $2`, key)
}

// AccountBySubject reads the account of a subject.
func (s *Store) AccountBySubject(ctx context.Context, service model.ID, subject string) (model.Account, error) {
	return s.account(ctx, service, ` AND subject = $2`, subject)
}

// Accounts lists accounts by id.
func (s *Store) Accounts(ctx context.Context, service, after model.ID, limit int) ([]model.Account, error) {
	return list(ctx, s, scanAccount(service), selectAccounts+` AND id > $2 ORDER BY id LIMIT $3`, int64(service), int64(after), int64(max(limit, 0)))
}

// Session reads a sign-in session.
func (s *Store) Session(ctx context.Context, service, id model.ID) (session model.Session, err error) {
	r, err := s.reads.one(ctx, `SELECT subject, auth_time, expires_at, hash, amr FROM sessions WHERE id = $2 AND service = $1`, int64(service), int64(id))
	if err != nil {
		return session, err
	}
	session = model.Session{Service: service, ID: id, Subject: r.Text(0), AuthTime: r.Int(1), ExpiresAt: r.Int(2)}
	if session.Hash, err = r.hash(3); err != nil {
		return session, err
	}
	return session, column.Decode(r.Text(4), &session.AMR)
}

// SessionClients lists the clients that joined a session, by id.
func (s *Store) SessionClients(ctx context.Context, service, session model.ID) ([]model.ID, error) {
	return list(ctx, s, func(r row) (model.ID, error) { return model.ID(r.Int(0)), nil },
		`SELECT client FROM session_clients WHERE service = $1 AND session = $2
		AND EXISTS (SELECT 1 FROM sessions WHERE id = $2 AND service = $1) ORDER BY client`, int64(service), int64(session))
}

// selectConsents is read by scanConsent.
const selectConsents = `SELECT client, scopes, granted_at, claims FROM consents WHERE service = $1 AND subject = $2`

func scanConsent(service model.ID, subject string) func(row) (model.Consent, error) {
	return func(r row) (model.Consent, error) {
		c := model.Consent{
			Service: service, Subject: subject, Client: model.ID(r.Int(0)), Scopes: column.SplitWords(r.Text(1)), GrantedAt: r.Int(2),
		}
		return c, column.Decode(r.Text(3), &c.Claims)
	}
}

// Consent reads what a subject has allowed a client.
func (s *Store) Consent(ctx context.Context, service model.ID, subject string, client model.ID) (c model.Consent, err error) {
	r, err := s.reads.one(ctx, selectConsents+` AND client = $3`, int64(service), subject, int64(client))
	if err != nil {
		return c, err
	}
	return scanConsent(service, subject)(r)
}

// Consents lists what a subject has allowed, by client id.
func (s *Store) Consents(ctx context.Context, service model.ID, subject string, limit int) ([]model.Consent, error) {
	return list(ctx, s, scanConsent(service, subject), selectConsents+` ORDER BY client LIMIT $3`, int64(service), subject, int64(max(limit, 0)))
}

// selectStoredClient is read by scanStoredClient.
const selectStoredClient = `SELECT c.id, c.alias, s.developer, s.settings, s.sealed, s.token_hash, s.created_at, s.modified_at, s.version
	FROM clients c JOIN stored_clients s ON s.id = c.id WHERE c.service = $1 AND s.service = $1`

func scanStoredClient(r row, service model.ID) (model.StoredClient, error) {
	c := model.StoredClient{
		Service: service, ID: model.ID(r.Int(0)), Alias: r.Text(1), Developer: r.Text(2), Settings: r.Blob(3), Sealed: r.Blob(4),
		CreatedAt: r.Int(6), ModifiedAt: r.Int(7), Version: r.Int(8),
	}
	var err error
	c.TokenHash, err = r.hash(5)
	return c, err
}

// StoredClient reads a client that was registered at run time.
func (s *Store) StoredClient(ctx context.Context, service, id model.ID) (c model.StoredClient, err error) {
	r, err := s.reads.one(ctx, selectStoredClient+` AND c.id = $2`, int64(service), int64(id))
	if err != nil {
		return c, err
	}
	return scanStoredClient(r, service)
}

// StoredClientByAlias reads a client that was registered at run time.
func (s *Store) StoredClientByAlias(ctx context.Context, service model.ID, alias string) (c model.StoredClient, err error) {
	r, err := s.reads.one(ctx, selectStoredClient+` AND c.alias = $2`, int64(service), alias)
	if err != nil {
		return c, err
	}
	return scanStoredClient(r, service)
}
