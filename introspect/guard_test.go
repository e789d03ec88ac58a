package introspect

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// answer sends a request through a guard and returns the response.
func answer(g *Guard, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Seen-User"] = r.Header["X-User"]
		if f := FromContext(r.Context()); f != nil {
			w.Header().Set("Seen-Facts", f.Subject)
		}
	})).ServeHTTP(w, r)
	return w.Result()
}

func TestPromise01PolicyIsJudgedOnEveryRequest(t *testing.T) {
	e := engineWith(activeFacts())
	cache := newTestCache(t, Options{})
	for _, test := range []struct {
		policy Policy
		status int
	}{
		{Policy{Scopes: []string{"orders:read"}}, 200},
		{Policy{Scopes: []string{"orders:write"}}, 403},
		{Policy{Audience: []string{"https://other.example"}}, 401},
		{Policy{Scopes: []string{"profile"}, Audience: []string{"https://api.example"}}, 200},
	} {
		g := &Guard{Introspector: cache.Over(e), Policy: test.policy}
		if got := answer(g, bearerRequest(sampleToken)).StatusCode; got != test.status {
			t.Errorf("%+v: %d, want %d", test.policy, got, test.status)
		}
		settled(cache)
	}
	wantCalls(t, e, 1, "for four policies")
}

func TestPromise06EngineDown(t *testing.T) {
	clock := newClock()
	e := engineWith(activeFacts())
	cache := newTestCache(t, Options{Now: clock.now})
	g := &Guard{Introspector: cache.Over(e)}
	answer(g, bearerRequest("known"))
	settled(cache)
	e.says(func(context.Context, string) (*Facts, error) {
		return &Facts{Active: true}, errors.New("connection refused")
	})
	if got := answer(g, bearerRequest("known")).StatusCode; got != 200 {
		t.Errorf("a cached token: %d", got)
	}
	res := answer(g, bearerRequest("unknown"))
	if res.StatusCode != 503 || res.Header.Get("Retry-After") != "5" || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("an unknown token: %d, %v", res.StatusCode, res.Header)
	}
	clock.pass(DefaultTTL)
	if got := answer(g, bearerRequest("known")).StatusCode; got != 503 {
		t.Errorf("a token whose entry has ended: %d", got)
	}
	e.saysFacts(activeFacts())
	if got := answer(g, bearerRequest("unknown")).StatusCode; got != 200 {
		t.Errorf("the engine is back: %d; its failure was remembered", got)
	}
	if got := answer(&Guard{}, bearerRequest("any")).StatusCode; got != 503 {
		t.Errorf("no introspector: %d", got)
	}
}

