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
	session, account, key := e.session("alice"), e.account("alice"), e.key("k1")
	g, a, r := e.issued(t)
	ofSession := e.grant()
	ofSession.Session = session.ID
	client := e.registered(t, e.storedClient("dev"))
	h := e.handle(model.HandleCode)
	h.Grant = g.ID
	account.Subject = "alice"
	consent := model.Consent{Service: e.service, Subject: "alice", Client: 1, Scopes: []string{"openid"}, GrantedAt: past}
	e.write(t, store.InsertHandle{Handle: h}, store.InsertSession{Session: session}, store.InsertAccount{Account: account},
		store.InsertKey{Key: key}, store.PutConsent{Consent: consent}, store.InsertGrant{Grant: ofSession}, e.join(session.ID, 5),
		store.InsertHandle{Handle: e.handle(model.HandleLogout)})

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
		e.joined(t, session.ID, 5)
		fails(t, "the session's grant", nil, e.grantErr(e.service, ofSession.ID))
		e.reads(t, client)
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
				"StoredClient": e.clientErr(other, client.ID), "StoredClientByAlias": e.aliasErr(other, client.Alias),
			}, account, consent)
			joined, err := e.SessionClients(ctx, other, session.ID)
			equal(t, "SessionClients", 0, len(joined), err)
			waiting, err := e.LogoutHandles(ctx, other, 0, 10)
			equal(t, "LogoutHandles", 0, len(waiting), err)

			token, refresh := e.accessToken(g.ID), e.refreshToken(g.ID, a.ID)
			foreign := client
			token.Service, refresh.Service, foreign.Service = other, other, other
			for _, step := range []struct {
				want error
				step store.Step
			}{
				{store.ErrNotFound, store.ExtendGrant{Service: other, ID: g.ID, Until: future + 1, Access: newID()}},
				{nil, store.KeepAccessToken{Service: other, Subject: "alice", Client: 1, Access: newID()}},
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
				{store.ErrNotFound, store.RenewSession{Session: stolen(session, other)}},
				{store.ErrNotFound, store.JoinSession{Service: other, Session: session.ID, Client: 9}},
				{store.ErrConflict, store.ExpectClients{Service: other, Session: session.ID, Clients: []model.ID{5}}},
				{nil, store.EndSession{Service: other, ID: session.ID}},
				{nil, store.DeleteSessions{Service: other, Subject: "alice"}},
				{nil, store.DeleteConsent{Service: other, Subject: "alice", Client: 1}},
				{store.ErrNotFound, store.SetPassword{Service: other, ID: account.ID, Hash: "stolen"}},
				{store.ErrNotFound, store.SetDisabled{Service: other, ID: account.ID, Disabled: true}},
				{nil, store.RetireKeys{Service: other, Alg: key.Alg, ExpiresAt: past}},
				{store.ErrNotFound, store.UpdateClient{Client: foreign}},
				{store.ErrNotFound, store.DeleteClient{Service: other, ID: client.ID}},
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

// stolen is a session under another service's id, with another secret.
func stolen(s model.Session, service model.ID) model.Session {
	s.Service, s.Hash = service, hashOf(newID())
	return s
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
