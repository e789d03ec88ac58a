package sqlite

import (
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// isOutcome reports whether an error is the answer to a step, rather than a
// failure of the database.
func isOutcome(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) ||
		errors.Is(err, store.ErrSpent) || errors.Is(err, column.ErrMalformed)
}

// needsSavepoint reports whether a step may fail after something has been
// changed. Every step but InsertFirstKeys and InsertClient, which insert more
// than one row, fails, if it fails, before it has changed anything, so the
// first of a unit leaves nothing behind; and some never fail.
func needsSavepoint(steps []store.Step) bool {
	for i, step := range steps {
		switch step.(type) {
		case store.InsertFirstKeys, store.InsertClient:
			return true
		case store.RevokeGrant, store.RevokeAccessToken, store.EndSession:
		default:
			if i > 0 {
				return true
			}
		}
	}
	return false
}

// step applies one step.
func (t *tx) step(step store.Step) error {
	switch s := step.(type) {
	case store.InsertAccessToken:
		return t.insertAccessToken(&s.Token)
	case store.InsertRefreshToken:
		return t.insertRefreshToken(&s.Token)
	case store.RotateRefreshToken:
		return t.rotateRefreshToken(s)
	case store.RenewAccessToken:
		return t.renewAccessToken(s)
	case store.RevokeAccessToken:
		return t.revokeAccessToken(s.Service, s.ID)
	case store.KeepAccessToken:
		return t.keepAccessToken(s)
	case store.InsertGrant:
		return t.insertGrant(&s.Grant)
	case store.ExtendGrant:
		return t.extendGrant(s)
	case store.RevokeGrant:
		return t.revokeGrant(s)
	case store.RevokeGrants:
		return t.revokeGrants(s)
	case store.InsertHandle:
		return t.insertHandle(&s.Handle)
	case store.RedeemHandle:
		return t.redeemHandle(s)
	case store.UseOnce:
		return t.useOnce(s)

	case store.InsertSession:
		return t.insertSession(&s.Session)
	case store.RenewSession:
		return t.renewSession(&s.Session)
	case store.JoinSession:
		return t.joinSession(s)
	case store.ExpectClients:
		return t.expectClients(s)
	case store.EndSession:
		return t.endSession(s)
	case store.DeleteSessions:
		return t.deleteSessions(s)

	case store.PutConsent:
		return t.putConsent(&s.Consent)
	case store.DeleteConsent:
		return t.deleteConsent(s)
	case store.InsertAccount:
		return t.insertAccount(&s.Account)
	case store.PutAccount:
		return t.putAccount(&s.Account)
	case store.SetPassword:
		return t.setPassword(s)
	case store.SetDisabled:
		return t.setDisabled(s)

	case store.InsertClient:
		return t.insertClient(&s.Client, s.Most)
	case store.UpdateClient:
		return t.updateClient(&s.Client)
	case store.DeleteClient:
		return t.deleteClient(s)

	case store.InsertKey:
		return t.insertKey(s.Key)
	case store.RetireKeys:
		return t.retireKeys(s)
	case store.InsertFirstKeys:
		return t.insertFirstKeys(s)
	case store.InsertSecret:
		return t.insertSecret(s)
	case store.ResealSecret:
		return t.resealSecret(s)
	case store.ResealKey:
		return t.resealKey(s)
	}
	return fmt.Errorf("a step of type %T: %w", step, column.ErrMalformed)
}

// insert runs an INSERT that a taken key stops.
func (t *tx) insert(id model.ID, query string, args ...any) error {
	if id <= 0 {
		return fmt.Errorf("an id that is not positive: %w", column.ErrMalformed)
	}
	_, err := t.exec(query, args...)
	return conflict(err)
}

// conflict names the error of a taken key.
func conflict(err error) error {
	if isConflict(err) {
		return store.ErrConflict
	}
	return err
}

// require runs a statement and returns missing when it changed no row.
func (t *tx) require(missing error, query string, args ...any) error {
	n, err := t.affected(query, args...)
	if err == nil && n == 0 {
		return missing
	}
	return conflict(err)
}

func (t *tx) insertGrant(g *model.Grant) error {
	claims, err := column.Claims(&g.Claims)
	if err != nil {
		return err
	}
	return t.insert(g.ID, `INSERT INTO grants (service, id, client, subject, scopes, session, auth_time, expires_at, claims)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`,
		int64(g.Service), int64(g.ID), int64(g.Client), column.OrNull(g.Subject), column.JoinWords(g.Scopes), int64(g.Session),
		g.AuthTime, g.ExpiresAt, claims)
}

