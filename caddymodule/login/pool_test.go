package login

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Passwords in token requests leave room for the people at the sign-in page,
// and both are bounded.
func TestPoolLeavesRoomForPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(2, 3) // room for eight
		finish := make(chan struct{})
		var under sync.WaitGroup
		work := func(ctx context.Context, n int) (busy int) {
			results := make(chan error, n)
			for range n {
				under.Go(func() { results <- p.do(ctx, 1, func() { <-finish }) })
			}
			synctest.Wait()
			for range len(results) {
				if err := <-results; errors.Is(err, ErrBusy) {
					busy++
				}
			}
			return busy
		}
		if busy := work(t.Context(), 10); busy != 6 {
			t.Errorf("%d of 10 from token requests are turned away, want 6", busy)
		}
		if busy := work(store.Prefer(t.Context()), 10); busy != 6 {
			t.Errorf("%d of 10 people are turned away, want 6", busy)
		}
		close(finish)
		under.Wait()
		if n := len(p.admitted) + len(p.others) + len(p.turn) + len(p.working); n != 0 {
			t.Errorf("%d places are still taken", n)
		}
	})
}

// Who is turned away at the sign-in page is told to come again. The log is not to
// grow with them.
func TestTurnedAwayAtTheSignInPage(t *testing.T) {
	var l log
	e := newEnvWith(t, nextUser(t), setting{log: l.logger()})
	b := e.browser()
	login := b.authorize()
	p := e.server.accounts.pool
	for enter(p.admitted) {
	}
	start := time.Now()
	for range 30 {
		page := b.signIn(login).want(t, 503, "/login", "Too many people are signing in")
		if page.header.Get("Retry-After") == "" {
			t.Error("it does not say when to come again")
		}
	}
	most := 1 + int(time.Since(start)/time.Second)
	if n := strings.Count(l.String(), ErrBusy.Error()); n == 0 || n > most {
		t.Errorf("%d lines in the log, want one to %d: %s", n, most, l.String())
	}
}

// A hash that takes much memory is looked at instead of several, or alone; who
// gives up waiting for workers gives back those that it had.
func TestPoolBoundsMemory(t *testing.T) {
	for name, test := range map[string]struct {
		memory       uint32 // KiB
		workers      int
		besideItself int
	}{
		"usual":    {argonMemory, 1, 4},
		"less":     {8, 1, 4},
		"a little": {argonMemory + 1, 2, 2},
		"much":     {maxArgonMemory, 14, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &phc{memory: test.memory}
				if got := h.workers(); got != test.workers {
					t.Errorf("%d KiB are worth %d workers, want %d", test.memory, got, test.workers)
				}
				p, finish, running := newPool(4, 16), make(chan struct{}), make(chan struct{}, 20)
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() { _ = p.do(ctx, h.workers(), func() { running <- struct{}{}; <-finish }) })
				}
				synctest.Wait()
				if len(running) != test.besideItself {
					t.Errorf("%d at once, want %d", len(running), test.besideItself)
				}
				cancel()
				synctest.Wait()
				close(finish)
				all.Wait()
				if n := len(p.admitted) + len(p.others) + len(p.turn) + len(p.working); n != 0 || len(running) != test.besideItself {
					t.Errorf("%d places are still taken, %d have run", n, len(running))
				}
			})
		})
	}
}
