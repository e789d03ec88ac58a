package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// lessor is a store with a clock for its leases that tests move.
type lessor struct {
	store.Store
	*watch
	holders map[string]lessee
}

// asked counts how often an engine asks for abandoned notices.
type asked struct {
	*lessor
	times atomic.Int32
}

// LogoutHandles is part of store.Store.
func (a *asked) LogoutHandles(ctx context.Context, service, after model.ID, limit int) ([]model.Handle, error) {
	a.times.Add(1)
	return a.lessor.LogoutHandles(ctx, service, after, limit)
}

type lessee struct {
	holder string
	until  time.Time
}

// Lease is part of store.Store.
func (l *lessor) Lease(_ context.Context, name, holder string, d time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.holders[name]
	if held.holder != holder && held.until.After(l.now) {
		return false, nil
	}
	l.holders[name] = lessee{holder, l.now.Add(d)}
	return true, nil
}

// Of many nodes one looks for notices that nobody delivers, so that no client is
// told by several. When it is gone, another does: at once when it has closed,
// after the lease when it has died.
func TestOneNodeLooksForNotices(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(gone *hall, clock *watch){
		"closed": func(gone *hall, _ *watch) { gone.close <- time.Time{}; gone.shut() },
		"died":   func(_ *hall, clock *watch) { clock.pass(90 * time.Second) }, // and never looks again
	} {
		t.Run(name, func(t *testing.T) {
			st := &lessor{newStore(t), &watch{now: time.Now()}, map[string]lessee{}}
			clients := map[string]model.Settings{"rp": told("rp", nil)}
			first := openHall(t, st, clients)
			first.looks(t, 1) // it has the lease
			asks := &asked{lessor: st}
			second := openHall(t, asks, clients)
			first.hangs(make(chan struct{}))
			session := first.signIn("alice")
			first.tokensOf("rp", session, "alice", "scope", "openid")
			first.end(session)
			first.rung(t)
			bothPass(first.house, second.house, 3*time.Minute)
			second.looks(t, 2)
			if n := asks.times.Load(); n != 0 {
				t.Errorf("the second looked %d times", n)
			}
			leave(first, st.watch)
			second.looks(t, 1)
			second.rung(t)
			second.outcome(t)
			if name == "died" {
				first.close <- time.Time{}
			}
		})
	}
}
