package remote

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// sick is an endpoint that is up or down.
type sick struct{ up atomic.Bool }

func (s *sick) serve(w http.ResponseWriter, r *http.Request) {
	if s.up.Load() {
		answering("application/json", active)(w, r)
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}

// The breaker opens after 5 failed calls in a row, keeps everybody back for 1 s
// that doubles to 30 s, lets one call with one attempt through, and closes when
// that one is answered.
func TestBreaker(t *testing.T) {
	now, s := newClock(), &sick{}
	e := serve(t, s.serve)
	o := e.options()
	o.Now = now.now
	i := open(t, o)

	for range 4 {
		wantUnavailable(t, i, sampleToken, "503")
	}
	s.up.Store(true)
	ask(t, i, sampleToken) // ends the run
	s.up.Store(false)
	for range 5 {
		if got := i.Status(); got.Breaker != Closed {
			t.Fatalf("got %+v", got)
		}
		wantUnavailable(t, i, sampleToken, "503")
	}
	asked := int64(4*3 + 1 + 5*3)
	for _, rest := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		rest *= time.Second
		if got := i.Status(); got.Breaker != Open || !got.OpenUntil.Equal(now.now().Add(rest)) {
			t.Errorf("for %s: got %+v", rest, got)
		}
		now.pass(rest - 1)
		wantUnavailable(t, i, sampleToken, "left alone")
		wantCalls(t, &e.calls, asked)
		now.pass(1)
		if got := i.Status().Breaker; got != HalfOpen {
			t.Errorf("after %s: the breaker is %s", rest, got)
		}
		wantUnavailable(t, i, sampleToken, "503")
		asked++
		wantCalls(t, &e.calls, asked)
	}
	now.pass(30 * time.Second)
	s.up.Store(true)
	ask(t, i, sampleToken)
	if got := i.Status(); got.Breaker != Closed || got.Rejected != 7 || got.Failures != 4+5+7 || got.LastError != "the endpoint cannot serve: 503" {
		t.Errorf("got %+v", got)
	}
	s.up.Store(false)
	for range 5 {
		wantUnavailable(t, i, sampleToken, "503")
	}
	if got := i.Status(); !got.OpenUntil.Equal(now.now().Add(time.Second)) {
		t.Errorf("opened again: got %+v", got)
	}
}

// opened returns an introspector whose breaker has just let go: the next call
// is the probe, and the gate decides on it.
func opened(t *testing.T) (*Introspector, *endpoint, gate) {
	t.Helper()
	now, g, down := newClock(), newGate(), true
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if down {
			down = false
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		g.serve(w, r)
	})
	o := e.options()
	o.Now, o.Failures, o.Attempts = now.now, 1, 1
	i := open(t, o)
	wantUnavailable(t, i, sampleToken, "503")
	now.pass(time.Second)
	return i, e, g
}

// However many callers come, one is let through until it is answered.
func TestBreakerLetsOneProbeThrough(t *testing.T) {
	i, e, g := opened(t)
	var kept atomic.Int64
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if _, err := i.Introspect(context.Background(), sampleToken); err != nil {
				kept.Add(1)
			}
		})
	}
	<-g.arrived
	until(t, "49 are kept back", func() bool { return kept.Load() == 49 })
	if got := i.Status(); got.Breaker != HalfOpen || got.InFlight != 1 || got.Rejected != 49 {
		t.Errorf("got %+v", got)
	}
	close(g.release)
	callers.Wait()
	wantCalls(t, &e.calls, 2)
	ask(t, i, sampleToken)
	if got := i.Status().Breaker; got != Closed || kept.Load() != 49 {
		t.Errorf("the breaker is %s, %d were kept back", got, kept.Load())
	}
}

// A probe whose caller gives up has found out nothing, and the next caller is
// let through.
func TestBreakerWithAnAbandonedProbe(t *testing.T) {
	i, _, g := opened(t)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-g.arrived
		cancel()
	}()
	if _, err := i.Introspect(ctx, sampleToken); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(g.release)
	ask(t, i, sampleToken)
}

// So is one after a probe that has panicked, which [introspect.Cache] survives.
func TestBreakerWithAPanickingProbe(t *testing.T) {
	i, _, g := opened(t)
	close(g.release)
	i.options.Authentication = Authentication{Method: MethodBearer, Token: func(context.Context) (string, error) { panic("planted") }}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = i.Introspect(context.Background(), sampleToken) // it does not return
	}()
	i.options.Authentication = Authentication{}
	ask(t, i, sampleToken)
}

// Who waits for room when the breaker opens goes no further.
func TestBreakerStopsThoseWhoWait(t *testing.T) {
	release := make(chan struct{})
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	o := e.options()
	o.MaxParallel, o.Failures, o.Attempts = 1, 1, 1
	i := open(t, o)
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if _, err := i.Introspect(context.Background(), sampleToken); !errors.Is(err, introspect.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
	until(t, "the first is asked about", func() bool { return e.calls.Load() == 1 })
	close(release)
	callers.Wait()
	// The place is given back a moment before the breaker hears of the failure.
	if got := i.Status(); got.Requests+got.Rejected != 20 || got.Rejected == 0 {
		t.Errorf("got %+v", got)
	}
}

// What was under way when the breaker opened neither prolongs nor ends its rest.
func TestBreakerHearsNoLateComers(t *testing.T) {
	now := newClock()
	b := &breaker{failures: 1, now: now.now}
	for range 3 {
		if probe, ok := b.enter(); probe || !ok {
			t.Fatal("it is not closed")
		}
	}
	b.leave(false, failed)
	_, want := b.state()
	b.leave(false, failed)
	b.leave(false, answered)
	if state, until := b.state(); state != Open || !until.Equal(want) {
		t.Errorf("it is %s until %s, want %s", state, until, want)
	}
}
