package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// tally counts the requests that a server holds, by host.
type tally struct {
	mu        sync.Mutex
	now, most map[string]int
	changed   chan struct{}
	release   chan struct{}
}

func newTally() *tally {
	return &tally{now: map[string]int{}, most: map[string]int{}, changed: make(chan struct{}, 100), release: make(chan struct{})}
}

func (c *tally) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	c.add(host, 1)
	c.changed <- struct{}{}
	<-c.release
	c.add(host, -1)
}

func (c *tally) add(host string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range []string{host, "all"} {
		c.now[key] += n
		c.most[key] = max(c.most[key], c.now[key])
	}
}

// TestThreat21ParallelIsBounded: one slow host takes its own places and no
// other host's, and all together take no more than there are.
func TestThreat21ParallelIsBounded(t *testing.T) {
	counts := newTally()
	s := httptest.NewServer(counts)
	t.Cleanup(s.Close)
	c := newTestClient(t, nil, Options{Parallel: 3, PerHost: 2, Timeout: time.Minute})
	var done sync.WaitGroup
	get := func(host string) {
		done.Go(func() {
			if _, err := c.Get(t.Context(), under(t, s, host)); err != nil {
				t.Error(err)
			}
		})
	}
	for range 6 {
		get("a.example")
	}
	await(t, counts.changed, 2)
	for range 6 {
		get("b.example") // a place is left, however many wait for a.example
	}
	await(t, counts.changed, 1)
	time.Sleep(50 * time.Millisecond) // for those that should not come
	counts.mu.Lock()
	if counts.now["all"] != 3 || counts.now["a.example"] != 2 {
		t.Errorf("%v", counts.now)
	}
	counts.mu.Unlock()
	close(counts.release)
	done.Wait()
	if counts.most["a.example"] > 2 || counts.most["b.example"] > 2 || counts.most["all"] > 3 {
		t.Errorf("%v", counts.most)
	}
	if len(c.gate.hosts) != 0 || len(c.gate.all) != 0 {
		t.Errorf("%v and %d places are still taken", c.gate.hosts, len(c.gate.all))
	}
}

func await(t *testing.T, events <-chan struct{}, n int) {
	t.Helper()
	for range n {
		select {
		case <-events:
		case <-time.After(10 * time.Second):
			t.Fatal("nothing happens")
		}
	}
}

func TestGateWaitsNoLongerThanItsContext(t *testing.T) {
	for _, test := range []struct {
		name              string
		parallel, perHost int
	}{{"all", 1, 2}, {"per host", 2, 1}} {
		t.Run(test.name, func(t *testing.T) {
			g := newGate(test.parallel, test.perHost)
			leave, err := g.enter(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if _, err := g.enter(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			leave()
			leave, err = g.enter(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			leave()
			if len(g.hosts) != 0 || len(g.all) != 0 {
				t.Errorf("%v and %d places are still taken", g.hosts, len(g.all))
			}
		})
	}
}

func TestPlaceMovesWithTheRedirect(t *testing.T) {
	counts := newTally()
	s := httptest.NewServer(counts)
	t.Cleanup(s.Close)
	from := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, under(t, s, "victim.example"), http.StatusFound)
	}))
	t.Cleanup(from.Close)
	c := newTestClient(t, nil, Options{PerHost: 1, Timeout: time.Minute})
	var done sync.WaitGroup
	for _, host := range []string{"a.example", "b.example", "c.example"} {
		done.Go(func() {
			if _, err := c.Get(t.Context(), under(t, from, host)); err != nil {
				t.Error(err)
			}
		})
	}
	await(t, counts.changed, 1)
	time.Sleep(50 * time.Millisecond)
	close(counts.release)
	done.Wait()
	if counts.most["victim.example"] != 1 {
		t.Errorf("%v", counts.most)
	}
}
