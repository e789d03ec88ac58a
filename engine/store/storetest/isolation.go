package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// testIsolation asks for everything of one service under another's id, which
// exists too, and under none.
func testIsolation(t *testing.T, e *env) {
	ctx := context.Background()
	g, a, r := e.issued(t)
	h := e.handle(model.HandleCode)
	h.Grant = g.ID
	session, account, key := e.session("alice"), e.account("alice"), e.key("k1")
	account.Subject = "alice"
	consent := model.Consent{Service: e.service, Subject: "alice", Client: 1, Scopes: []string{"openid"}, GrantedAt: past}
	e.write(t, store.InsertHandle{Handle: h}, store.InsertSession{Session: session}, store.InsertAccount{Account: account},
		store.InsertKey{Key: key}, store.PutConsent{Consent: consent})

	// unchanged reads all of it under its own service.
	unchanged := func(t *testing.T) {
		t.Helper()
		gotA, gotG, err := e.AccessToken(ctx, e.service, a.ID)
		equal(t, "access token", a, gotA, err)
		equal(t, "grant", g, gotG, err)
		gotR, _, err := e.RefreshToken(ctx, e.service, r.ID)
		equal(t, "refresh token", r, gotR, err)
		gotH, err := e.Handle(ctx, e.service, h.Kind, h.ID)
		equal(t, "handle", h, gotH, err)
		gotS, err := e.Session(ctx, e.service, session.ID)
		equal(t, "session", session, gotS, err)
		gotAcc, err := e.AccountByKey(ctx, e.service, account.Key)
		equal(t, "account", account, gotAcc, err)
		gotK, err := e.Keys(ctx, e.service)
		equal(t, "keys", []model.Key{key}, gotK, err)
		gotC, err := e.Consent(ctx, e.service, "alice", 1)
		equal(t, "consent", consent, gotC, err)
	}
	unchanged(t)

	for _, other := range []model.ID{e.newService(t), 0, -1} {
		t.Run(fmt.Sprint("service ", other), func(t *testing.T) {
			foreignErrors(t, e, other, map[string]error{
				"Grant": e.grantErr(other, g.ID), "AccessToken": e.accessErr(other, a.ID), "RefreshToken": e.refreshErr(other, r.ID),
				"Handle": e.handleErr(other, h.Kind, h.ID), "Session": e.sessionErr(other, session.ID),
			}, account, consent)

			token, refresh := e.accessToken(g.ID), e.refreshToken(g.ID, a.ID)
			token.Service, refresh.Service = other, other
			for _, step := range []struct {
				want error
				step store.Step
			}{
				{store.ErrNotFound, store.ExtendGrant{Service: other, ID: g.ID, Until: future + 1}},
				{nil, store.RevokeGrant{Service: other, ID: g.ID}},
				{nil, store.RevokeGrants{Service: other, Subject: "alice"}},
				{nil, store.RevokeGrants{Service: other, Client: 1}},
				{nil, store.RevokeGrants{Service: other, Subject: "alice", Client: 1}},
				{store.ErrNotFound, store.InsertAccessToken{Token: token}},
				{store.ErrNotFound, store.InsertRefreshToken{Token: refresh}},
				{nil, store.RevokeAccessToken{Service: other, ID: a.ID}},
				{store.ErrSpent, store.RotateRefreshToken{Service: other, ID: r.ID, Successor: newID(), Now: now}},
				{store.ErrSpent, store.RenewAccessToken{Service: other, ID: r.ID, Access: newID(), Now: now}},
				{store.ErrSpent, store.RedeemHandle{Service: other, Kind: h.Kind, ID: h.ID, Now: now}},
				{nil, store.DeleteSession{Service: other, ID: session.ID}},
				{nil, store.DeleteSessions{Service: other, Subject: "alice"}},
				{nil, store.DeleteConsent{Service: other, Subject: "alice", Client: 1}},
				{store.ErrNotFound, store.SetPassword{Service: other, ID: account.ID, Hash: "stolen"}},
				{store.ErrNotFound, store.SetDisabled{Service: other, ID: account.ID, Disabled: true}},
				{nil, store.RetireKeys{Service: other, Alg: key.Alg, ExpiresAt: past}},
			} {
				e.refused(t, step.want, step.step)
				unchanged(t)
			}
		})
	}

	t.Run("ids are one service's, over all services", func(t *testing.T) {
		other := e.newService(t)
		grant, token, refresh, handle, s := g, a, r, h, session
		grant.Service, token.Service, refresh.Service, handle.Service, s.Service = other, other, other, other, other
		own := e.grant()
		own.Service = other
		token.Grant, refresh.Grant = own.ID, own.ID
		e.write(t, store.InsertGrant{Grant: own})
		e.refused(t, store.ErrConflict, store.InsertGrant{Grant: grant})
		e.refused(t, store.ErrConflict, store.InsertAccessToken{Token: token})
		e.refused(t, store.ErrConflict, store.InsertRefreshToken{Token: refresh})
		e.refused(t, store.ErrConflict, store.InsertHandle{Handle: handle})
		e.refused(t, store.ErrConflict, store.InsertSession{Session: s})
		unchanged(t)
	})
}

// foreignErrors checks that readers find nothing under another service.
func foreignErrors(t *testing.T, e *env, other model.ID, errs map[string]error, account model.Account, consent model.Consent) {
	t.Helper()
	ctx := context.Background()
	_, errs["AccountByKey"] = e.AccountByKey(ctx, other, account.Key)
	_, errs["AccountBySubject"] = e.AccountBySubject(ctx, other, account.Subject)
	_, errs["Consent"] = e.Consent(ctx, other, consent.Subject, consent.Client)
	for what, err := range errs {
		fails(t, what, store.ErrNotFound, err)
	}
	keys, err := e.Keys(ctx, other)
	equal(t, "Keys", 0, len(keys), err)
	accounts, err := e.Accounts(ctx, other, 0, 10)
	equal(t, "Accounts", 0, len(accounts), err)
	consents, err := e.Consents(ctx, other, consent.Subject, 10)
	equal(t, "Consents", 0, len(consents), err)
}
