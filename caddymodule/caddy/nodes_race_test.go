package main_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// atOnce asks the nodes in turn for the same, from goroutines that start
// together, and returns the answers.
func (c *cluster) atOnce(t *testing.T, n int, ask func(s *server) (*reply, error)) []*reply {
	t.Helper()
	replies, errs := make([]*reply, n), make([]error, n)
	start := make(chan struct{})
	var ready, all sync.WaitGroup
	for i := range n {
		ready.Add(1)
		all.Go(func() {
			ready.Done()
			<-start
			replies[i], errs[i] = ask(c.nodes[i%len(c.nodes)])
		})
	}
	ready.Wait()
	close(start)
	all.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return replies
}

// oneCodeAtAllNodes (threats 1, 6): one success, and since the code was used more
// than once, nothing of what it gave stays.
func oneCodeAtAllNodes(t *testing.T, c *cluster) {
	p := c.browser(t)
	for round, n := range []int{3, 3, 3, 3, 12, 12, 30} {
		c.turn.Store(int32(round % 3))
		r := newRequest(web, p.app+"/callback", "openid offline_access orders:read")
		code := p.code(r, alice, wonder)
		won, token := 0, ""
		for _, reply := range c.atOnce(t, n, func(s *server) (*reply, error) {
			return try(plain, http.MethodPost, s.as+"/token", form("grant_type", "authorization_code", "code", code,
				"redirect_uri", r.Get("redirect_uri"), "code_verifier", r.verifier), "Authorization", basic(web, webSecret))
		}) {
			switch {
			case reply.status == http.StatusOK:
				won, token = won+1, reply.text(t, "access_token")
			case reply.status != http.StatusBadRequest || reply.text(t, "error") != "invalid_grant":
				t.Errorf("%d %s", reply.status, reply.body)
			}
		}
		if won != 1 {
			t.Fatalf("%d at once: %d successes", n, won)
		}
		for i, s := range c.nodes {
			if got := s.introspected(token); got != false {
				t.Errorf("%d at once: at node %d the token outlives the reuse of its code", n, i)
			}
		}
	}
}

// oneRefreshTokenAtAllNodes (threat 2): one successor pair, whichever node is asked.
func oneRefreshTokenAtAllNodes(t *testing.T, c *cluster) {
	p := c.browser(t)
	r := newRequest("native", "http://127.0.0.1:9/callback", "openid offline_access orders:read")
	tokens := p.redeem(r, "", p.code(r, alice, wonder)).want(t, http.StatusOK)
	refresh := tokens.text(t, "refresh_token")
	for _, n := range []int{3, 3, 3, 3, 12, 12, 30} {
		pairs := map[string]int{}
		next := ""
		for _, reply := range c.atOnce(t, n, func(s *server) (*reply, error) {
			return try(plain, http.MethodPost, s.as+"/token", form("grant_type", "refresh_token", "refresh_token", refresh, "client_id", "native"))
		}) {
			next = reply.want(t, http.StatusOK).text(t, "refresh_token")
			pairs[fmt.Sprint(next, " ", reply.text(t, "access_token"))]++
		}
		if len(pairs) != 1 || next == refresh {
			t.Fatalf("%d at once: %d pairs", n, len(pairs))
		}
		refresh = next
	}
	if first := p.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", tokens.text(t, "refresh_token")); first.status != http.StatusBadRequest {
		t.Errorf("a refresh token from long ago: %d %s", first.status, first.body)
	}
}

// anotherNodeForEachRequest: neither a sign-in nor a code is bound to a node.
func anotherNodeForEachRequest(t *testing.T, c *cluster) {
	p := c.browser(t)
	r := newRequest(web, p.app+"/callback", "openid profile offline_access orders:read")
	at := func(i int) *person { c.turn.Store(int32(i)); return p }
	page := at(0).open(p.as + "/authorize?" + r.Encode())
	page = at(1).submit(page, "username", alice, "password", wonder)
	at(2).submit(page, "action", "allow")
	code := p.answer().Get("code")
	tokens := c.nodes[1].redeem(r, webSecret, code).want(t, http.StatusOK)
	for _, s := range c.nodes {
		s.call(tokens.text(t, "access_token")).want(t, http.StatusOK)
	}
	c.nodes[2].post("/token", web, webSecret, "grant_type", "refresh_token", "refresh_token", tokens.text(t, "refresh_token")).want(t, http.StatusOK)

	again := newRequest(web, p.app+"/callback", "openid") // signed in, and allowed before
	at(0).open(p.as + "/authorize?" + again.Encode())
	c.nodes[2].redeem(again, webSecret, p.answer().Get("code")).want(t, http.StatusOK)
}

// nodeEndsInTheMiddle: what a person began at a node that has ended, by its
// operator's hand or at once, goes on at another.
func nodeEndsInTheMiddle(t *testing.T, c *cluster) {
	for name, end := range map[string]func(*server){"stopped": (*server).stop, "killed": (*server).kill} {
		t.Run(name, func(t *testing.T) {
			gone := c.nodes[2]
			p := c.browser(t)
			r := newRequest(web, p.app+"/callback", "openid orders:read orders:write")
			c.turn.Store(2)
			login := p.open(p.as + "/authorize?" + r.Encode())
			end(gone)
			c.turn.Store(1)
			page := p.submit(login, "username", alice, "password", wonder)
			if page.url.Path == "/consent" {
				p.submit(page, "action", "allow")
			}
			c.nodes[0].redeem(r, webSecret, p.answer().Get("code")).want(t, http.StatusOK)
			gone.start()
		})
	}
}
