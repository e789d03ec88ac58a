package postgres

import (
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

func (p *planner) insertGrant(g *model.Grant) error {
	claims, err := column.Claims(&g.Claims)
	if err != nil {
		return err
	}
	p.add(nil, `INSERT INTO grants (service, id, client, subject, scopes, session, auth_time, expires_at, claims)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		int64(g.Service), int64(g.ID), int64(g.Client), column.OrNull(g.Subject), column.JoinWords(g.Scopes), int64(g.Session),
		g.AuthTime, g.ExpiresAt, claims)
	return positive(g.ID)
}

// extendGrant locks the grant, and writes it only when something changes: most
// refreshes move nothing. The token that counted is looked for under the lock.
func (p *planner) extendGrant(s store.ExtendGrant) {
	row := func(o *outcomes, r row) {
		if was := model.ID(r.Int(0)); s.Access != 0 && was != 0 && was != s.Access {
			o.then = append(o.then, statement{
				sql:  p.parts.sql(accessTokens, was, `SELECT grant_id FROM access_tokens WHERE id = $2 AND service = $1 AND grant_id = $3`),
				args: []any{int64(s.Service), int64(was), int64(s.ID)},
				row:  tellGrants(s.Service),
			})
		}
	}
	p.each(store.ErrNotFound, row, `WITH g AS (SELECT id, only_access, expires_at FROM grants WHERE id = $2 AND service = $1 FOR UPDATE),
		u AS (UPDATE grants SET expires_at = greatest(g.expires_at, $3),
			only_access = CASE WHEN g.only_access = 0 OR $4::bigint = 0 THEN g.only_access ELSE $4::bigint END
			FROM g WHERE grants.id = g.id AND (g.expires_at < $3 OR g.only_access <> 0 AND $4::bigint NOT IN (0, g.only_access)))
		SELECT only_access FROM g`, int64(s.Service), int64(s.ID), s.Until, int64(s.Access))
}

func (p *planner) revokeGrant(s store.RevokeGrant) {
	p.each(nil, tellGrants(s.Service), `DELETE FROM grants WHERE id = $2 AND service = $1 RETURNING id`, int64(s.Service), int64(s.ID))
}

func (p *planner) revokeGrants(s store.RevokeGrants) error {
	change := model.Change{Service: s.Service, Kind: model.ChangeSubjectRevoked, Subject: s.Subject}
	switch {
	case s.Subject != "" && s.Client != 0:
		p.add(nil, `DELETE FROM grants WHERE`+ofSubject, int64(s.Service), s.Subject, int64(s.Client))
	case s.Subject != "":
		p.add(nil, `DELETE FROM grants WHERE service = $1 AND subject = $2`, int64(s.Service), s.Subject)
	case s.Client != 0:
		change = model.Change{Service: s.Service, Kind: model.ChangeClientRevoked, Ref: s.Client}
		p.add(errMany, endClient, int64(s.Service), int64(s.Client), mostGrants)
	default:
		return fmt.Errorf("revoking grants of neither a subject nor a client: %w", column.ErrMalformed)
	}
	p.tell(change)
	return nil
}

// ifGranted, like every EXISTS here, ends in OFFSET 0: the server then asks it
// for each row, by its key, instead of joining with all that a service has.
//
// ifGranted is the condition under which a token is inserted: $1 is the
// service, $3 the grant.
const ifGranted = ` WHERE EXISTS (SELECT 1 FROM grants WHERE id = $3 AND service = $1 OFFSET 0)`

func (p *planner) insertAccessToken(a *model.AccessToken) error {
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
	p.names = append(p.names, a.ID)
	p.add(store.ErrNotFound, p.parts.sql(accessTokens, a.ID, `INSERT INTO access_tokens (service, id, grant_id, expires_at, hash, scopes, resources, jkt, x5t)
		SELECT $1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::bytea, $6::text, $7::text, $8::bytea, $9::bytea`+ifGranted),
		int64(a.Service), int64(a.ID), int64(a.Grant), a.ExpiresAt, hash, scopes, resources,
		column.Thumbprint(a.Confirmation.JKT), column.Thumbprint(a.Confirmation.X5T))
	return positive(a.ID)
}

func (p *planner) revokeAccessToken(service, id model.ID) {
	p.list = append(p.list, p.deleteAccessToken(service, id))
}

func (p *planner) deleteAccessToken(service, id model.ID) statement {
	return statement{
		sql:  p.parts.sql(accessTokens, id, `DELETE FROM access_tokens WHERE id = $2 AND service = $1 RETURNING id`),
		args: []any{int64(service), int64(id)},
		row: func(o *outcomes, _ row) {
			o.tell(model.Change{Service: service, Kind: model.ChangeTokenRevoked, Ref: id})
		},
	}
}

// ofSubject is the condition for the grants of a subject at a client.
const ofSubject = ` service = $1 AND subject = $2 AND client = $3`

// keepAccessToken names the one access token that counts in each grant: the
// others end without being looked for. Two that do it at once for one client
// take turns, by the client's row: neither would see the other's new grant. A
// refresh under way has its grant's row, and is waited for: its token ends too.
// It tells of a grant in which any token counted, the new token's own among
// them, and of one in which the token that counted is there; the other grants
// had none that counted.
func (p *planner) keepAccessToken(s store.KeepAccessToken) error {
	if s.Subject == "" || s.Client == 0 || s.Access <= 0 {
		return fmt.Errorf("keeping an access token without naming it, a subject and a client: %w", column.ErrMalformed)
	}
	p.names, p.shared = append(p.names, s.Access), s.Client
	p.add(nil, `SELECT id FROM clients WHERE id = $1 FOR UPDATE`, int64(s.Client))
	p.add(nil, `SELECT id FROM grants WHERE`+ofSubject+` ORDER BY id FOR UPDATE`, int64(s.Service), s.Subject, int64(s.Client))
	p.each(nil, tellGrants(s.Service), `WITH kept AS (UPDATE grants SET only_access = $4 WHERE`+ofSubject+`)
		SELECT id FROM grants WHERE`+ofSubject+` AND (only_access = 0
		OR EXISTS (SELECT 1 FROM access_tokens a WHERE a.id = grants.only_access AND a.service = $1 AND a.grant_id = grants.id OFFSET 0))`,
		int64(s.Service), s.Subject, int64(s.Client), int64(s.Access))
	return nil
}

func (p *planner) insertRefreshToken(r *model.RefreshToken) error {
	p.add(store.ErrNotFound, p.parts.sql(refreshTokens, r.ID, `INSERT INTO refresh_tokens (service, id, grant_id, expires_at, access, successor, hash, jkt, x5t)
		SELECT $1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::bigint, $7::bytea, $8::bytea, $9::bytea`+ifGranted),
		int64(r.Service), int64(r.ID), int64(r.Grant), r.ExpiresAt, int64(r.Access), int64(r.Successor), r.Hash[:],
		column.Thumbprint(r.Confirmation.JKT), column.Thumbprint(r.Confirmation.X5T))
	return positive(r.ID)
}

// usable is the condition under which a refresh token t can be used: $1 is the
// service, $2 its id, $3 the time.
const usable = ` t.service = $1 AND t.id = $2 AND t.successor = 0 AND t.expires_at > $3
	AND EXISTS (SELECT 1 FROM grants g WHERE g.id = t.grant_id AND g.service = $1 OFFSET 0)`

func (p *planner) rotateRefreshToken(s store.RotateRefreshToken) error {
	if s.Successor <= 0 {
		return fmt.Errorf("a refresh token without a successor: %w", column.ErrMalformed)
	}
	if p.trusts && s.Was != 0 {
		p.add(store.ErrSpent, p.parts.sql(refreshTokens, s.ID, `UPDATE refresh_tokens t SET successor = $4 WHERE`+usable+` AND t.access = $5`),
			int64(s.Service), int64(s.ID), s.Now, int64(s.Successor), int64(s.Was))
		p.revokeAccessToken(s.Service, s.Was)
		return nil
	}
	p.each(store.ErrSpent, p.endCoupled(s.Service, 0),
		p.parts.sql(refreshTokens, s.ID, `UPDATE refresh_tokens t SET successor = $4 WHERE`+usable+` RETURNING t.access`),
		int64(s.Service), int64(s.ID), s.Now, int64(s.Successor))
	return nil
}

// renewAccessToken reads which access token was coupled under the row's lock:
// of many renewals at once, each ends the one before it.
func (p *planner) renewAccessToken(s store.RenewAccessToken) {
	if p.trusts && s.Was != 0 && s.Was != s.Access {
		p.add(store.ErrSpent, p.parts.sql(refreshTokens, s.ID, `UPDATE refresh_tokens t SET access = $4, expires_at = CASE WHEN $5::bigint = 0 THEN expires_at ELSE $5::bigint END
			WHERE`+usable+` AND t.access = $6`), int64(s.Service), int64(s.ID), s.Now, int64(s.Access), s.Until, int64(s.Was))
		p.revokeAccessToken(s.Service, s.Was)
		return
	}
	p.each(store.ErrSpent, p.endCoupled(s.Service, s.Access), p.parts.sql(refreshTokens, s.ID, `WITH was AS (SELECT t.access FROM refresh_tokens t WHERE`+usable+` FOR UPDATE)
		UPDATE refresh_tokens SET access = $4, expires_at = CASE WHEN $5::bigint = 0 THEN expires_at ELSE $5::bigint END
		FROM was WHERE id = $2 AND service = $1 RETURNING was.access`),
		int64(s.Service), int64(s.ID), s.Now, int64(s.Access), s.Until)
}

// endCoupled ends the access token that a statement returns, unless it is the
// one given.
func (p *planner) endCoupled(service, keep model.ID) func(*outcomes, row) {
	return func(o *outcomes, r row) {
		if access := model.ID(r.Int(0)); access != 0 && access != keep {
			o.then = append(o.then, p.deleteAccessToken(service, access))
		}
	}
}

// ends reports whether statements that wait touch a token that the steps name.
// Then the order counts in which they run.
func (p *planner) ends(then []statement) bool {
	return slices.ContainsFunc(then, func(s statement) bool {
		return slices.Contains(p.names, model.ID(s.args[1].(int64)))
	})
}

func (p *planner) insertHandle(h *model.Handle) error {
	if len(h.Payload) > model.MaxHandlePayload {
		return fmt.Errorf("a payload of %d bytes: %w", len(h.Payload), column.ErrMalformed)
	}
	p.add(nil, p.parts.sql(handles, h.ID, `INSERT INTO handles (service, id, kind, grant_id, expires_at, redeemed, hash, payload)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`),
		int64(h.Service), int64(h.ID), int64(h.Kind), int64(h.Grant), h.ExpiresAt, h.Redeemed, h.Hash[:], column.BytesOrNull(h.Payload))
	return positive(h.ID)
}

func (p *planner) redeemHandle(s store.RedeemHandle) {
	p.add(store.ErrSpent, p.parts.sql(handles, s.ID, `UPDATE handles t SET redeemed = true, expires_at = greatest(expires_at, $5)
		WHERE id = $2 AND service = $1 AND kind = $3 AND NOT redeemed AND expires_at > $4
		AND (grant_id = 0 OR EXISTS (SELECT 1 FROM grants g WHERE g.id = t.grant_id AND g.service = $1 OFFSET 0))`),
		int64(s.Service), int64(s.ID), int64(s.Kind), s.Now, s.Keep)
}

func (p *planner) useOnce(s store.UseOnce) {
	p.add(store.ErrSpent, `INSERT INTO used_values (service, digest, expires_at) VALUES ($1, $2, $4)
		ON CONFLICT (service, digest) DO UPDATE SET expires_at = excluded.expires_at WHERE used_values.expires_at <= $3`,
		int64(s.Service), s.Digest[:], s.Now, s.ExpiresAt)
}
