package storetest

import (
	"context"
	"math"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func testRefreshTokens(t *testing.T, e *env) {
	ctx := context.Background()

	t.Run("a token is read as it was written, with its grant", func(t *testing.T) {
		g := e.grant()
		r := e.refreshToken(g.ID, newID())
		r.ExpiresAt = math.MaxInt64
		e.write(t, store.InsertGrant{Grant: g}, store.InsertRefreshToken{Token: r})
		got, grant, err := e.RefreshToken(ctx, e.service, r.ID)
		equal(t, "token", r, got, err)
		equal(t, "grant", g, grant, err)
		e.refused(t, store.ErrConflict, store.InsertRefreshToken{Token: r})
		e.refused(t, store.ErrNotFound, store.InsertRefreshToken{Token: e.refreshToken(newID(), 0)})
		fails(t, "one that does not exist", store.ErrNotFound, e.refreshErr(e.service, newID()))
	})

	t.Run("rotation names one successor and takes the access token", func(t *testing.T) {
		g, a, r := e.issued(t)
		other := e.accessToken(g.ID)
		next := e.refreshToken(g.ID, 0)
		next.Access = next.ID
		access := e.accessToken(g.ID)
		access.ID = next.ID
		e.write(t, store.InsertAccessToken{Token: other})
		e.write(t,
			store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: next.ID, Now: now},
			store.InsertRefreshToken{Token: next}, store.InsertAccessToken{Token: access})
		r.Successor = next.ID
		got, _, err := e.RefreshToken(ctx, e.service, r.ID)
		equal(t, "the rotated token", r, got, err)
		fails(t, "its access token", store.ErrNotFound, e.accessErr(e.service, a.ID))
		fails(t, "the successor", nil, e.refreshErr(e.service, next.ID))
		fails(t, "the successor's access token", nil, e.accessErr(e.service, next.ID))
		fails(t, "another access token", nil, e.accessErr(e.service, other.ID))

		e.refused(t, store.ErrSpent, store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: newID(), Now: now})
		e.refused(t, store.ErrSpent, store.RenewAccessToken{Service: e.service, ID: r.ID, Access: newID(), Now: now})
		got, _, err = e.RefreshToken(ctx, e.service, r.ID)
		equal(t, "the rotated token", r, got, err)
	})

	t.Run("an expired token is spent", func(t *testing.T) {
		_, a, r := e.issued(t)
		for _, at := range []int64{r.ExpiresAt, r.ExpiresAt + 1, math.MaxInt64} {
			e.refused(t, store.ErrSpent, store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: newID(), Now: at})
			e.refused(t, store.ErrSpent, store.RenewAccessToken{Service: e.service, ID: r.ID, Access: newID(), Now: at})
		}
		fails(t, "its access token", nil, e.accessErr(e.service, a.ID))
		e.write(t, store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: newID(), Now: r.ExpiresAt - 1})
	})

	t.Run("a token that does not exist is spent", func(t *testing.T) {
		e.refused(t, store.ErrSpent, store.RotateRefreshToken{Service: e.service, ID: newID(), Successor: newID(), Now: now})
		e.refused(t, store.ErrSpent, store.RenewAccessToken{Service: e.service, ID: newID(), Access: newID(), Now: now})
	})

	t.Run("renewal couples a new access token and takes the old", func(t *testing.T) {
		g, a, r := e.issued(t)
		for _, until := range []int64{0, future + 100, 0, future - 100} { // a new expiry, unless 0
			b := e.accessToken(g.ID)
			e.write(t, store.RenewAccessToken{Service: e.service, ID: r.ID, Access: b.ID, Now: now, Until: until},
				store.InsertAccessToken{Token: b})
			if until != 0 {
				r.ExpiresAt = until
			}
			fails(t, "the access token before", store.ErrNotFound, e.accessErr(e.service, a.ID))
			fails(t, "the access token now", nil, e.accessErr(e.service, b.ID))
			r.Access = b.ID
			got, _, err := e.RefreshToken(ctx, e.service, r.ID)
			equal(t, "the refresh token", r, got, err)
			a = b
		}
	})

	t.Run("rotation is undone with its write", func(t *testing.T) {
		_, a, r := e.issued(t)
		e.refused(t, store.ErrNotFound,
			store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: newID(), Now: now},
			store.InsertAccessToken{Token: e.accessToken(newID())})
		got, _, err := e.RefreshToken(ctx, e.service, r.ID)
		equal(t, "the refresh token", r, got, err)
		fails(t, "its access token", nil, e.accessErr(e.service, a.ID))
	})
}

