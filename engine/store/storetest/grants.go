package storetest

import (
	"context"
	"encoding/json"
	"math"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func testGrants(t *testing.T, e *env) {
	ctx := context.Background()

	t.Run("a grant is read as it was written", func(t *testing.T) {
		full := e.grant()
		full.Session = newID()
		full.Claims = model.GrantClaims{
			UserInfo: []string{"email", "https://example.com/a claim"}, IDToken: []string{"name"},
			Values: map[string]json.RawMessage{"name": json.RawMessage(`"Ålice"`)}, ACR: "1", AMR: []string{"pwd", "otp"},
		}
		bare := model.Grant{Service: e.service, ID: newID(), Client: 1, ExpiresAt: math.MaxInt64}
		for _, g := range []model.Grant{full, bare} {
			e.write(t, store.InsertGrant{Grant: g})
			got, err := e.Grant(ctx, g.Service, g.ID)
			equal(t, "grant", g, got, err)
		}
	})

	t.Run("a grant that does not exist is not found", func(t *testing.T) {
		fails(t, "Grant", store.ErrNotFound, e.grantErr(e.service, newID()))
		fails(t, "Grant", store.ErrNotFound, e.grantErr(e.service, 0))
		fails(t, "Grant", store.ErrNotFound, e.grantErr(e.service, -1))
	})

	t.Run("an id is taken once", func(t *testing.T) {
		g := e.grant()
		e.write(t, store.InsertGrant{Grant: g})
		again := g
		again.Subject = "mallory"
		e.refused(t, store.ErrConflict, store.InsertGrant{Grant: again})
		got, err := e.Grant(ctx, g.Service, g.ID)
		equal(t, "grant", g, got, err)
	})

	t.Run("extending moves the expiry later, never earlier", func(t *testing.T) {
		g := e.grant()
		e.write(t, store.InsertGrant{Grant: g})
		for _, step := range []struct{ until, want int64 }{
			{future + 10, future + 10}, {future, future + 10}, {math.MaxInt64, math.MaxInt64},
		} {
			e.write(t, store.ExtendGrant{Service: e.service, ID: g.ID, Until: step.until})
			g.ExpiresAt = step.want
			got, err := e.Grant(ctx, g.Service, g.ID)
			equal(t, "grant", g, got, err)
		}
		e.refused(t, store.ErrNotFound, store.ExtendGrant{Service: e.service, ID: newID(), Until: future})
	})

	t.Run("threat 18: revoking a grant takes its code and tokens with it", func(t *testing.T) {
		g, a, r := e.issued(t)
		code := e.handle(model.HandleCode)
		code.Grant = g.ID
		e.write(t, store.InsertHandle{Handle: code})
		other, otherToken, _ := e.issued(t)

		e.write(t, store.RevokeGrant{Service: e.service, ID: g.ID})
		fails(t, "Grant", store.ErrNotFound, e.grantErr(e.service, g.ID))
		fails(t, "AccessToken", store.ErrNotFound, e.accessErr(e.service, a.ID))
		fails(t, "RefreshToken", store.ErrNotFound, e.refreshErr(e.service, r.ID))
		fails(t, "Handle", store.ErrNotFound, e.handleErr(e.service, model.HandleCode, code.ID))
		e.refused(t, store.ErrSpent, store.RedeemHandle{Service: e.service, Kind: model.HandleCode, ID: code.ID, Now: now})
		e.refused(t, store.ErrSpent, store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: newID(), Now: now})
		e.refused(t, store.ErrSpent, store.RenewAccessToken{Service: e.service, ID: r.ID, Access: newID(), Now: now})
		e.refused(t, store.ErrNotFound, store.ExtendGrant{Service: e.service, ID: g.ID, Until: future})
		e.refused(t, store.ErrNotFound, store.InsertAccessToken{Token: e.accessToken(g.ID)})
		e.refused(t, store.ErrNotFound, store.InsertRefreshToken{Token: e.refreshToken(g.ID, 0)})
		e.write(t, store.RevokeGrant{Service: e.service, ID: g.ID}) // no condition

		fails(t, "another grant", nil, e.grantErr(e.service, other.ID))
		fails(t, "another grant's token", nil, e.accessErr(e.service, otherToken.ID))
	})

	t.Run("revoking by subject and client", func(t *testing.T) { testRevokeGrants(t, e) })
}

