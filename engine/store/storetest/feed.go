package storetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// listener collects changes.
type listener struct {
	mu      sync.Mutex
	changes []model.Change
	woken   chan struct{}
	cancel  func()
}

func listen(f store.Feed) *listener {
	l := &listener{woken: make(chan struct{}, 1)}
	l.cancel = f.Subscribe(func(c model.Change) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changes = append(l.changes, c)
		select {
		case l.woken <- struct{}{}:
		default:
		}
	})
	return l
}

// take returns what has come, once each and without sequence numbers and times.
func (l *listener) take() (changes []model.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[int64]bool{}
	for _, c := range l.changes {
		if !seen[c.Seq] {
			seen[c.Seq] = true
			c.Seq, c.At = 0, 0
			changes = append(changes, c)
		}
	}
	l.changes = nil
	return changes
}

// await waits until a change has come for which f is true.
func (l *listener) await(t testing.TB, f func(model.Change) bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for seen := 0; ; {
		l.mu.Lock()
		for ; seen < len(l.changes); seen++ {
			if f(l.changes[seen]) {
				l.mu.Unlock()
				return
			}
		}
		l.mu.Unlock()
		select {
		case <-l.woken:
		case <-deadline:
			t.Fatal("a change did not come within a minute")
		}
	}
}

func testFeed(t *testing.T, e *env) {
	t.Run("own changes come before Write returns", func(t *testing.T) { testOwnChanges(t, e) })

	t.Run("changes of clients come with their alias", func(t *testing.T) { testClientChanges(t, e) })

	t.Run("the grants whose tokens end beside a kept one are told of", func(t *testing.T) { testKeepTells(t, e) })

	t.Run("nobody is called after cancel has returned", func(t *testing.T) { testCancelWaits(t, e) })

	t.Run("changes of another process come within a second", func(t *testing.T) {
		l := listen(e.open(t))
		best := time.Hour
		for range 3 { // a busy machine may be late once
			id := newID()
			start := time.Now()
			e.write(t, store.RevokeGrants{Service: e.service, Client: id})
			l.await(t, func(c model.Change) bool { return c.Ref == id && c.Service == e.service })
			best = min(best, time.Since(start))
		}
		if best > time.Second {
			t.Errorf("it took %v at best", best)
		}
	})

	t.Run("no change of many writers is missed", func(t *testing.T) {
		const writers, each = 8, 25
		stores := []store.Store{e.Store, e.open(t)}
		listeners := []*listener{listen(stores[0]), listen(stores[1])}
		defer listeners[0].cancel()
		first := model.ID(1_000_000)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					client := first + model.ID(w*each+i)
					if err := stores[w%2].Write(context.Background(), store.RevokeGrants{Service: e.service, Client: client}); err != nil {
						t.Errorf("Write: %v", err)
					}
				}
			})
		}
		wg.Wait()
		for _, l := range listeners {
			missing := map[model.ID]bool{}
			for i := range writers * each {
				missing[first+model.ID(i)] = true
			}
			l.await(t, func(c model.Change) bool {
				delete(missing, c.Ref)
				return len(missing) == 0
			})
		}
	})
}

