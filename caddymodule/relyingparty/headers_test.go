package relyingparty

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/go-cmp/cmp"
)

// spoofed are identity headers as an attacker sends them.
var spoofed = []string{
	"X-User", "mallory", "x_user", "mallory", "X.User", "mallory", "X-USER", "mallory", "X-Email", "m@example.com",
	"Connection", "X-User, keep-alive",
}

// Promise 8 and threat 23: what clients send under the names of identity headers
// never reaches the application, in any spelling, by any method, with a session
// and without.
func TestIdentityHeaders(t *testing.T) {
	s := newSite(t, options{"optional": true})
	b, nobody := s.browser(), s.browser()
	b.open("/.gatehouse/login").want(t, 200, "hello alice")
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		for _, path := range []string{"/", "/a/../b", "/.gatehouse/other", "/%2e", "//x"} {
			b.do(method, s.http.URL+path, "", spoofed...).want(t, 200, "")
			want := http.Header{"X-User": {"alice"}, "X-Email": {"alice@example.com"}}
			if diff := cmp.Diff(want, identityOf(s.received())); diff != "" {
				t.Errorf("%s %s: %s", method, path, diff)
			}
			nobody.do(method, s.http.URL+path, "", spoofed...).want(t, 200, "")
			if diff := cmp.Diff(http.Header{}, identityOf(s.received())); diff != "" {
				t.Errorf("%s %s without a session: %s", method, path, diff)
			}
		}
	}
}

// identityOf returns the headers that an application might take for identity.
func identityOf(h http.Header) http.Header {
	found := http.Header{}
	for name, values := range h {
		if folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name)); folded == "x-user" || folded == "x-email" ||
			strings.Contains(strings.ToLower(strings.Join(values, " ")), "x-user") {
			found[name] = values
		}
	}
	return found
}

// Placeholders: {http.auth.user.id} is the subject, lists are joined, what is
// absent is empty, and without a session everything is.
func TestPlaceholders(t *testing.T) {
	s := newSite(t, options{"optional": true})
	s.browser().open("/").want(t, 200, "hello ?|?|?")
	b := s.browser()
	b.open("/.gatehouse/login").want(t, 200, `hello alice|a,b|?`)
}