func TestGuard(t *testing.T) {
	bound := activeFacts()
	bound.Claims = map[string]any{"cnf": map[string]any{"jkt": "abc"}}
	typed := activeFacts()
	typed.TokenType = "DPoP"
	confirm := func(err error) func(*http.Request, Credentials, *Facts) error {
		return func(*http.Request, Credentials, *Facts) error { return err }
	}
	for _, test := range []struct {
		name      string
		guard     Guard
		facts     *Facts
		token     string
		status    int
		challenge string
	}{
		{"good", Guard{}, activeFacts(), "t", 200, ""},
		{"none", Guard{Policy: Policy{Scopes: []string{"a"}}}, activeFacts(), "", 401, `Bearer scope="a"`},
		{"none, optional", Guard{Optional: true}, activeFacts(), "", 200, ""},
		{"unknown", Guard{}, &Facts{}, "t", 401, `error="invalid_token"`},
		{"unknown, optional", Guard{Optional: true}, &Facts{}, "t", 401, `error="invalid_token"`},
		{"malformed, optional", Guard{Optional: true}, activeFacts(), "a b", 400, `error="invalid_request"`},
		{"scope, optional", Guard{Optional: true, Policy: Policy{Scopes: []string{"a"}}}, activeFacts(), "t", 403, `scope="a"`},
		{"too long", Guard{MaxTokenLength: 3}, activeFacts(), "abcd", 400, `error="invalid_request"`},
		{"bound to a key", Guard{}, bound, "t", 401, `error="invalid_token"`},
		{"of type DPoP", Guard{}, typed, "t", 401, `error="invalid_token"`},
		{"bound and proven", Guard{Confirm: confirm(nil)}, bound, "t", 200, ""},
		{"bound and not proven", Guard{Confirm: confirm(errors.New("thumbprint"))}, bound, "t", 401, `error="invalid_token"`},
		{"bound, its own refusal", Guard{Confirm: confirm(&Refusal{Status: 401, Code: "use_dpop_nonce"})}, bound, "t", 401, `error="use_dpop_nonce"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := test.guard
			g.Introspector = engineWith(test.facts)
			g.Headers = userHeaders(t)
			r := bearerRequest(test.token)
			r.Header.Set("X-User", "evil")
			res := answer(&g, r)
			if res.StatusCode != test.status || !strings.Contains(res.Header.Get("WWW-Authenticate"), test.challenge) {
				t.Errorf("%d, %v", res.StatusCode, res.Header)
			}
			want := ""
			if test.status == 200 && test.token != "" {
				want = "alice"
			}
			if res.Header.Get("Seen-User") != want || res.Header.Get("Seen-Facts") != want {
				t.Errorf("the resource saw %v", res.Header)
			}
		})
	}
}

func TestFactsClaim(t *testing.T) {
	f := activeFacts()
	f.ExpiresAt, f.IssuedAt, f.AuthTime = 30, 10, 5
	f.Claims["sub"] = "mallory" // not read from here
	for name, want := range map[string]string{
		"active": "true", "iss": "https://as.example", "sub": "alice", "client_id": "shop", "token_type": "Bearer",
		"scope": "orders:read profile", "aud": "https://api.example", "exp": "30", "iat": "10", "auth_time": "5", "email": "alice@example.com",
	} {
		if v, ok := f.Claim(name); !ok || HeaderValue(v) != want {
			t.Errorf("%s: %v, %v", name, v, ok)
		}
	}
	empty := &Facts{Claims: map[string]any{"sub": "mallory", "null": nil}}
	for _, name := range []string{"iss", "sub", "client_id", "token_type", "scope", "aud", "exp", "iat", "auth_time", "email", "null"} {
		if v, ok := empty.Claim(name); ok {
			t.Errorf("%s: %v, want it absent", name, v)
		}
	}
}

func BenchmarkCacheHit(b *testing.B) {
	for name, token := range map[string]string{"handle60": sampleToken, "jwt1000": strings.Repeat("eyJ0.", 200)} {
		b.Run(name, func(b *testing.B) {
			c, e := warmCache(b, token)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Over(e).Introspect(context.Background(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("afterRevocations", func(b *testing.B) {
		c, e := warmCache(b, sampleToken)
		c.Revoke(Revocation{Kind: RevokeToken, Service: 9, ID: 9})
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Over(e).Introspect(ctx, sampleToken); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCacheHitParallel(b *testing.B) {
	c, e := warmCache(b, sampleToken)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Over(e).Introspect(context.Background(), sampleToken); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkCacheMiss(b *testing.B) {
	clock := newClock()
	c := newTestCache(b, Options{Now: clock.now})
	e := engineWith(activeFacts())
	b.ReportAllocs()
	for b.Loop() {
		clock.pass(DefaultTTL)
		ask(b, c, sampleToken, e)
	}
}

func BenchmarkStrip(b *testing.B) {
	s, h := userHeaders(b), ordinaryHeader()
	b.ReportAllocs()
	for b.Loop() {
		s.Strip(h)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	c, e := warmCache(b, sampleToken)
	g := &Guard{Introspector: c.Over(e), Policy: Policy{Scopes: []string{"orders:read"}, Audience: []string{"https://api.example"}}, RetryAfter: time.Second}
	r := bearerRequest(sampleToken)
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := g.Authorize(r); refusal != nil {
			b.Fatal(refusal)
		}
	}
}

func BenchmarkHandler(b *testing.B) {
	c, e := warmCache(b, sampleToken)
	g := &Guard{Introspector: c.Over(e), Policy: Policy{Scopes: []string{"orders:read"}}, Headers: userHeaders(b)}
	h := g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := bearerRequest(sampleToken)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

func warmCache(b *testing.B, token string) (*Cache, *engine) {
	c := newTestCache(b, Options{})
	f := activeFacts()
	f.ExpiresAt = time.Now().Add(time.Hour).Unix()
	e := engineWith(f)
	ask(b, c, token, e)
	settled(c)
	return c, e
}
