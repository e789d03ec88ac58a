package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func testWrites(t *testing.T, e *env) {
	ctx := context.Background()

	t.Run("nothing to do is done", func(t *testing.T) { e.write(t) })

	t.Run("a later step that fails undoes the earlier ones", func(t *testing.T) {
		g, a, r := e.issued(t)
		account, key := e.account("taken"), e.key("taken")
		client := e.registered(t, e.storedClient("writes"))
		missing := newID()
		used := store.UseOnce{Service: e.service, Digest: hashOf(missing), Now: now, ExpiresAt: future}
		e.write(t, store.InsertAccount{Account: account}, store.InsertKey{Key: key}, used)
		for _, last := range []struct {
			want error
			step store.Step
		}{
			{store.ErrConflict, store.InsertGrant{Grant: g}},
			{store.ErrNotFound, store.ExtendGrant{Service: e.service, ID: missing, Until: future}},
			{store.ErrConflict, store.InsertAccessToken{Token: a}},
			{store.ErrNotFound, store.InsertAccessToken{Token: e.accessToken(missing)}},
			{store.ErrConflict, store.InsertRefreshToken{Token: r}},
			{store.ErrSpent, store.RotateRefreshToken{Service: e.service, ID: missing, Successor: newID(), Now: now}},
			{store.ErrSpent, store.RenewAccessToken{Service: e.service, ID: missing, Access: newID(), Now: now}},
			{store.ErrSpent, store.RedeemHandle{Service: e.service, Kind: model.HandleCode, ID: missing, Now: now}},
			{store.ErrConflict, store.InsertAccount{Account: account}},
			{store.ErrNotFound, store.SetPassword{Service: e.service, ID: missing}},
			{store.ErrNotFound, store.SetDisabled{Service: e.service, ID: missing}},
			{store.ErrConflict, store.InsertKey{Key: key}},
			{store.ErrConflict, store.InsertFirstKeys{Service: e.service, Keys: []model.Key{e.key("other")}}},
			{store.ErrSpent, used},
			{store.ErrNotFound, store.RenewSession{Session: e.session("alice")}},
			{store.ErrNotFound, e.join(missing, 1)},
			{store.ErrConflict, store.ExpectClients{Service: e.service, Session: missing}},
			{store.ErrConflict, store.InsertClient{Client: client}},
			{store.ErrSpent, store.InsertClient{Client: e.storedClient(client.Developer), Most: 1}},
			{store.ErrNotFound, store.UpdateClient{Client: model.StoredClient{Service: e.service, ID: client.ID, Version: client.Version + 1}}},
			{store.ErrNotFound, store.DeleteClient{Service: e.service, ID: missing}},
		} {
			t.Run(fmt.Sprintf("%T %v", last.step, last.want), func(t *testing.T) { testUndone(t, e, last.want, last.step) })
		}
	})

	t.Run("a preferred write does what another does", func(t *testing.T) {
		g := e.grant()
		if err := e.Write(store.Prefer(ctx), store.InsertGrant{Grant: g}); err != nil {
			t.Fatal(err)
		}
		fails(t, "the grant", nil, e.grantErr(e.service, g.ID))
		err := e.Write(store.Prefer(ctx), store.InsertSession{Session: e.session("alice")}, store.InsertGrant{Grant: g})
		fails(t, "the same again", store.ErrConflict, err)
	})

	t.Run("a write that fails leaves those beside it alone", func(t *testing.T) {
		const n = 64
		var errs [n]error
		var grants [n]model.Grant
		var wg sync.WaitGroup
		for i := range n {
			grants[i] = e.grant()
			wg.Go(func() {
				parent := grants[i].ID
				if i%2 == 1 {
					parent = newID() // there is no such grant
				}
				errs[i] = e.Write(ctx, store.InsertGrant{Grant: grants[i]}, store.InsertAccessToken{Token: e.accessToken(parent)})
			})
		}
		wg.Wait()
		for i := range n {
			want := []error{nil, store.ErrNotFound}[i%2]
			fails(t, fmt.Sprint("write ", i), want, errs[i])
			fails(t, fmt.Sprint("grant ", i), want, e.grantErr(e.service, grants[i].ID))
		}
	})

	t.Run("threat 35: a malformed write is an error, never a panic, and keeps nothing", func(t *testing.T) {
		g := e.grant()
		g.Claims.Values = map[string]json.RawMessage{"a": json.RawMessage(`{`)}
		h := e.handle(model.HandleTicket)
		h.Payload = make([]byte, model.MaxHandlePayload+1)
		noID := e.grant()
		noID.ID = 0
		noClient := e.keep(newID())
		noClient.Client = 0
		noSubject := e.keep(newID())
		noSubject.Subject = ""
		for name, step := range map[string]store.Step{
			"no step":                        nil,
			"a pointer to a step":            &store.InsertGrant{Grant: e.grant()},
			"a nil pointer":                  (*store.InsertGrant)(nil),
			"claims that are not JSON":       store.InsertGrant{Grant: g},
			"a payload too large":            store.InsertHandle{Handle: h},
			"an id of zero":                  store.InsertGrant{Grant: noID},
			"grants of nobody and no client": store.RevokeGrants{Service: e.service},
			"no token kept":                  e.keep(0),
			"a token kept of no client":      noClient,
			"a token kept of nobody":         noSubject,
			"a client without an alias":      store.InsertClient{Client: model.StoredClient{Service: e.service}},
		} {
			t.Run(name, func(t *testing.T) {
				kept := e.grant()
				if err := e.Write(ctx, store.InsertGrant{Grant: kept}, step); err == nil {
					t.Error("no error")
				}
				fails(t, "the step before", store.ErrNotFound, e.grantErr(e.service, kept.ID))
			})
		}
		e.issued(t) // the store goes on
	})
}

