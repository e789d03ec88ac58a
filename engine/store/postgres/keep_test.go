package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// Threats 18 and 19: a sign-in that lets its token be the only one waits for a
// refresh that another node has begun, ends the token which that gave, and tells.
func TestKeepBesideARefreshUnderWay(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	ctx, ids := context.Background(), handle.NewIDs(time.Now, nil)
	token := func(grant model.ID) store.InsertAccessToken {
		return store.InsertAccessToken{Token: model.AccessToken{Service: h.service, ID: ids.Next(), Grant: grant, ExpiresAt: 1 << 40}}
	}
	signIn := func() (grant model.ID, err error) {
		grant = ids.Next()
		a := token(grant)
		return grant, h.Write(ctx,
			store.InsertGrant{Grant: model.Grant{Service: h.service, ID: grant, Client: 1, Subject: "bob", ExpiresAt: 1 << 40}},
			store.KeepAccessToken{Service: h.service, Subject: "bob", Client: 1, Access: a.Token.ID}, a)
	}
	first, err := signIn()
	must(t, err)
	_, err = signIn() // ends the first one's token
	must(t, err)

	refreshed := token(first)
	p := planner{parts: h.parts}
	must(t, p.step(store.ExtendGrant{Service: h.service, ID: first, Access: refreshed.Token.ID}))
	must(t, p.step(refreshed))
	refresh := h.hold(t, p.list[0].sql, p.list[0].args...)
	_, err = refresh.Exec(ctx, p.list[1].sql, p.list[1].args...)
	must(t, err)
	page, err := h.Changes(ctx, h.service, model.Place{}, 0)
	must(t, err)
	third := make(chan error, 1)
	go func() {
		_, err := signIn()
		third <- err
	}()
	h.awaitLock(t)
	must(t, refresh.Commit(ctx))
	must(t, <-third)
	if _, _, err := h.AccessToken(ctx, h.service, refreshed.Token.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the token of the refresh: %v", err)
	}
	page, err = h.Changes(ctx, h.service, page.Next, 100)
	must(t, err)
	for _, c := range page.Changes {
		if c.Kind == model.ChangeGrantRevoked && c.Ref == first {
			return
		}
	}
	t.Errorf("nobody is told that it ended: %+v", page.Changes)
}
