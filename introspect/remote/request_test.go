package remote

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// RFC 7662 §2.1: a POST with a form, the token in it and nowhere else; §2.2 is
// asked for. HTTP/2 is spoken.
func TestRequest(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got := map[string]any{
			"line": r.Method + " " + r.RequestURI + " " + r.Proto, "form": map[string][]string(r.PostForm),
			"accept": r.Header["Accept"], "type": r.Header["Content-Type"], "coding": r.Header["Accept-Encoding"],
			"authorization": r.Header["Authorization"],
		}
		want := map[string]any{
			"line": "POST /introspect?realm=a HTTP/2.0", "form": map[string][]string{"token": {sampleToken}, "token_type_hint": {"access_token"}},
			"accept": []string{"application/json"}, "type": []string{"application/x-www-form-urlencoded"},
			"coding": []string(nil), "authorization": []string(nil),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		answering("application/json; charset=utf-8", active)(w, r)
	})
	o := e.options()
	o.Endpoint += "?realm=a"
	if f := ask(t, open(t, o), sampleToken); !f.Active || f.Subject != "alice" || !f.HasScope("orders:read") {
		t.Errorf("got %+v", f)
	}
	wantCalls(t, &e.calls, 1)
}

// gate is a handler that lets requests arrive and answers when told to.
type gate struct{ arrived, release chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 1000), make(chan struct{})} }

func (g gate) serve(w http.ResponseWriter, r *http.Request) {
	g.arrived <- struct{}{}
	select {
	case <-g.release:
		answering("application/json", active)(w, r)
	case <-r.Context().Done():
	}
}

// What exceeds MaxParallel waits, and gives up with its own context.
func TestMaxParallel(t *testing.T) {
	g := newGate()
	e := serve(t, g.serve)
	o := e.options()
	o.MaxParallel = 3
	i := open(t, o)
	var callers sync.WaitGroup
	for range 10 {
		callers.Go(func() { ask(t, i, sampleToken) })
	}
	for range 3 {
		<-g.arrived
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := i.Introspect(ctx, sampleToken); !errors.Is(err, context.Canceled) || !errors.Is(err, introspect.ErrUnavailable) {
		t.Errorf("a caller that gives up got %v", err)
	}
	if got := i.Status(); got.InFlight != 3 || got.Requests != 3 || len(g.arrived) != 0 {
		t.Errorf("got %+v", got)
	}
	close(g.release)
	callers.Wait()
	if got := i.Status(); got.InFlight != 0 || got.Requests != 10 || got.Breaker != Closed {
		t.Errorf("got %+v", got)
	}
}

// HTTP/1.1 keeps as many connections as it has needed at once.
func TestConnectionsAreKept(t *testing.T) {
	const parallel = 20
	rounds := make(chan gate, 2*parallel)
	e := unstarted(func(w http.ResponseWriter, r *http.Request) { (<-rounds).serve(w, r) })
	e.EnableHTTP2 = false
	var connections atomic.Int64
	e.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	e.StartTLS()
	t.Cleanup(e.Close)
	i := open(t, e.options())
	var used []int64
	for range 2 {
		g := newGate()
		var callers sync.WaitGroup
		for range parallel {
			rounds <- g
			callers.Go(func() { ask(t, i, sampleToken) })
		}
		for range parallel {
			<-g.arrived
		}
		close(g.release)
		callers.Wait()
		used = append(used, connections.Load())
	}
	// A dial that lost the race for a request serves the next one.
	if used[0] < parallel || used[1] != used[0] {
		t.Errorf("connections after each round: %v", used)
	}
}
