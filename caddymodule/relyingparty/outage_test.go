package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
)

// Promise 7: unknown key ids, one after the other and at once, make one fetch of
// the keys in an interval; a new key of the provider's is found.
func TestKeysAreThrottled(t *testing.T) {
	s := newSite(t, nil)
	p := s.provider
	s.signedIn()
	if n := p.count("/jwks"); n != 1 {
		t.Fatalf("%d fetches", n)
	}
	s.clock.move(fetchPause)
	n := 0
	p.told(func() {
		p.sign = func(c map[string]any) string {
			n++
			return signed(t, c, jwa.ES256, otherKey(t), map[string]any{"kid": fmt.Sprint("random-", n)})
		}
	})
	var together sync.WaitGroup
	for range 8 {
		together.Go(func() {
			for range 4 {
				s.wantSignIn(t, false)
			}
		})
	}
	for range 20 {
		token := p.logoutTokenBy("random")
		if a := s.browser().backchannel(token); a.status != 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	together.Wait()
	if n := p.count("/jwks"); n != 2 {
		t.Errorf("%d fetches", n)
	}

	p.told(func() { p.sign = nil })
	p.newKey("k2")
	s.clock.move(fetchPause)
	s.wantSignIn(t, true)
	if n := p.count("/jwks"); n != 3 {
		t.Errorf("%d fetches", n)
	}
}

// logoutTokenBy is a logout token of a key that nobody knows.
func (p *fakeProvider) logoutTokenBy(kid string) string {
	now := p.now().Unix()
	return signed(p.t, map[string]any{"iss": p.http.URL, "aud": "web", "iat": now, "exp": now + 60}, jwa.ES256, otherKey(p.t), map[string]any{"kid": kid})
}

// down are ways in which a provider does not answer as it should.
var down = map[string]http.HandlerFunc{
	"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
	"endless": func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
				return
			}
		}
	},
	"cut off":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"not JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>access_token=secret") },
	"another": func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, map[string]any{"issuer": "https://other.example.com"})
	},
	"bad gateway": func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 502, map[string]any{"error": "temporarily_unavailable"})
	},
}

// The provider is down (an outage is no 401, no 500, no open door): pages
// and scripts get a 503 with Retry-After, and not one request each at the
// provider; afterwards everybody can sign in.
func TestProviderIsDown(t *testing.T) {
	for _, endpoint := range []string{"/.well-known/openid-configuration", "/token", "/jwks"} {
		for name, answer := range down {
			t.Run(endpoint+" "+name, func(t *testing.T) {
				s := newSite(t, nil)
				s.provider.told(func() { s.provider.instead[endpoint] = answer })
				for range 3 {
					a := s.browser().open("/").want(t, http.StatusServiceUnavailable, "not possible at the moment")
					if a.header.Get("Retry-After") == "" || a.header.Get("Cache-Control") != "no-store" || strings.Contains(a.body, "secret") {
						t.Errorf("%v %s", a.header, a.body)
					}
				}
				most := 1
				if name == "cut off" {
					most = 2 // net/http asks again on a connection of its own
				}
				if n := s.provider.count(endpoint); endpoint != "/token" && n > most {
					t.Errorf("it was asked %d times", n)
				}
				s.browser().fetch("/").want(t, http.StatusUnauthorized, "login_required")
				if s.asked() != 0 {
					t.Error("the application was asked")
				}
				s.provider.told(func() { delete(s.provider.instead, endpoint) })
				s.clock.move(fetchPause)
				s.wantSignIn(t, true)
			})
		}
	}
}

// Answers are read up to a bound; the time limit is not what ends them.
func TestAnswersAreBounded(t *testing.T) {
	s := newSite(t, nil)
	s.provider.told(func() { s.provider.instead["/jwks"] = down["endless"] })
	s.browser().open("/").want(t, http.StatusServiceUnavailable, "not possible")
	if said := fmt.Sprint(s.logs.All()[0].ContextMap()); !strings.Contains(said, "too large") {
		t.Error(said)
	}
}