func (t *tx) extendGrant(s store.ExtendGrant) error {
	only, found := model.ID(0), false
	err := t.query(func(r row) error {
		only, found = model.ID(r.int(0)), true
		return nil
	}, `UPDATE grants SET expires_at = max(expires_at, ?3) WHERE id = ?2 AND service = ?1 RETURNING only_access`,
		int64(s.Service), int64(s.ID), s.Until)
	if err != nil {
		return err
	}
	if !found {
		return store.ErrNotFound
	}
	if only == 0 || s.Access == 0 || s.Access == only {
		return nil
	}
	err = t.tellGrants(s.Service, `SELECT grant_id FROM access_tokens WHERE id = ?3 AND service = ?1 AND grant_id = ?2`,
		int64(s.Service), int64(s.ID), int64(only))
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE grants SET only_access = ?3 WHERE id = ?2 AND service = ?1`,
		int64(s.Service), int64(s.ID), int64(s.Access))
	return err
}

func (t *tx) revokeGrant(s store.RevokeGrant) error {
	n, err := t.affected(`DELETE FROM grants WHERE id = ?2 AND service = ?1`, int64(s.Service), int64(s.ID))
	if err != nil || n == 0 {
		return err
	}
	return t.tell(model.Change{Service: s.Service, Kind: model.ChangeGrantRevoked, Ref: s.ID})
}

func (t *tx) revokeGrants(s store.RevokeGrants) error {
	change := model.Change{Service: s.Service, Kind: model.ChangeSubjectRevoked, Subject: s.Subject}
	var err error
	switch {
	case s.Subject != "" && s.Client != 0:
		_, err = t.exec(`DELETE FROM grants WHERE service = ?1 AND subject = ?2 AND client = ?3`,
			int64(s.Service), s.Subject, int64(s.Client))
	case s.Subject != "":
		_, err = t.exec(`DELETE FROM grants WHERE service = ?1 AND subject = ?2`, int64(s.Service), s.Subject)
	case s.Client != 0:
		change = model.Change{Service: s.Service, Kind: model.ChangeClientRevoked, Ref: s.Client}
		_, err = t.exec(`DELETE FROM grants WHERE service = ?1 AND client = ?2`, int64(s.Service), int64(s.Client))
	default:
		return fmt.Errorf("revoking grants of neither a subject nor a client: %w", column.ErrMalformed)
	}
	if err != nil {
		return err
	}
	return t.tell(change)
}

func (t *tx) insertAccessToken(a *model.AccessToken) error {
	if a.ID <= 0 {
		return fmt.Errorf("an id that is not positive: %w", column.ErrMalformed)
	}
	var hash, scopes, resources any
	if !a.JWT {
		hash = a.Hash[:]
	}
	if a.Scopes != nil {
		scopes = column.JoinWords(a.Scopes)
	}
	if a.Resources != nil { // none is not "the grant's"
		var err error
		if resources, err = column.JSON(a.Resources); err != nil {
			return err
		}
	}
	return t.require(store.ErrNotFound, `INSERT INTO access_tokens (service, id, grant_id, expires_at, hash, scopes, resources, jkt, x5t)
		SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE EXISTS (SELECT 1 FROM grants WHERE id = ?3 AND service = ?1)`,
		int64(a.Service), int64(a.ID), int64(a.Grant), a.ExpiresAt, hash, scopes, resources,
		column.Thumbprint(a.Confirmation.JKT), column.Thumbprint(a.Confirmation.X5T))
}

func (t *tx) revokeAccessToken(service, id model.ID) error {
	n, err := t.affected(`DELETE FROM access_tokens WHERE id = ?2 AND service = ?1`, int64(service), int64(id))
	if err != nil || n == 0 {
		return err
	}
	return t.tell(model.Change{Service: service, Kind: model.ChangeTokenRevoked, Ref: id})
}

// ofSubject is the condition for the grants of a subject at a client.
const ofSubject = ` service = ?1 AND subject = ?2 AND client = ?3`

// keepAccessToken names the one access token that counts in each grant: the
// others end without being looked for. It tells of a grant in which any token
// counted, the new token's own among them, and of one in which the token that
// counted is there; the other grants had none that counted.
func (t *tx) keepAccessToken(s store.KeepAccessToken) error {
	if s.Subject == "" || s.Client == 0 || s.Access <= 0 {
		return fmt.Errorf("keeping an access token without naming it, a subject and a client: %w", column.ErrMalformed)
	}
	err := t.tellGrants(s.Service, `SELECT id FROM grants WHERE`+ofSubject+` AND (only_access = 0
		OR EXISTS (SELECT 1 FROM access_tokens a WHERE a.id = grants.only_access AND a.service = ?1 AND a.grant_id = grants.id))`,
		int64(s.Service), s.Subject, int64(s.Client))
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE grants SET only_access = ?4 WHERE`+ofSubject,
		int64(s.Service), s.Subject, int64(s.Client), int64(s.Access))
	return err
}