func testOwnChanges(t *testing.T, e *env) {
	l := listen(e)
	tell := func(kind model.ChangeKind, ref model.ID, subject string) model.Change {
		return model.Change{Service: e.service, Kind: kind, Ref: ref, Subject: subject}
	}
	g, a, r := e.issued(t)
	g2, a2, r2 := e.issued(t)
	b := e.accessToken(g2.ID)
	account, session := e.account("told"), e.session("alice")
	for i, test := range []struct {
		steps []store.Step
		want  []model.Change
	}{
		{[]store.Step{store.ExtendGrant{Service: e.service, ID: g.ID, Until: future, Access: newID()}}, nil},
		{[]store.Step{store.InsertSession{Session: session}, store.RenewSession{Session: session}, e.join(session.ID, 1)}, nil},
		{[]store.Step{store.EndSession{Service: e.service, ID: session.ID}}, nil}, // it has no grants
		{[]store.Step{store.UseOnce{Service: e.service, Digest: session.Hash, Now: now, ExpiresAt: future}}, nil},
		{[]store.Step{store.RotateRefreshToken{Service: e.service, ID: r.ID, Successor: newID(), Now: now}},
			[]model.Change{tell(model.ChangeTokenRevoked, a.ID, "")}},
		{[]store.Step{store.RenewAccessToken{Service: e.service, ID: r2.ID, Access: b.ID, Now: now}, store.InsertAccessToken{Token: b}},
			[]model.Change{tell(model.ChangeTokenRevoked, a2.ID, "")}},
		{[]store.Step{store.RevokeAccessToken{Service: e.service, ID: b.ID}}, []model.Change{tell(model.ChangeTokenRevoked, b.ID, "")}},
		{[]store.Step{store.RevokeAccessToken{Service: e.service, ID: b.ID}}, nil}, // there is none
		{[]store.Step{store.RenewAccessToken{Service: e.service, ID: r2.ID, Access: newID(), Now: now}}, nil},
		{[]store.Step{store.RevokeGrant{Service: e.service, ID: g.ID}}, []model.Change{tell(model.ChangeGrantRevoked, g.ID, "")}},
		{[]store.Step{store.RevokeGrant{Service: e.service, ID: g.ID}}, nil},
		{[]store.Step{store.RevokeGrants{Service: e.service, Subject: "nobody"}}, []model.Change{tell(model.ChangeSubjectRevoked, 0, "nobody")}},
		{[]store.Step{store.RevokeGrants{Service: e.service, Client: 9}}, []model.Change{tell(model.ChangeClientRevoked, 9, "")}},
		{[]store.Step{store.RevokeGrants{Service: e.service, Subject: "alice", Client: 9}}, []model.Change{tell(model.ChangeSubjectRevoked, 0, "alice")}},
		{[]store.Step{store.InsertAccount{Account: account}}, []model.Change{tell(model.ChangeAccount, 0, account.Subject)}},
		{[]store.Step{store.PutAccount{Account: account}}, []model.Change{tell(model.ChangeAccount, 0, account.Subject)}},
		{[]store.Step{store.SetPassword{Service: e.service, ID: account.ID, Hash: "x"}, store.SetDisabled{Service: e.service, ID: account.ID}},
			[]model.Change{tell(model.ChangeAccount, 0, account.Subject), tell(model.ChangeAccount, 0, account.Subject)}},
		{[]store.Step{store.InsertFirstKeys{Service: e.service, Keys: []model.Key{e.key("first")}}}, []model.Change{tell(model.ChangeKeys, 0, "")}},
		{[]store.Step{store.InsertKey{Key: e.key("second")}}, []model.Change{tell(model.ChangeKeys, 0, "")}},
		{[]store.Step{store.RetireKeys{Service: e.service, Alg: string(model.ES256), Except: "second", ExpiresAt: future}}, []model.Change{tell(model.ChangeKeys, 0, "")}},
	} {
		e.write(t, test.steps...)
		if diff := cmp.Diff(test.want, l.take()); diff != "" {
			t.Errorf("%s (%d) tells otherwise (-want +got):\n%s", names(test.steps), i, diff)
		}
	}

	e.refused(t, store.ErrNotFound, store.RevokeGrant{Service: e.service, ID: g2.ID}, store.InsertAccessToken{Token: e.accessToken(newID())})
	equal(t, "what a failed write tells", 0, len(l.take()), nil)

	l.cancel()
	e.write(t, store.RevokeGrant{Service: e.service, ID: g2.ID})
	equal(t, "what comes after cancelling", 0, len(l.take()), nil)
	l.cancel()

	// Subscribers that come and go while changes are given.
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				l := listen(e)
				id := newID()
				if err := e.Write(context.Background(), store.RevokeGrants{Service: e.service, Client: id}); err != nil {
					t.Errorf("Write: %v", err)
				}
				found := false
				for _, c := range l.take() {
					found = found || c.Ref == id
				}
				if !found {
					t.Errorf("a change of writer %d did not come before Write returned", i)
				}
				l.cancel()
			}
		})
	}
	wg.Wait()
}

func testClientChanges(t *testing.T, e *env) {
	l := listen(e)
	defer l.cancel()
	c := e.storedClient("dev")
	e.write(t, store.InsertClient{Client: c})
	first := l.take()
	stored, err := e.StoredClientByAlias(context.Background(), e.service, c.Alias)
	want := []model.Change{{Service: e.service, Kind: model.ChangeClient, Ref: stored.ID, Subject: c.Alias}}
	equal(t, "what a registration tells", want, first, err)
	renamed := stored
	renamed.Alias = "another"
	e.write(t, store.UpdateClient{Client: renamed})
	equal(t, "what a change tells", want, l.take(), nil)
	e.refused(t, store.ErrNotFound, store.UpdateClient{Client: renamed})
	e.refused(t, store.ErrConflict, store.InsertClient{Client: c})
	e.refused(t, store.ErrSpent, store.InsertClient{Client: e.storedClient("dev"), Most: 1})
	equal(t, "what refusals tell", 0, len(l.take()), nil)
	e.write(t, store.DeleteClient{Service: e.service, ID: stored.ID})
	equal(t, "what a removal tells", want, l.take(), nil)
	e.refused(t, store.ErrNotFound, store.DeleteClient{Service: e.service, ID: stored.ID})
	equal(t, "what no removal tells", 0, len(l.take()), nil)
}

// testCancelWaits cancels a subscription while its function is being called:
// what the function uses may be gone once cancel has returned.
func testCancelWaits(t *testing.T, e *env) {
	entered, release := make(chan struct{}), make(chan struct{})
	var inside atomic.Bool
	var once sync.Once
	cancel := e.Subscribe(func(model.Change) {
		once.Do(func() {
			inside.Store(true)
			close(entered)
			<-release
			inside.Store(false)
		})
	})
	written := make(chan error, 1)
	go func() {
		written <- e.Write(context.Background(), store.RevokeGrants{Service: e.service, Subject: "cancel"})
	}()
	<-entered
	early := make(chan bool, 1)
	go func() { cancel(); early <- inside.Load() }()
	select {
	case <-early:
		t.Error("cancel returned while the function was being called")
		close(release)
	case <-time.After(100 * time.Millisecond): // it waits, as it should
		close(release)
		if <-early {
			t.Error("cancel returned while the function was being called")
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}
