package relyingparty

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Requests of one session that find its access token about to end share one
// refresh, those that come later with the session from before it included: a
// refresh token is redeemed once (threat 2).
func TestRefreshOnce(t *testing.T) {
	bothKinds(t, options{"pass_token": true}, func(t *testing.T, s *site) {
		s.provider.told(func() { s.provider.lasts = 300 })
		b := s.signedIn()
		before, first := b.cookies(), s.received().Get("Authorization")
		s.clock.move(280 * time.Second)
		var together sync.WaitGroup
		for range 16 {
			together.Go(func() {
				one := s.browser()
				one.put(before)
				if a := one.fetch("/"); a.status != 200 || a.header.Get("Set-Cookie") != "" && a.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%d %v", a.status, a.header)
				}
			})
		}
		together.Wait()
		b.fetch("/").want(t, 200, "hello alice")
		second := s.received().Get("Authorization")
		if n := s.provider.count("/token"); n != 2 || first == second || !strings.HasPrefix(second, "Bearer access-") {
			t.Errorf("%d requests, %q and %q", n, first, second)
		}
		late := s.browser()
		late.put(before)
		late.fetch("/").want(t, 200, "hello alice")
		if n := s.provider.count("/token"); n != 2 || s.received().Get("Authorization") != second {
			t.Errorf("%d requests", n)
		}
		s.clock.move(280 * time.Second)
		b.fetch("/").want(t, 200, "hello alice")
		if n := s.provider.count("/token"); n != 3 {
			t.Errorf("%d requests", n)
		}
	})
}

// Two nodes that share the storage refresh a server session once.
func TestRefreshOnTwoNodes(t *testing.T) {
	s := newSite(t, options{"session": "server", "pass_token": true})
	s.provider.told(func() { s.provider.lasts = 300 })
	b := s.signedIn()
	n := s.node()
	there := n.browser()
	there.put(b.cookies())
	s.clock.move(268 * time.Second)
	there.fetch("/").want(t, 200, "hello") // which is in that node's memory now
	s.clock.move(3 * time.Second)
	b.fetch("/").want(t, 200, "hello")
	there.fetch("/").want(t, 200, "hello")
	if asked := s.provider.count("/token"); asked != 2 || n.received().Get("Authorization") != s.received().Get("Authorization") {
		t.Errorf("%d requests", asked)
	}
}

// The provider does not accept the refresh token any more: the session ends, and
// the user signs in again (threat 4).
func TestRefreshRefused(t *testing.T) {
	for name, change := range map[string]func(*fakeProvider){
		"revoked":      func(p *fakeProvider) { p.refresh = "another" },
		"another user": func(p *fakeProvider) { p.refreshed = p.refreshOf("mallory", "web") },
		"another audience": func(p *fakeProvider) {
			p.refreshed = p.refreshOf("alice", "other")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothKinds(t, nil, func(t *testing.T, s *site) {
				b := s.signedIn()
				s.provider.told(func() { change(s.provider) })
				s.clock.move(59*time.Minute + 45*time.Second)
				b.gone(t)
				b.open("/").want(t, 200, "hello alice")
			})
		})
	}
}

// refreshOf answers refreshes with an ID token, too.
func (p *fakeProvider) refreshOf(subject, audience string) func(map[string]any) int {
	return func(answer map[string]any) int {
		answer["id_token"] = p.idToken(map[string]any{"sub": subject, "aud": audience, "email": "new@example.com"})
		return 0
	}
}

// The ID token of a refresh brings the claims up to date (OpenID Connect Core
// §12.2).
func TestRefreshedClaims(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		b := s.signedIn()
		s.provider.told(func() { s.provider.refreshed = s.provider.refreshOf("alice", "web") })
		s.clock.move(59*time.Minute + 45*time.Second)
		b.fetch("/").want(t, 200, "hello alice")
		if email := s.received().Get("X-Email"); email != "new@example.com" {
			t.Errorf("%q", email)
		}
	})
}

// The provider is down when the token ends. Before the end, and where who the
// user is suffices, the session goes on; where the token is sent on, there is a
// 503 once it has ended, and never a request without it. The provider is asked
// once in an interval.
func TestRefreshDuringOutage(t *testing.T) {
	for _, pass := range []bool{false, true} {
		bothKinds(t, options{"pass_token": pass, "idle": "3h"}, func(t *testing.T, s *site) {
			b := s.signedIn()
			first := s.received().Get("Authorization")
			s.provider.told(func() { s.provider.instead["/token"] = down["500"] })
			s.clock.move(59*time.Minute + 45*time.Second)
			for range 5 {
				b.fetch("/").want(t, 200, "hello alice")
			}
			if n := s.provider.count("/token"); n != 2 || s.received().Get("Authorization") != first {
				t.Errorf("%d requests", n)
			}
			s.clock.move(15 * time.Second)
			seen := s.asked()
			if pass {
				if a := b.fetch("/").want(t, http.StatusServiceUnavailable, "temporarily_unavailable"); a.header.Get("Retry-After") == "" || s.asked() != seen {
					t.Errorf("%v", a.header)
				}
			} else {
				b.fetch("/").want(t, 200, "hello alice")
			}
			s.provider.told(func() { delete(s.provider.instead, "/token") })
			s.clock.move(refreshPause)
			b.fetch("/").want(t, 200, "hello alice")
			if now := s.received().Get("Authorization"); pass && (now == first || now == "") {
				t.Errorf("the application got %q", now)
			}
		})
	}
}

// Without a refresh token, a session whose token is sent on ends with the token.
func TestNoRefreshToken(t *testing.T) {
	for _, pass := range []bool{false, true} {
		s := newSite(t, options{"pass_token": pass, "idle": "3h"})
		s.provider.told(func() { s.provider.instead["/token"] = s.withoutRefresh })
		b := s.signedIn()
		s.clock.move(time.Hour - time.Second)
		b.fetch("/").want(t, 200, "hello alice")
		s.clock.move(time.Second)
		if pass {
			b.gone(t)
		} else {
			b.fetch("/").want(t, 200, "hello alice")
		}
	}
}

// withoutRefresh is a token endpoint that gives no refresh token.
func (s *site) withoutRefresh(w http.ResponseWriter, r *http.Request) {
	p := s.provider
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.requests[r.FormValue("code")]
	answer := p.tokens()
	delete(answer, "refresh_token")
	answer["id_token"] = p.idToken(map[string]any{"nonce": q.Get("nonce")})
	reply(w, http.StatusOK, answer)
}