func testHandles(t *testing.T, e *env) {
	ctx := context.Background()
	for kind, name := range handleKinds {
		t.Run(name, func(t *testing.T) {
			h := e.handle(kind)
			e.write(t, store.InsertHandle{Handle: h})
			got, err := e.Handle(ctx, e.service, kind, h.ID)
			equal(t, "handle", h, got, err)

			for other := range handleKinds {
				if other != kind {
					fails(t, "under another kind", store.ErrNotFound, e.handleErr(e.service, other, h.ID))
					e.refused(t, store.ErrSpent, store.RedeemHandle{Service: e.service, Kind: other, ID: h.ID, Now: now})
				}
			}
			for _, at := range []int64{h.ExpiresAt, h.ExpiresAt + 1, math.MaxInt64} {
				e.refused(t, store.ErrSpent, store.RedeemHandle{Service: e.service, Kind: kind, ID: h.ID, Now: at})
			}
			e.refused(t, store.ErrSpent, store.RedeemHandle{Service: e.service, Kind: kind, ID: newID(), Now: now})
			e.refused(t, store.ErrConflict, store.InsertHandle{Handle: h})

			redeem := store.RedeemHandle{Service: e.service, Kind: kind, ID: h.ID, Now: h.ExpiresAt - 1, Keep: h.ExpiresAt + 100}
			e.refused(t, store.ErrNotFound, redeem, store.InsertAccessToken{Token: e.accessToken(newID())}) // undone
			got, err = e.Handle(ctx, e.service, kind, h.ID)
			equal(t, "handle", h, got, err)
			e.write(t, redeem)
			e.refused(t, store.ErrSpent, redeem)
			h.Redeemed, h.ExpiresAt = true, h.ExpiresAt+100 // kept, so that a second use is noticed
			got, err = e.Handle(ctx, e.service, kind, h.ID)
			equal(t, "the redeemed handle", h, got, err)
			e.refused(t, store.ErrConflict, store.InsertHandle{Handle: h}) // its id is not free again
		})
	}

	t.Run("payloads and codes are kept whole", func(t *testing.T) {
		g := e.grant()
		e.write(t, store.InsertGrant{Grant: g})
		bare, large, code := e.handle(model.HandleTicket), e.handle(model.HandleTicket), e.handle(model.HandleCode)
		bare.Payload = nil
		large.Payload = make([]byte, model.MaxHandlePayload)
		for i := range large.Payload {
			large.Payload[i] = byte(i)
		}
		code.Grant, code.ExpiresAt = g.ID, math.MaxInt64
		for _, h := range []model.Handle{bare, large, code} {
			e.write(t, store.InsertHandle{Handle: h})
			got, err := e.Handle(ctx, e.service, h.Kind, h.ID)
			equal(t, "handle", h, got, err)
		}
	})
}

var handleKinds = map[model.HandleKind]string{
	model.HandleTicket: "ticket", model.HandleCode: "code", model.HandleLogin: "login",
	model.HandleTokenTicket: "token ticket", model.HandleLogout: "logout",
}

func testUseOnce(t *testing.T, e *env) {
	s := *e
	s.service = e.newService(t)
	use := func(e *env, id model.ID, now, expires int64) store.UseOnce {
		return store.UseOnce{Service: e.service, Digest: hashOf(id), Now: now, ExpiresAt: expires}
	}
	a, b := newID(), newID()
	e.write(t, use(e, a, now, now+10))
	e.refused(t, store.ErrSpent, use(e, a, now, now+10))
	e.refused(t, store.ErrSpent, use(e, a, now+9, future))
	e.write(t, use(e, b, now, future))    // another value
	e.write(t, use(&s, a, now, future))   // another service's
	e.write(t, use(e, a, now+10, now+20)) // its row had expired
	e.refused(t, store.ErrSpent, use(e, a, now+19, future))
	e.write(t, use(e, a, now+21, math.MaxInt64))
	e.refused(t, store.ErrSpent, use(e, a, math.MaxInt64-1, math.MaxInt64))

	c := newID()
	e.refused(t, store.ErrNotFound, use(e, c, now, future), store.InsertAccessToken{Token: e.accessToken(newID())}) // undone
	e.refused(t, store.ErrSpent, use(e, c, now, future), use(e, c, now, future))                                    // undone too
	e.write(t, use(e, c, now, future))
	e.refused(t, store.ErrSpent, use(e, c, now, future))
}