// testUndone writes steps of which the last fails, and reads what they would
// have changed.
func testUndone(t *testing.T, e *env, want error, last store.Step) {
	added, session, client := e.grant(), e.session("alice"), e.storedClient("undone")
	removed, removedToken, _ := e.issued(t)
	kept, keptToken, _ := e.issued(t)
	ended, ofEnded, value := e.session("alice"), e.grant(), newID()
	ofEnded.Session = ended.ID
	e.write(t, store.InsertSession{Session: ended}, e.join(ended.ID, 1), store.InsertGrant{Grant: ofEnded})
	use := store.UseOnce{Service: e.service, Digest: hashOf(value), Now: now, ExpiresAt: future}
	e.refused(t, want,
		store.InsertGrant{Grant: added}, store.InsertSession{Session: session}, e.join(session.ID, 1), use,
		store.InsertClient{Client: client}, e.keep(newID()), e.join(ended.ID, 2), store.EndSession{Service: e.service, ID: ended.ID},
		store.RevokeAccessToken{Service: e.service, ID: removedToken.ID},
		store.RevokeGrant{Service: e.service, ID: removed.ID}, last)
	fails(t, "the grant added", store.ErrNotFound, e.grantErr(e.service, added.ID))
	fails(t, "the session added", store.ErrNotFound, e.sessionErr(e.service, session.ID))
	fails(t, "the client added", store.ErrNotFound, e.aliasErr(e.service, client.Alias))
	fails(t, "the token removed", nil, e.accessErr(e.service, removedToken.ID))
	fails(t, "the grant removed", nil, e.grantErr(e.service, removed.ID))
	fails(t, "the token that was not the only one", nil, e.accessErr(e.service, keptToken.ID))
	fails(t, "its grant", nil, e.grantErr(e.service, kept.ID))
	fails(t, "the session ended", nil, e.sessionErr(e.service, ended.ID))
	fails(t, "the ended session's grant", nil, e.grantErr(e.service, ofEnded.ID))
	e.joined(t, ended.ID, 1)
	e.write(t, use, store.InsertClient{Client: client}) // neither was done before
}

