package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNodesComeAndGo: while nodes are stopped and started one after the other,
// clients that try the next node when a connection fails notice nothing else, and
// every token that they got is good.
func TestNodesComeAndGo(t *testing.T) {
	t.Parallel()
	c := startNodes(t, 3)
	h := &clients{cluster: c, quit: make(chan struct{})}
	for worker := range 6 {
		h.workers.Go(func() { h.work(worker) })
	}
	for round := range 6 {
		s := c.nodes[round%3]
		h.awaitTokens(t, 50)
		h.leaving.Store(s)
		if round%2 == 0 {
			s.stop()
		} else {
			s.kill()
		}
		h.awaitTokens(t, 50) // the others serve
		s.start()
		h.leaving.Store(nil)
	}
	close(h.quit)
	h.workers.Wait()
	t.Logf("%d tokens, %d connections that failed", len(h.tokens), h.broken.Load())
	for i, token := range h.tokens {
		if i%7 == 0 { // of each node's at all nodes
			for _, s := range c.nodes {
				s.call(token).want(t, http.StatusOK)
			}
		}
	}
}

// clients get tokens at the nodes in turn.
type clients struct {
	*cluster
	quit    chan struct{}
	workers sync.WaitGroup
	leaving atomic.Pointer[server] // the node that is being stopped, or is not there
	broken  atomic.Int64

	mu     sync.Mutex
	tokens []string
}

func (h *clients) work(at int) {
	client := &http.Client{Timeout: patience, Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	for n := at; ; n++ {
		select {
		case <-h.quit:
			return
		default:
		}
		s := h.nodes[n%len(h.nodes)]
		before := h.leaving.Load()
		r, err := try(client, http.MethodPost, s.as+"/token", "grant_type=client_credentials&scope=orders:read", "Authorization", basic(demo, demoSecret))
		switch {
		case err != nil:
			h.broken.Add(1)
			if before != s && h.leaving.Load() != s {
				h.Errorf("a node that nobody stopped: %v", err)
			}
		case r.status != http.StatusOK:
			h.Errorf("%d %s", r.status, r.body)
		default:
			h.mu.Lock()
			h.tokens = append(h.tokens, r.text(h.T, "access_token"))
			h.mu.Unlock()
		}
	}
}

// awaitTokens waits until there are so many more.
func (h *clients) awaitTokens(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.tokens)
	}
	before := count()
	wait(t, "tokens", func() error {
		if got := count() - before; got < more {
			return fmt.Errorf("%d of %d", got, more)
		}
		return nil
	})
}

// TestNodesWithoutDatabase (promise 6): while the database is away, what must
// write is 503 with Retry-After, tokens that a gateway knows go on, those that it
// does not know are 503; when it is back, everything goes on by itself.
func TestNodesWithoutDatabase(t *testing.T) {
	t.Parallel()
	c := startNodes(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	cached, known := a.serviceToken("orders:read"), a.serviceToken("orders:read")
	tokens := c.browser(t).signIn("openid offline_access orders:read")
	for _, s := range c.nodes {
		s.call(cached).want(t, http.StatusOK)
	}
	for range 2 { // it may go more than once
		c.db.Stop(t)
		for _, s := range c.nodes {
			s.unavailable(cached)
			if r := s.call(known); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
				t.Errorf("a token that the gateway does not know: %d %v", r.status, r.header)
			}
		}
		c.db.Run(t)
		for _, s := range c.nodes {
			wait(t, "a node to write again", func() error {
				r, err := try(plain, http.MethodPost, s.as+"/token", "grant_type=client_credentials", "Authorization", basic(demo, demoSecret))
				if err == nil && r.status != http.StatusOK {
					err = &unexpected{r.status, http.StatusOK}
				}
				return err
			})
		}
		known = b.serviceToken("orders:read")
		a.call(known).want(t, http.StatusOK)
		a.revoke(demo, demoSecret, known)
		c.everywhere(t, "a revocation after the database was away", refusedAt(known))
		known = a.serviceToken("orders:read")
	}
	b.post("/token", web, webSecret, "grant_type", "refresh_token", "refresh_token", tokens["refresh_token"].(string)).want(t, http.StatusOK)
	for _, s := range c.nodes {
		if log := s.output.String(); strings.Contains(log, nodesKey) || strings.Contains(log, cached) {
			t.Error("the log has a secret")
		}
	}
}

// TestNodesSweepInTurn: of the nodes one sweeps. When it is killed, another takes
// over when the lease has ended, which lasts 15 s and is looked at every 5 s; when
// it is stopped, it gives the lease back.
func TestNodesSweepInTurn(t *testing.T) {
	t.Parallel() // it waits, most of the time
	const holder = `SELECT coalesce(max(holder), '') FROM leases WHERE name = 'sweeper' AND until > extract(epoch FROM clock_timestamp()) * 1000`
	c := prepareNodes(t, 2)
	var held []string
	next := func(limit time.Duration) {
		t.Helper()
		within(t, limit, "another node to sweep", func() error {
			now := c.ask(t, holder)
			if now == "" || slices.Contains(held, now) {
				return fmt.Errorf("the lease is %q's", now)
			}
			held = append(held, now)
			return nil
		})
	}
	expired := func() {
		t.Helper()
		c.db.Exec(t, "postgres", `INSERT INTO gatehouse.sessions (id, service, auth_time, expires_at, subject, hash) VALUES (1, 1, 1, 1, 'nobody', '')`)
		wait(t, "an expired session to be swept", func() error {
			if n := c.ask(t, `SELECT count(*)::text FROM sessions WHERE id = 1`); n != "0" {
				return fmt.Errorf("%s rows", n)
			}
			return nil
		})
	}
	a, b := c.nodes[0], c.nodes[1]
	a.start()
	next(patience)
	b.start()
	expired()
	a.kill()
	next(25 * time.Second) // the lease, a look, and time to spare on a busy machine
	expired()
	a.start()
	b.stop()
	next(10 * time.Second)
}