// Our cookies never reach the application, whatever is beside them; those of the
// application do.
func TestCookiesStay(t *testing.T) {
	for in, want := range map[string][]string{
		"":                    nil,
		"a=b; c=d":            {"a=b; c=d"},
		"gatehouse-rp-x-s=1":  nil,
		"a=b;gatehouse-rp-=1": {"a=b"},
		"__Host-gatehouse-rp-0123-session=1.x; a=b; __Host-gatehouse-rp-0123-login-x=y;;c=d": {"a=b; c=d"},
		"a=gatehouse-rp-x; \tgatehouse-rp-z=1":                                               {"a=gatehouse-rp-x"},
	} {
		h := http.Header{}
		if in != "" {
			h.Add("Cookie", in)
		}
		withoutOurs(h)
		if diff := cmp.Diff(want, h["Cookie"]); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
	bothKinds(t, nil, func(t *testing.T, s *site) {
		b := s.signedIn()
		b.fetch("/", "Cookie", "mine=1")
		if got := strings.Join(s.received()["Cookie"], ";"); got != "mine=1" {
			t.Errorf("the application got %q", got)
		}
	})
}

// The client's own Authorization header is left alone, unless the header is ours:
// then nothing of the client's gets through, with a session or without.
func TestAuthorization(t *testing.T) {
	own := []string{"Authorization", "Bearer mine", "Connection", "Authorization"}
	s := newSite(t, nil)
	s.signedIn().fetch("/", own[:2]...).want(t, 200, "")
	if got := s.received().Get("Authorization"); got != "Bearer mine" {
		t.Errorf("%q", got)
	}
	s.load(options{"pass_token": true, "optional": true})
	s.browser().fetch("/", own...).want(t, 200, "")
	if got := s.received()["Authorization"]; got != nil {
		t.Errorf("%q", got)
	}
	b := s.browser()
	b.open("/.gatehouse/login")
	b.fetch("/", own...).want(t, 200, "")
	if h := s.received(); !strings.HasPrefix(h.Get("Authorization"), "Bearer access-") || strings.Contains(strings.ToLower(h.Get("Connection")), "authorization") {
		t.Errorf("%v", h)
	}
}

// An answer of the application's that carries our cookies is kept by no cache;
// any other is as the application wants it.
func TestNoCacheKeepsCookies(t *testing.T) {
	s := newSite(t, nil)
	b := s.signedIn()
	if a := b.fetch("/"); a.header.Get("Cache-Control") != "public, max-age=3600" || a.header.Get("Set-Cookie") != "" {
		t.Errorf("%v", a.header)
	}
	s.clock.move(10 * time.Minute)
	if a := b.fetch("/"); a.header.Get("Cache-Control") != "no-store" || a.header.Get("Set-Cookie") == "" {
		t.Errorf("%v", a.header)
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(204) },
		"Write":       func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"ReadFrom":    func(w http.ResponseWriter) { _, _ = w.(*uncached).ReadFrom(strings.NewReader("x")) },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"hints first": func(w http.ResponseWriter) {
			w.WriteHeader(103)
			w.Header().Set("Cache-Control", "public")
			w.WriteHeader(200)
		},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Cache-Control", "public")
		answer(newUncached(w))
		if got := w.Result().Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A route that asks for more than a session has leads to another sign-in, and
// does not end it elsewhere (OpenID Connect Core §3.1.2.1, acr_values and
// max_age).
func TestRoutesDiffer(t *testing.T) {
	common := secret()
	s := newSite(t, options{"cookie_secrets": []string{common}})
	s.provider.told(func() { s.provider.change = func(c map[string]any) { c["acr"] = "bronze" } })
	b := s.signedIn()
	s.load(options{"cookie_secrets": []string{common}, "acr_values": []string{"gold"}})
	b.gone(t)
	if a := b.step("/"); a.status != 303 || !strings.Contains(a.header.Get("Location"), "acr_values=gold") {
		t.Errorf("%d %v", a.status, a.header)
	}
	s.load(options{"cookie_secrets": []string{common}, "max_age": "30m", "parameters": map[string][]string{"resource": {"https://a.example.com", "https://b.example.com"}}})
	b.fetch("/").want(t, 200, "hello alice")
	s.clock.move(32 * time.Minute)
	b.gone(t)
	if to := b.step("/").header.Get("Location"); !strings.Contains(to, "max_age=1800") || !strings.Contains(to, "&resource=https%3A%2F%2Fa.example.com&resource=https%3A%2F%2Fb.example.com") {
		t.Errorf("%s", to)
	}
	s.load(options{"cookie_secrets": []string{common}})
	b.fetch("/").want(t, 200, "hello alice")
}

// Promise 13 and threat 34: neither tokens nor codes, secrets, cookies nor
// states are logged, in good days and bad.
func TestLogsHoldNoSecrets(t *testing.T) {
	all := options{"pass_token": true, "cookie_secrets": []string{secret()}}
	s := newSite(t, all)
	b := s.signedIn()
	secrets := []string{"the secret", strings.TrimPrefix(s.received().Get("Authorization"), "Bearer ")}
	for _, cookie := range b.cookies() {
		secrets = append(secrets, cookie[2:40])
	}
	s.provider.told(func() { secrets = append(secrets, s.provider.refresh) })
	back := b.step(s.browser().step("/").header.Get("Location")).header.Get("Location")
	_, code, _ := strings.Cut(back, "code=")
	secrets = append(secrets, code[:20])
	for _, answer := range down {
		s.load(all) // whose log begins anew: else not every error has a line
		s.provider.told(func() { s.provider.instead["/token"], s.provider.instead["/revoke"] = answer, answer })
		s.browser().open("/")
		s.clock.move(59 * time.Minute)
		b.fetch("/")
	}
	token := s.provider.logoutToken("", map[string]any{"nonce": "x", "sub": "alice"})
	b.backchannel(token)
	secrets = append(secrets, token[len(token)-40:])
	b.open("/.gatehouse/logout")
	if s.logs.Len() < 5 {
		t.Errorf("only %d lines", s.logs.Len())
	}
	for _, line := range s.logs.All() {
		text, _ := json.Marshal(line.ContextMap())
		for _, secret := range secrets {
			if strings.Contains(line.Message+string(text), secret) {
				t.Errorf("%s %s has %q", line.Message, text, secret)
			}
		}
	}
}

// A configuration reached without Caddy's context of a request serves all the
// same.
func TestPlainRequest(t *testing.T) {
	s := newSite(t, nil)
	w := httptest.NewRecorder()
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { t.Error("the application was asked"); return nil })
	if err := s.handler.Load().ServeHTTP(w, httptest.NewRequest("GET", "/", nil), next); err != nil || w.Code != 401 {
		t.Errorf("%d %v", w.Code, err)
	}
}
