package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

func cacheFor(t testing.TB, o Options) *introspect.Cache {
	t.Helper()
	cache, err := introspect.NewCache(introspect.Options{Identity: o.Endpoint, Client: o.Authentication.ClientID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	return cache
}

// Promise 4: one introspection a token at a time, however many requests wait.
func TestPromise04SixtyCallersMakeOneRequest(t *testing.T) {
	g := newGate()
	e := serve(t, g.serve)
	cache := cacheFor(t, e.options())
	from := cache.Over(open(t, e.options()))
	var callers sync.WaitGroup
	for range 60 {
		callers.Go(func() {
			if f := ask(t, from, sampleToken); f.Subject != "alice" {
				t.Errorf("got %+v", f)
			}
		})
	}
	<-g.arrived
	until(t, "all wait for it", func() bool { return cache.Stats().Joins == 59 })
	close(g.release)
	callers.Wait()
	wantCalls(t, &e.calls, 1)
}

// Promise 6: while the engine is down, what is cached goes on, and what is not
// is unavailable, with the breaker open too. Once it is back, so are its answers.
func TestPromise06EngineDown(t *testing.T) {
	now, s := newClock(), &sick{}
	s.up.Store(true)
	e := serve(t, s.serve)
	o := e.options()
	o.Now = now.now
	i := open(t, o)
	from := cacheFor(t, o).Over(i)
	ask(t, from, sampleToken)
	s.up.Store(false)
	for n := range 20 {
		token := fmt.Sprint("token-", n)
		if f, err := from.Introspect(context.Background(), token); f != nil || !errors.Is(err, introspect.ErrUnavailable) {
			t.Errorf("got %+v, %v", f, err)
		}
		if f := ask(t, from, sampleToken); !f.Active {
			t.Errorf("got %+v", f)
		}
	}
	if got := i.Status(); got.Breaker != Open || got.Rejected != 15 {
		t.Errorf("got %+v", got)
	}
	s.up.Store(true)
	now.pass(firstRest)
	if f := ask(t, from, "token-1"); !f.Active {
		t.Errorf("got %+v", f)
	}
}

// Nobody listens at all: the same answer.
func TestPromise06NobodyListens(t *testing.T) {
	e := serve(t, answering("application/json", active))
	o := e.options()
	e.Close()
	wantUnavailable(t, open(t, o), sampleToken, "connection refused")
}

// connections counts a server's open connections.
type connections struct{ open atomic.Int64 }

func (c *connections) watch(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		c.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.open.Add(-1)
	}
}

// Promise 12, this package's part: 100 introspectors that come and go, each
// with a request under way and a stream beside it, leave no goroutine and no
// connection behind.
func TestPromise12CloseLeavesNothing(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		g, c := newGate(), &connections{}
		e := unstarted(g.serve)
		e.EnableHTTP2, e.Config.ConnState = http2, c.watch
		e.StartTLS()
		t.Cleanup(e.Close)
		before := runtime.NumGoroutine()
		for range 100 {
			i := open(t, e.options())
			ended := make(chan error, 2)
			go func() {
				_, err := i.Introspect(context.Background(), sampleToken)
				ended <- err
			}()
			go func() {
				response, err := i.Client().Get(e.URL)
				if err == nil {
					_ = response.Body.Close()
				}
				ended <- err
			}()
			<-g.arrived
			<-g.arrived
			i.Close()
			for range 2 {
				if <-ended == nil {
					t.Error("a request survived")
				}
			}
			if _, err := i.Introspect(context.Background(), sampleToken); !errors.Is(err, errClosed) || !errors.Is(err, introspect.ErrUnavailable) || !strings.HasSuffix(err.Error(), ": "+errClosed.Error()) {
				t.Errorf("closed: got %v", err)
			}
			i.Close()
			if got := i.Status(); got.InFlight != 0 || got.Breaker != Closed {
				t.Errorf("closed: got %+v", got)
			}
		}
		until(t, "no connection is left", func() bool { return c.open.Load() == 0 })
		until(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	}
}
