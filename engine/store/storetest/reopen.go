package storetest

import (
	"context"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func testReopen(t *testing.T, e *env) {
	ctx := context.Background()
	issuer := "https://reopen.example"
	service, err := e.EnsureService(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := e.EnsureClients(ctx, service, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	e.service = service
	g, a, r := e.issued(t)
	rotated, successor := e.refreshToken(g.ID, 0), newID()
	spent, waiting := e.handle(model.HandleCode), e.handle(model.HandleCode)
	session, account, key := e.session("alice"), e.account("alice"), e.key("k1")
	consent := model.Consent{Service: service, Subject: "alice", Client: clients["a"], Scopes: []string{"openid"}, GrantedAt: past}
	redeem := store.RedeemHandle{Service: service, Kind: spent.Kind, ID: spent.ID, Now: now}
	rotate := store.RotateRefreshToken{Service: service, ID: rotated.ID, Successor: successor, Now: now}
	e.write(t, store.InsertRefreshToken{Token: rotated}, store.InsertHandle{Handle: spent}, store.InsertHandle{Handle: waiting},
		store.InsertSession{Session: session}, store.InsertAccount{Account: account}, store.InsertKey{Key: key}, store.PutConsent{Consent: consent})
	e.write(t, redeem, rotate)
	rotated.Successor, spent.Redeemed = successor, true

	// A client and its tokens: of two, one is kept.
	client := e.registered(t, e.storedClient("dev"))
	ended, endedToken, _ := e.issued(t)
	narrow := e.accessToken(g.ID)
	narrow.Scopes, narrow.Resources = []string{"openid"}, []string{"https://api.example/"}
	use := store.UseOnce{Service: service, Digest: hashOf(newID()), Now: now, ExpiresAt: future}
	e.write(t, store.InsertAccessToken{Token: narrow}, e.keep(narrow.ID), use, e.join(session.ID, client.ID))
	a = narrow

	e.reopen(t)

	t.Run("everything is there", func(t *testing.T) {
		gotA, gotG, err := e.AccessToken(ctx, service, a.ID)
		equal(t, "access token", a, gotA, err)
		equal(t, "grant", g, gotG, err)
		for _, want := range []model.RefreshToken{r, rotated} {
			got, _, err := e.RefreshToken(ctx, service, want.ID)
			equal(t, "refresh token", want, got, err)
		}
		for _, want := range []model.Handle{spent, waiting} {
			got, err := e.Handle(ctx, service, want.Kind, want.ID)
			equal(t, "handle", want, got, err)
		}
		gotS, err := e.Session(ctx, service, session.ID)
		equal(t, "session", session, gotS, err)
		e.joined(t, session.ID, client.ID)
		e.reads(t, client)
		gotAccount, err := e.AccountBySubject(ctx, service, account.Subject)
		equal(t, "account", account, gotAccount, err)
		keys, err := e.Keys(ctx, service)
		equal(t, "keys", []model.Key{key}, keys, err)
		gotC, err := e.Consent(ctx, service, "alice", clients["a"])
		equal(t, "consent", consent, gotC, err)
	})

	t.Run("threat 2: what was spent stays spent", func(t *testing.T) {
		fails(t, "a token beside the one that was kept", store.ErrNotFound, e.accessErr(service, endedToken.ID))
		fails(t, "its grant", nil, e.grantErr(service, ended.ID))
		e.refused(t, store.ErrSpent, use)
		e.refused(t, store.ErrSpent, redeem)
		e.refused(t, store.ErrSpent, rotate)
		e.write(t, store.RedeemHandle{Service: service, Kind: waiting.Kind, ID: waiting.ID, Now: now})
	})

	t.Run("threat 31: names keep their ids, and new names have new ones", func(t *testing.T) {
		again, err := e.EnsureService(ctx, issuer)
		equal(t, "service", service, again, err)
		more, err := e.EnsureClients(ctx, service, []string{"b", "c", "a"})
		if err != nil || more["a"] != clients["a"] || more["b"] != clients["b"] || more["c"] <= max(clients["a"], clients["b"]) {
			t.Errorf("clients are %v after %v, %v", more, clients, err)
		}
		e.refused(t, store.ErrConflict, store.InsertGrant{Grant: g})
	})

	t.Run("the feed goes on", func(t *testing.T) {
		l := listen(e)
		e.write(t, store.RevokeGrant{Service: service, ID: g.ID})
		equal(t, "changes", []model.Change{{Service: service, Kind: model.ChangeGrantRevoked, Ref: g.ID}}, l.take(), nil)
	})

	last := e.registered(t, e.storedClient("dev"))
	e.write(t, store.DeleteClient{Service: service, ID: last.ID})
	e.reopen(t)
	t.Run("the id and the alias of a removed client stay taken", func(t *testing.T) {
		e.refused(t, store.ErrConflict, store.InsertClient{Client: last})
		if next := e.registered(t, e.storedClient("dev")); next.ID <= last.ID {
			t.Errorf("the id %d after %d", next.ID, last.ID)
		}
	})
}
