package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// race calls f from n goroutines that start together, taking turns through
// the stores, and returns their errors.
func race(n int, stores []store.Store, f func(s store.Store, i int) error) []error {
	errs := make([]error, n)
	barrier := make(chan struct{})
	var ready, done sync.WaitGroup
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-barrier
			errs[i] = f(stores[i%len(stores)], i)
		})
	}
	ready.Wait()
	close(barrier)
	done.Wait()
	return errs
}

// winner returns the one call that succeeded; the others must have failed
// with want.
func winner(t *testing.T, errs []error, want error) int {
	t.Helper()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won < 0:
			won = i
		case err == nil:
			t.Errorf("calls %d and %d both succeeded", won, i)
		case !errors.Is(err, want):
			t.Errorf("call %d: error %v, want %v", i, err, want)
		}
	}
	if won < 0 {
		t.Fatal("no call succeeded")
	}
	return won
}

func testRaces(t *testing.T, e *env) {
	second := e.open(t)
	rounds := 5
	if testing.Short() || e.factory.Brief {
		rounds = 2
	}
	for _, handles := range []struct {
		name   string
		stores []store.Store
	}{{"one process", []store.Store{e.Store}}, {"two processes", []store.Store{e.Store, second}}} {
		for _, n := range []int{2, 16, 64} {
			run := func(name string, f func(t *testing.T, n int, stores []store.Store)) {
				t.Run(fmt.Sprintf("%s/%s, %d at once", name, handles.name, n), func(t *testing.T) {
					for range rounds {
						f(t, n, handles.stores)
					}
				})
			}
			run("threat 1: one handle redeemed by many at once yields one success", e.raceRedeem)
			run("threat 2: one refresh token used by many at once yields one successor", e.raceRotate)
			run("threat 2: a refresh beside a revocation leaves nothing", e.raceRevoke)
			run("renewals at once leave one access token", e.raceRenew)
			run("one name is taken once", e.raceNames)
			run("one value used by many at once is used once (RFC 7523 §3)", e.raceUseOnce)
			run("many registrations at once stay below the most", e.raceInsertClient)
			run("one of many changes to the same version is kept", e.raceUpdateClient)
		}
	}
}

func (e *env) raceRedeem(t *testing.T, n int, stores []store.Store) {
	ctx := context.Background()
	g := e.grant()
	e.write(t, store.InsertGrant{Grant: g})
	for kind := range handleKinds {
		h := e.handle(kind)
		e.write(t, store.InsertHandle{Handle: h})
		tokens := make([]model.AccessToken, n)
		for i := range tokens {
			tokens[i] = e.accessToken(g.ID)
		}
		won := winner(t, race(n, stores, func(s store.Store, i int) error {
			return s.Write(ctx, store.RedeemHandle{Service: e.service, Kind: kind, ID: h.ID, Now: now}, store.InsertAccessToken{Token: tokens[i]})
		}), store.ErrSpent)
		e.onlyToken(t, tokens, won)
	}
}

// onlyToken checks that of some tokens one alone exists.
func (e *env) onlyToken(t *testing.T, tokens []model.AccessToken, only int) {
	t.Helper()
	for i, token := range tokens {
		want := store.ErrNotFound
		if i == only {
			want = nil
		}
		fails(t, fmt.Sprint("token of call ", i), want, e.accessErr(e.service, token.ID))
	}
}

func (e *env) raceRotate(t *testing.T, n int, stores []store.Store) {
	ctx := context.Background()
	g, a, r := e.issued(t)
	next, tokens := make([]model.RefreshToken, n), make([]model.AccessToken, n)
	for i := range next {
		next[i], tokens[i] = e.refreshToken(g.ID, 0), e.accessToken(g.ID)
		next[i].Access, tokens[i].ID = next[i].ID, next[i].ID
	}
	won := winner(t, race(n, stores, func(s store.Store, i int) error {
		return s.Write(ctx, store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: next[i].ID, Now: now},
			store.InsertRefreshToken{Token: next[i]}, store.InsertAccessToken{Token: tokens[i]})
	}), store.ErrSpent)
	e.onlyToken(t, tokens, won)
	fails(t, "the access token before", store.ErrNotFound, e.accessErr(e.service, a.ID))
	r.Successor = next[won].ID
	got, _, err := e.RefreshToken(ctx, e.service, r.ID)
	equal(t, "the rotated token", r, got, err)
	for i := range next {
		want := store.ErrNotFound
		if i == won {
			want = nil
		}
		fails(t, fmt.Sprint("refresh token of call ", i), want, e.refreshErr(e.service, next[i].ID))
	}
}