func testRevokeGrants(t *testing.T, e *env) {
	for _, test := range []struct {
		name    string
		subject string
		client  model.ID
		remain  []string
	}{
		{"a subject", "alice", 0, []string{"bob at 1", "nobody at 1"}},
		{"a client", "", 1, []string{"alice at 2"}},
		{"a subject at a client", "alice", 1, []string{"alice at 2", "bob at 1", "nobody at 1"}},
		{"a subject without grants", "carol", 0, []string{"alice at 1", "alice at 2", "bob at 1", "nobody at 1"}},
		{"a subject that begins alike", "alic", 0, []string{"alice at 1", "alice at 2", "bob at 1", "nobody at 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := *e
			s.service = e.newService(t)
			grants := map[string]model.ID{}
			for _, g := range []struct {
				name    string
				subject string
				client  model.ID
			}{{"alice at 1", "alice", 1}, {"alice at 2", "alice", 2}, {"bob at 1", "bob", 1}, {"nobody at 1", "", 1}} {
				grant := s.grant()
				grant.Subject, grant.Client = g.subject, g.client
				s.write(t, store.InsertGrant{Grant: grant})
				grants[g.name] = grant.ID
			}
			s.write(t, store.RevokeGrants{Service: s.service, Subject: test.subject, Client: test.client})
			var remain []string
			for _, name := range []string{"alice at 1", "alice at 2", "bob at 1", "nobody at 1"} {
				if s.grantErr(s.service, grants[name]) == nil {
					remain = append(remain, name)
				}
			}
			equal(t, "what remains", test.remain, remain, nil)
		})
	}
}

func testAccessTokens(t *testing.T, e *env) {
	ctx := context.Background()

	t.Run("a token is read as it was written, with its grant", func(t *testing.T) {
		g := e.grant()
		e.write(t, store.InsertGrant{Grant: g})
		opaque, jwt, narrow, bare := e.accessToken(g.ID), e.accessToken(g.ID), e.accessToken(g.ID), e.accessToken(g.ID)
		narrow.Resources = []string{"https://api.example/a b?c=d&e", "urn:example:\"x\""}
		bare.Resources = []string{}
		jwt.JWT, jwt.Hash = true, [32]byte{}
		narrow.Scopes = []string{"openid"}
		bare.Scopes = []string{} // none, which is not "the grant's"
		bare.ExpiresAt = math.MaxInt64
		for _, a := range []model.AccessToken{opaque, jwt, narrow, bare} {
			e.write(t, store.InsertAccessToken{Token: a})
			got, grant, err := e.AccessToken(ctx, e.service, a.ID)
			equal(t, "token", a, got, err)
			equal(t, "grant", g, grant, err)
		}
	})

	t.Run("what a token is bound to is its own (RFC 9449 §6, RFC 8705 §3)", func(t *testing.T) {
		g := e.grant()
		e.write(t, store.InsertGrant{Grant: g})
		for _, c := range confirmations() {
			a := e.accessToken(g.ID)
			a.Confirmation = c
			r := e.refreshToken(g.ID, a.ID)
			r.Confirmation = model.Confirmation{JKT: c.X5T, X5T: c.JKT}
			e.write(t, store.InsertAccessToken{Token: a}, store.InsertRefreshToken{Token: r})
			access, _, err := e.AccessToken(ctx, e.service, a.ID)
			equal(t, "access token", a, access, err)
			refresh, _, err := e.RefreshToken(ctx, e.service, r.ID)
			equal(t, "refresh token", r, refresh, err)

			next := e.accessToken(g.ID)
			e.write(t, store.RenewAccessToken{Service: e.service, ID: r.ID, Access: next.ID, Now: now}, store.InsertAccessToken{Token: next})
			r.Access = next.ID
			refresh, _, err = e.RefreshToken(ctx, e.service, r.ID)
			equal(t, "refresh token that was used", r, refresh, err)
			access, _, err = e.AccessToken(ctx, e.service, next.ID)
			equal(t, "the next access token", next, access, err)
		}
	})

	t.Run("a token needs its grant", func(t *testing.T) {
		a := e.accessToken(newID())
		e.refused(t, store.ErrNotFound, store.InsertAccessToken{Token: a})
		fails(t, "AccessToken", store.ErrNotFound, e.accessErr(e.service, a.ID))
	})

	t.Run("an id is taken once", func(t *testing.T) {
		g, a, _ := e.issued(t)
		again := a
		again.Hash = hashOf(newID())
		e.refused(t, store.ErrConflict, store.InsertAccessToken{Token: again})
		got, _, err := e.AccessToken(ctx, e.service, a.ID)
		equal(t, "token", a, got, err)
		e.write(t, store.InsertAccessToken{Token: e.accessToken(g.ID)})
	})

	t.Run("revoking a token takes it alone", func(t *testing.T) {
		g, a, r := e.issued(t)
		b := e.accessToken(g.ID)
		e.write(t, store.InsertAccessToken{Token: b})
		e.write(t, store.RevokeAccessToken{Service: e.service, ID: a.ID})
		fails(t, "AccessToken", store.ErrNotFound, e.accessErr(e.service, a.ID))
		fails(t, "its sister", nil, e.accessErr(e.service, b.ID))
		fails(t, "its refresh token", nil, e.refreshErr(e.service, r.ID))
		e.write(t, store.RevokeAccessToken{Service: e.service, ID: a.ID}) // no condition
	})
}

// confirmations are what a token may be bound to.
func confirmations() []model.Confirmation {
	key, certificate := model.Thumbprint(hashOf(newID())), model.Thumbprint(hashOf(newID()))
	return []model.Confirmation{{}, {JKT: key}, {X5T: certificate}, {JKT: key, X5T: certificate}}
}