func testContexts(t *testing.T, e *env) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g := e.grant()

	t.Run("a write whose context has ended is not executed", func(t *testing.T) {
		if err := e.Write(ctx, store.InsertGrant{Grant: g}); !errors.Is(err, context.Canceled) {
			t.Errorf("Write = %v", err)
		}
		e.write(t, store.InsertGrant{Grant: e.grant()}) // whatever was queued before is done now
		fails(t, "Grant", store.ErrNotFound, e.grantErr(e.service, g.ID))
	})

	t.Run("a read whose context has ended is an error", func(t *testing.T) {
		_, err := e.Grant(ctx, e.service, g.ID)
		fails(t, "Grant", context.Canceled, err)
		_, err = e.Keys(ctx, e.service)
		fails(t, "Keys", context.Canceled, err)
		_, err = e.EnsureService(ctx, "https://cancelled.example")
		fails(t, "EnsureService", context.Canceled, err)
		_, err = e.Sweep(ctx, nowTime, 10)
		fails(t, "Sweep", context.Canceled, err)
	})

	t.Run("contexts that end at any moment leave whole writes", func(t *testing.T) { testAbandoned(t, e) })
}

// testAbandoned gives up writes at any moment. They may go on for a while: the
// store is closed before they are looked at, which waits for them.
func testAbandoned(t *testing.T, e *env) {
	type write struct {
		grant, access model.ID
		err           error
	}
	var mu sync.Mutex
	var writes []write
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				ctx, cancel := context.WithCancel(context.Background())
				g := e.grant()
				a := e.accessToken(g.ID)
				go cancel()
				err := e.Write(ctx, store.InsertGrant{Grant: g}, store.InsertAccessToken{Token: a})
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("Write = %v", err)
				}
				mu.Lock()
				writes = append(writes, write{g.ID, a.ID, err})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	e.reopen(t)
	for _, w := range writes {
		grant, access := e.grantErr(e.service, w.grant), e.accessErr(e.service, w.access)
		if (grant == nil) != (access == nil) || w.err == nil && grant != nil {
			t.Errorf("Write = %v, and then grant: %v, token: %v", w.err, grant, access)
		}
	}
}

func testClose(t *testing.T, e *env) {
	ctx := context.Background()

	// Writers that are at it while the store closes.
	var mu sync.Mutex
	var acknowledged []model.ID
	var wg sync.WaitGroup
	started := make(chan struct{}, 1)
	for range 16 {
		wg.Go(func() {
			for {
				g := e.grant()
				err := e.Write(ctx, store.InsertGrant{Grant: g})
				if err != nil {
					fails(t, "a write while closing", store.ErrUnavailable, err)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, g.ID)
				mu.Unlock()
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	<-started
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	if err := e.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}

	t.Run("a closed store is unavailable", func(t *testing.T) {
		var errs []error
		add := func(err error) { errs = append(errs, err) }
		add(e.Write(ctx, store.InsertGrant{Grant: e.grant()}))
		add(e.grantErr(e.service, 1))
		add(e.accessErr(e.service, 1))
		add(e.refreshErr(e.service, 1))
		add(e.handleErr(e.service, model.HandleCode, 1))
		add(e.sessionErr(e.service, 1))
		_, err := e.Keys(ctx, e.service)
		add(err)
		_, err = e.EnsureService(ctx, "https://closed.example")
		add(err)
		_, err = e.EnsureClients(ctx, e.service, []string{"closed"})
		add(err)
		_, err = e.AccountByKey(ctx, e.service, "alice")
		add(err)
		_, err = e.Accounts(ctx, e.service, 0, 1)
		add(err)
		_, err = e.Consents(ctx, e.service, "alice", 1)
		add(err)
		_, err = e.SessionClients(ctx, e.service, 1)
		add(err)
		add(e.clientErr(e.service, 1))
		add(e.aliasErr(e.service, "closed"))
		_, err = e.Sweep(ctx, nowTime, 10)
		add(err)
		for i, err := range errs {
			fails(t, fmt.Sprint("call ", i), store.ErrUnavailable, err)
		}
		e.Subscribe(func(model.Change) {})()
	})

	t.Run("what was acknowledged before is there", func(t *testing.T) {
		e.Store = e.open(t)
		slices.Sort(acknowledged)
		for _, id := range acknowledged {
			fails(t, "Grant", nil, e.grantErr(e.service, id))
		}
	})
}