func (e *env) raceRevoke(t *testing.T, n int, stores []store.Store) {
	ctx := context.Background()
	g, a, r := e.issued(t)
	next := make([]model.RefreshToken, n)
	for i := range next {
		next[i] = e.refreshToken(g.ID, 0)
	}
	for i, err := range race(n, stores, func(s store.Store, i int) error {
		if i == n/2 {
			return s.Write(ctx, store.RevokeGrant{Service: e.service, ID: g.ID})
		}
		return s.Write(ctx, store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: next[i].ID, Now: now},
			store.InsertRefreshToken{Token: next[i]})
	}) {
		// The grant may go between the two steps of one: its successor has none then.
		refused := errors.Is(err, store.ErrSpent) || errors.Is(err, store.ErrNotFound)
		if err != nil && (i == n/2 || !refused) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	fails(t, "the access token", store.ErrNotFound, e.accessErr(e.service, a.ID))
	fails(t, "the refresh token", store.ErrNotFound, e.refreshErr(e.service, r.ID))
	for i := range next {
		fails(t, fmt.Sprint("the successor of call ", i), store.ErrNotFound, e.refreshErr(e.service, next[i].ID))
		e.refused(t, store.ErrSpent, store.RotateRefreshToken{Service: e.service, ID: next[i].ID, Successor: newID(), Now: now})
	}
}

func (e *env) raceRenew(t *testing.T, n int, stores []store.Store) {
	ctx := context.Background()
	g, a, r := e.issued(t)
	tokens := make([]model.AccessToken, n)
	for i := range tokens {
		tokens[i] = e.accessToken(g.ID)
	}
	for i, err := range race(n, stores, func(s store.Store, i int) error {
		return s.Write(ctx, store.InsertAccessToken{Token: tokens[i]},
			store.RenewAccessToken{Service: e.service, ID: r.ID, Access: tokens[i].ID, Now: now})
	}) {
		fails(t, fmt.Sprint("call ", i), nil, err)
	}
	got, _, err := e.RefreshToken(ctx, e.service, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for i := range tokens {
		if tokens[i].ID == got.Access {
			last = i
		}
	}
	e.onlyToken(t, tokens, last)
	fails(t, "the access token before", store.ErrNotFound, e.accessErr(e.service, a.ID))
}

func (e *env) raceNames(t *testing.T, n int, stores []store.Store) {
	ctx := context.Background()
	name, issuer := fmt.Sprint("user", newID()), fmt.Sprintf("https://race%d.example", newID())
	winner(t, race(n, stores, func(s store.Store, i int) error {
		return s.Write(ctx, store.InsertAccount{Account: e.account(name)})
	}), store.ErrConflict)

	services, clients := make([]model.ID, n), make([]model.ID, n)
	for i, err := range race(n, stores, func(s store.Store, i int) (err error) {
		if services[i], err = s.EnsureService(ctx, issuer); err != nil {
			return err
		}
		ids, err := s.EnsureClients(ctx, services[i], []string{"client"})
		clients[i] = ids["client"]
		return err
	}) {
		fails(t, fmt.Sprint("call ", i), nil, err)
		equal(t, "service", services[0], services[i], nil)
		equal(t, "client", clients[0], clients[i], nil)
	}

	winner(t, race(n, stores, func(s store.Store, i int) error {
		key := e.key(fmt.Sprint("key", i))
		key.Service = services[0]
		return s.Write(ctx, store.InsertFirstKeys{Service: services[0], Keys: []model.Key{key}})
	}), store.ErrConflict)
}

func (e *env) raceUseOnce(t *testing.T, n int, stores []store.Store) {
	ctx := context.Background()
	value := newID()
	for at := now; at < now+20; at += 10 { // the second time, its row has expired
		winner(t, race(n, stores, func(s store.Store, i int) error {
			return s.Write(ctx, store.UseOnce{Service: e.service, Digest: hashOf(value), Now: at, ExpiresAt: at + 10})
		}), store.ErrSpent)
	}
}

func (e *env) raceInsertClient(t *testing.T, n int, stores []store.Store) {
	ctx := context.Background()
	one := e.storedClient("")
	winner(t, race(n, stores, func(s store.Store, i int) error {
		return s.Write(ctx, store.InsertClient{Client: one})
	}), store.ErrConflict)

	most, made := max(1, n/4), 0
	clients := make([]model.StoredClient, n)
	for i := range clients {
		clients[i] = e.storedClient(fmt.Sprint("developer of ", one.Alias))
	}
	for i, err := range race(n, stores, func(s store.Store, i int) error {
		return s.Write(ctx, store.InsertClient{Client: clients[i], Most: most})
	}) {
		if err == nil {
			made++
		} else {
			fails(t, fmt.Sprint("call ", i), store.ErrSpent, err)
		}
		fails(t, fmt.Sprint("client of call ", i), map[bool]error{false: store.ErrNotFound}[err == nil], e.aliasErr(e.service, clients[i].Alias))
	}
	equal(t, "clients", most, made, nil)
}

func (e *env) raceUpdateClient(t *testing.T, n int, stores []store.Store) {
	ctx := context.Background()
	before := e.registered(t, e.storedClient("dev"))
	change := func(i int) model.StoredClient {
		c := before
		c.Settings, c.TokenHash = fmt.Appendf(nil, `{"call":%d}`, i), hashOf(model.ID(i))
		return c
	}
	won := change(winner(t, race(n, stores, func(s store.Store, i int) error {
		return s.Write(ctx, store.UpdateClient{Client: change(i)})
	}), store.ErrNotFound))
	won.Version++
	e.reads(t, won)
}