// tellGrants tells of each grant whose id a statement returns that it, or
// tokens below it, ended.
func (t *tx) tellGrants(service model.ID, query string, args ...any) error {
	var ids []model.ID
	err := t.query(func(r row) error {
		ids = append(ids, model.ID(r.int(0)))
		return nil
	}, query, args...)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.tell(model.Change{Service: service, Kind: model.ChangeGrantRevoked, Ref: id}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) insertRefreshToken(r *model.RefreshToken) error {
	if r.ID <= 0 {
		return fmt.Errorf("an id that is not positive: %w", column.ErrMalformed)
	}
	return t.require(store.ErrNotFound, `INSERT INTO refresh_tokens (service, id, grant_id, expires_at, access, successor, hash, jkt, x5t)
		SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE EXISTS (SELECT 1 FROM grants WHERE id = ?3 AND service = ?1)`,
		int64(r.Service), int64(r.ID), int64(r.Grant), r.ExpiresAt, int64(r.Access), int64(r.Successor), r.Hash[:],
		column.Thumbprint(r.Confirmation.JKT), column.Thumbprint(r.Confirmation.X5T))
}

// usable is the condition under which a refresh token can be used: ?1 is the
// service, ?2 its id, ?3 the time.
const usable = ` service = ?1 AND id = ?2 AND successor = 0 AND expires_at > ?3
	AND EXISTS (SELECT 1 FROM grants g WHERE g.id = refresh_tokens.grant_id AND g.service = ?1)`

func (t *tx) rotateRefreshToken(s store.RotateRefreshToken) error {
	if s.Successor <= 0 {
		return fmt.Errorf("a refresh token without a successor: %w", column.ErrMalformed)
	}
	access, rotated := model.ID(0), false
	err := t.query(func(r row) error {
		access, rotated = model.ID(r.int(0)), true
		return nil
	}, `UPDATE refresh_tokens SET successor = ?4 WHERE`+usable+` RETURNING access`,
		int64(s.Service), int64(s.ID), s.Now, int64(s.Successor))
	if err != nil {
		return err
	}
	if !rotated {
		return store.ErrSpent
	}
	return t.revokeAccessToken(s.Service, access)
}

func (t *tx) renewAccessToken(s store.RenewAccessToken) error {
	args := []any{int64(s.Service), int64(s.ID), s.Now, int64(s.Access)}
	revoked := model.ID(0)
	err := t.query(func(r row) error {
		revoked = model.ID(r.int(0))
		return nil
	}, `DELETE FROM access_tokens WHERE service = ?1
		AND id = (SELECT access FROM refresh_tokens WHERE`+usable+` AND access <> ?4) RETURNING id`, args...)
	if err != nil {
		return err
	}
	err = t.require(store.ErrSpent, `UPDATE refresh_tokens
		SET access = ?4, expires_at = CASE ?5 WHEN 0 THEN expires_at ELSE ?5 END WHERE`+usable, append(args, s.Until)...)
	if err != nil || revoked == 0 {
		return err
	}
	return t.tell(model.Change{Service: s.Service, Kind: model.ChangeTokenRevoked, Ref: revoked})
}

func (t *tx) insertHandle(h *model.Handle) error {
	if len(h.Payload) > model.MaxHandlePayload {
		return fmt.Errorf("a payload of %d bytes: %w", len(h.Payload), column.ErrMalformed)
	}
	return t.insert(h.ID, `INSERT INTO handles (service, id, kind, grant_id, expires_at, redeemed, hash, payload)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`,
		int64(h.Service), int64(h.ID), int64(h.Kind), int64(h.Grant), h.ExpiresAt, h.Redeemed, h.Hash[:], column.BytesOrNull(h.Payload))
}

func (t *tx) redeemHandle(s store.RedeemHandle) error {
	return t.require(store.ErrSpent, `UPDATE handles SET redeemed = 1, expires_at = max(expires_at, ?5)
		WHERE id = ?2 AND service = ?1 AND kind = ?3 AND redeemed = 0 AND expires_at > ?4
		AND (grant_id = 0 OR EXISTS (SELECT 1 FROM grants g WHERE g.id = handles.grant_id AND g.service = ?1))`,
		int64(s.Service), int64(s.ID), int64(s.Kind), s.Now, s.Keep)
}

func (t *tx) useOnce(s store.UseOnce) error {
	return t.require(store.ErrSpent, `INSERT INTO used_values (service, digest, expires_at) VALUES (?1, ?2, ?4)
		ON CONFLICT (service, digest) DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at <= ?3`,
		int64(s.Service), s.Digest[:], s.Now, s.ExpiresAt)
}
