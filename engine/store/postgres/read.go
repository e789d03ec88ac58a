package postgres

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// grantColumns is read by scanGrant.
const grantColumns = `g.client, g.subject, g.scopes, g.session, g.auth_time, g.expires_at, g.claims`

// itsGrant joins a token t with its grant g. OFFSET 0 keeps the server from
// joining with all grants of a service: it looks this one up by its key.
const itsGrant = ` CROSS JOIN LATERAL (SELECT * FROM grants WHERE grants.id = t.grant_id AND grants.service = t.service OFFSET 0) g`

// scanGrant reads grantColumns from the column given on.
func scanGrant(r row, at int, service, id model.ID) (model.Grant, error) {
	g := model.Grant{
		Service: service, ID: id, Client: model.ID(r.Int(at)), Subject: r.Text(at + 1), Scopes: column.SplitWords(r.Text(at + 2)),
		Session: model.ID(r.Int(at + 3)), AuthTime: r.Int(at + 4), ExpiresAt: r.Int(at + 5),
	}
	return g, column.Decode(r.Text(at+6), &g.Claims)
}

// scanConfirmation reads jkt and x5t from the column given on.
func scanConfirmation(r row, at int) (c model.Confirmation, err error) {
	if r[at] != nil {
		if c.JKT, err = r.hash(at); err != nil {
			return c, err
		}
	}
	if r[at+1] != nil {
		c.X5T, err = r.hash(at + 1)
	}
	return c, err
}

// Grant reads a grant.
func (s *Store) Grant(ctx context.Context, service, id model.ID) (g model.Grant, err error) {
	r, err := s.reads.one(ctx, `SELECT `+grantColumns+` FROM grants g WHERE g.id = $2 AND g.service = $1`, int64(service), int64(id))
	if err != nil {
		return g, err
	}
	return scanGrant(r, 0, service, id)
}

// lookup is a question about the row of an id, and the same about many: $1 are
// their services and $2 their ids, and the number of each comes before its row.
type lookup struct{ one, many string }

var (
	lookAccessToken  = accessTokenLookup(``, ``)
	lookInTheReplica = accessTokenLookup(`f.last, `, `(SELECT last FROM feed WHERE id = 1) f CROSS JOIN `) // the end of the feed first
)

func accessTokenLookup(column, source string) lookup {
	const columns = `t.grant_id, t.expires_at, t.hash, t.scopes, t.resources, t.jkt, t.x5t, ` + grantColumns
	return lookup{
		one: `SELECT ` + column + columns + ` FROM ` + source + `access_tokens t` + itsGrant + `
			WHERE t.id = $2 AND t.service = $1 AND g.only_access IN (0, $2)`,
		many: `SELECT u.place, ` + column + columns + ` FROM ` + source + `unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS u (service, id, place)
			JOIN access_tokens t ON t.id = u.id AND t.service = u.service` + itsGrant + ` WHERE g.only_access IN (0, t.id)`,
	}
}

// AccessToken reads an access token and its grant. One that does not count is
// not found.
func (s *Store) AccessToken(ctx context.Context, service, id model.ID) (a model.AccessToken, g model.Grant, err error) {
	r, err := s.accessTokenRow(ctx, service, id)
	if err != nil {
		return a, g, err
	}
	a = model.AccessToken{Service: service, ID: id, Grant: model.ID(r.Int(0)), ExpiresAt: r.Int(1), JWT: r[2] == nil}
	if !a.JWT {
		if a.Hash, err = r.hash(2); err != nil {
			return a, g, err
		}
	}
	if r[3] != nil {
		if a.Scopes = column.SplitWords(r.Text(3)); a.Scopes == nil {
			a.Scopes = []string{}
		}
	}
	if err := column.Decode(r.Text(4), &a.Resources); err != nil {
		return a, g, err
	}
	if a.Confirmation, err = scanConfirmation(r, 5); err != nil {
		return a, g, err
	}
	g, err = scanGrant(r, 7, service, a.Grant)
	return a, g, err
}

// RefreshToken reads a refresh token and its grant.
func (s *Store) RefreshToken(ctx context.Context, service, id model.ID) (t model.RefreshToken, g model.Grant, err error) {
	r, err := s.reads.of(ctx, refreshTokens, id, lookup{one: `SELECT t.grant_id, t.expires_at, t.access, t.successor, t.hash, t.jkt, t.x5t, ` + grantColumns + `
		FROM refresh_tokens t` + itsGrant + ` WHERE t.id = $2 AND t.service = $1`}, int64(service), int64(id))
	if err != nil {
		return t, g, err
	}
	t = model.RefreshToken{
		Service: service, ID: id, Grant: model.ID(r.Int(0)), ExpiresAt: r.Int(1),
		Access: model.ID(r.Int(2)), Successor: model.ID(r.Int(3)),
	}
	if t.Hash, err = r.hash(4); err != nil {
		return t, g, err
	}
	if t.Confirmation, err = scanConfirmation(r, 5); err != nil {
		return t, g, err
	}
	g, err = scanGrant(r, 7, service, t.Grant)
	return t, g, err
}

// Handle reads a one-time handle. A code whose grant is gone is not found.
func (s *Store) Handle(ctx context.Context, service model.ID, kind model.HandleKind, id model.ID) (h model.Handle, err error) {
	r, err := s.reads.of(ctx, handles, id, lookup{one: `SELECT grant_id, expires_at, redeemed, hash, payload FROM handles t
		WHERE id = $2 AND service = $1 AND kind = $3
		AND (grant_id = 0 OR EXISTS (SELECT 1 FROM grants g WHERE g.id = t.grant_id AND g.service = $1 OFFSET 0))`},
		int64(service), int64(id), int64(kind))
	if err != nil {
		return h, err
	}
	h = model.Handle{
		Service: service, ID: id, Kind: kind, Grant: model.ID(r.Int(0)), ExpiresAt: r.Int(1), Redeemed: r.Bool(2), Payload: r.Blob(4),
	}
	h.Hash, err = r.hash(3)
	return h, err
}

// LogoutHandles lists handles of the kind HandleLogout that have not been
// redeemed. The kind stands in the statement, as it does in the index.
func (s *Store) LogoutHandles(ctx context.Context, service, after model.ID, limit int) ([]model.Handle, error) {
	return list(ctx, s, func(r row) (model.Handle, error) {
		hash, err := r.hash(3)
		return model.Handle{
			Service: service, ID: model.ID(r.Int(0)), Kind: model.HandleLogout, Grant: model.ID(r.Int(1)), ExpiresAt: r.Int(2),
			Hash: hash, Payload: r.Blob(4),
		}, err
	}, `SELECT id, grant_id, expires_at, hash, payload FROM handles
		WHERE kind = 5 AND NOT redeemed AND service = $1 AND id > $2 ORDER BY id LIMIT $3`, int64(service), int64(after), int64(max(limit, 0)))
}

// list makes values of the rows of a query.
func list[T any](ctx context.Context, s *Store, scan func(row) (T, error), sql string, args ...any) (values []T, err error) {
	if !storable(args) {
		return nil, ctx.Err()
	}
	rows, err := s.reads.query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		v, err := scan(r)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}