// While the provider is down the log says so, and does not grow with the visits.
func TestProviderIsDownInOneLineASecond(t *testing.T) {
	s := newSite(t, nil)
	s.provider.told(func() { s.provider.instead["/jwks"] = down["endless"] })
	start, visits := time.Now(), 50
	for range visits {
		s.browser().open("/").want(t, http.StatusServiceUnavailable, "not possible")
	}
	lines, most := s.logs.FilterMessage("no sign-in").Len(), 1+int(time.Since(start)/time.Second)
	if lines == 0 || lines > most {
		t.Errorf("%d visits made %d lines, want 1 to %d", visits, lines, most)
	}
}

// Redirects of the provider's endpoints are not followed: they would take codes
// and the client's secret elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, endpoint := range []string{"/.well-known/openid-configuration", "/token", "/jwks"} {
		s := newSite(t, nil)
		s.provider.told(func() {
			s.provider.instead[endpoint] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/userinfo", http.StatusTemporaryRedirect)
			}
		})
		s.browser().open("/").want(t, http.StatusServiceUnavailable, "not possible")
		if n := s.provider.count("/userinfo"); n != 0 {
			t.Errorf("%s: followed", endpoint)
		}
	}
}

// Endpoints that are not on https are not asked.
func TestEndpointsNeedTLS(t *testing.T) {
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "revocation_endpoint", "end_session_endpoint"} {
		s := newSite(t, nil)
		s.provider.told(func() { s.provider.metadata = map[string]any{name: "http://auth.example.com/"} })
		s.browser().open("/").want(t, http.StatusServiceUnavailable, "not possible")
	}
}

// A provider that does not answer holds nobody longer than the time limit, and
// one who gives up takes nobody else along (promise 4).
func TestSlowProvider(t *testing.T) {
	s := newSite(t, nil)
	arrived, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.provider.told(func() {
		s.provider.instead["/.well-known/openid-configuration"] = func(w http.ResponseWriter, r *http.Request) {
			once.Do(func() { close(arrived) })
			<-answer
			s.provider.serveMetadata(w, r)
		}
	})
	ctx, giveUp := context.WithCancel(t.Context())
	go func() { <-arrived; giveUp() }() // no sooner: the provider would not be asked
	impatient, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http.URL+"/.gatehouse/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.browser().client.Do(impatient); !errors.Is(err, context.Canceled) {
		t.Fatalf("an answer without the provider: %v", err)
	}
	patient := make(chan *reached, 4)
	for range 4 {
		go func() {
			b := s.browser()
			resp, err := b.client.Get(s.http.URL + "/.gatehouse/login?return=/x")
			if err == nil {
				resp.Body.Close()
			}
			patient <- &reached{resp, err}
		}()
	}
	close(answer)
	for range 4 {
		if a := <-patient; a.err != nil || a.resp.StatusCode != http.StatusOK {
			t.Errorf("%+v", a)
		}
	}
	if n := s.provider.count("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("%d fetches", n)
	}
	if limit := s.handler.Load().shared.client.Timeout; limit <= 0 || limit > 15*time.Second {
		t.Errorf("requests may take %s", limit)
	}
}

type reached struct {
	resp *http.Response
	err  error
}

// Who has signed in goes on while the provider is down (promise 6), and while
// its keys are.
func TestSessionsOutliveOutage(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		b := s.signedIn()
		s.provider.http.Close()
		s.clock.move(30 * time.Minute)
		b.open("/").want(t, http.StatusOK, "hello alice")
		b.fetch("/").want(t, http.StatusOK, "hello alice")
		s.load(options{"session": s.handler.Load().Session, "client_id": "other"}) // which knows no metadata
		s.browser().open("/").want(t, http.StatusServiceUnavailable, "not possible")
	})
}
