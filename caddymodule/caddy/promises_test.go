package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// The gateway's promises, one test each, on the running binary and in front of
// an authorization server that is watched. The packages below have more.

func TestPromise01PolicyIsJudgedOnEveryRequest(t *testing.T) {
	p := startProbe(t)
	s := p.guard("")
	s.call("one").want(t, 200)
	if got := status(t, "GET", s.api+"/write", "one"); got != 403 {
		t.Errorf("another route's scope: %d", got)
	}
	if p.asked.Load() != 1 {
		t.Errorf("two routes asked %d times", p.asked.Load())
	}
	s.configure(strings.Replace(strings.Replace(guardedBy, "# site", "", 1), "scopes orders:read", "scopes orders:none", 1))
	s.reload()
	if s.call("one").want(t, 403); p.asked.Load() != 1 {
		t.Errorf("after a change of policy the token was asked about again: %d", p.asked.Load())
	}
}

func TestPromise02TheKeyCoversTheWholeToken(t *testing.T) {
	p := startProbe(t)
	p.does(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{"active": true, "sub": r.FormValue("token"), "scope": "orders:read"})
	})
	s := p.guard("")
	long := strings.Repeat("a", 4000)
	for range 2 {
		for _, token := range []string{"a", "aa", "A", "a=", long, long + "b", long + "c"} {
			want := "user=" + token
			if got := s.call(token).want(t, 200).body; got != want {
				t.Errorf("%.10s got the facts of %.20s", token, got)
			}
		}
	}
}

func TestPromise03AnEntryEndsWithItsToken(t *testing.T) {
	p := startProbe(t)
	s := p.guard("")
	exp := time.Now().Unix() + 2
	p.says(fmt.Sprintf(`{"active":true,"scope":"orders:read","exp":%d}`, exp))
	for time.Now().Unix() < exp {
		if got := s.call("short").status; got != 200 && time.Now().Unix() < exp {
			t.Fatalf("before exp: %d", got)
		}
	}
	// The engine lies, or its clock is an hour late: what it calls active has expired here.
	s.call("short").want(t, 401)
	p.says(`{"active":false}`)
	before, first := p.asked.Load(), time.Now()
	for range 40 {
		s.call("bad").want(t, 401)
	}
	most := 1 + int64(time.Since(first)/introspect.DefaultNegativeTTL) // on a machine that is that slow
	if got := p.asked.Load() - before; got > most {
		t.Errorf("a bad token was asked about %d times, want %d", got, most)
	}
}

func TestPromise04OneIntrospectionAToken(t *testing.T) {
	p := startProbe(t)
	release := make(chan struct{})
	p.does(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		writeJSON(w, map[string]any{"active": true, "scope": "orders:read"})
	})
	s := p.guardWith(strings.Replace(guardedBy, "timeout       2s", "timeout       5s", 1)) // as long as the cache lets it: all of them come meanwhile
	var callers sync.WaitGroup
	var good atomic.Int64
	for range 60 {
		callers.Go(func() {
			if r, err := try(plain, "GET", s.api+"/", "", "Authorization", "Bearer new"); err == nil && r.status == 200 {
				good.Add(1)
			}
		})
	}
	wait(t, "59 to join", func() error {
		if text := get(t, s.admin+"/metrics").body; !strings.Contains(text, `gatehouse_cache_lookups_total{introspector="asked",result="join"} 59`) {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	close(release)
	callers.Wait()
	if good.Load() != 60 || p.asked.Load() != 1 {
		t.Errorf("%d of 60 got through with %d introspections", good.Load(), p.asked.Load())
	}
}

// Promise 5 is held by TestGatewayElsewhere, which revokes at an engine in
// another process, and by the README's test, which revokes in this one.

func TestPromise06EngineDown(t *testing.T) {
	p := startProbe(t)
	s := p.guard("")
	s.call("known").want(t, 200)
	for name, broken := range map[string]http.HandlerFunc{
		"error":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"refused":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"forbidden": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		"not there": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"moved":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/x"); w.WriteHeader(307) },
		"wrong type": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"active":true,"scope":"orders:read"}`))
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"active":true`))
		},
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"slow":      func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(`{"active":true,"x":"` + strings.Repeat("x", 1<<16))); err != nil {
					return
				}
			}
		},
		"lies about exp": func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, map[string]any{"active": true, "scope": "orders:read", "exp": "never"})
		},
	} {
		p.does(broken)
		r := s.call("unknown-" + strings.ReplaceAll(name, " ", "-"))
		if r.status != 503 || r.header.Get("Retry-After") == "" || r.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
		s.call("known").want(t, 200)
	}
	p.Close()
	s.call("known").want(t, 200)
	s.call("unknown").want(t, 503)
}

func TestPromise07UnknownKeysAreNotFetchedOverAndOver(t *testing.T) {
	p := startProbe(t)
	s := p.guard("")
	s.call(p.token("first", "at+jwt", nil)).want(t, 200)
	before := p.fetched.Load()
	var callers sync.WaitGroup
	for i := range 300 {
		callers.Go(func() {
			if got := status(t, "GET", s.api+"/", p.token(fmt.Sprint("random", i), "at+jwt", nil)); got != 401 {
				t.Errorf("an unknown key: %d", got)
			}
		})
	}
	callers.Wait()
	if got := p.fetched.Load() - before; got > 1 {
		t.Errorf("300 unknown keys made %d fetches", got)
	}
}

// Promise 8 is held by TestSpoofedIdentity, for every spelling, path and method.

func TestPromise09RFC6750(t *testing.T) {
	p := startProbe(t)
	s := p.guard("")
	metadata := `resource_metadata="` + s.api + `/.well-known/oauth-protected-resource"`
	for _, test := range []struct {
		path, authorization string
		status              int
		challenge           []string
	}{
		{"/", "", 401, []string{`Bearer scope="orders:read"`, metadata}},
		{"/", "Bearer", 400, []string{`error="invalid_request"`, metadata}},
		{"/", "Bearer a b", 400, []string{`error="invalid_request"`}},
		{"/", "Bearer " + strings.Repeat("a", 9000), 400, []string{`error="invalid_request"`}},
		{"/?access_token=x", "", 400, []string{`error="invalid_request"`}},
		{"/", "Basic YTpi", 401, []string{`Bearer scope=`}},
		{"/", "Bearer a.b.c", 401, []string{`error="invalid_token"`, metadata}},
		{"/write", "Bearer good", 403, []string{`error="insufficient_scope"`, `scope="orders:write"`}},
	} {
		headers := []string{}
		if test.authorization != "" {
			headers = append(headers, "Authorization", test.authorization)
		}
		r := get(t, s.api+test.path, headers...)
		for _, want := range test.challenge {
			if got := r.header.Get("WWW-Authenticate"); r.status != test.status || !strings.Contains(got, want) || r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s with %.20s: %d %s, want %s", test.path, test.authorization, r.status, got, want)
			}
		}
	}
	if got := get(t, s.api+"/.well-known/oauth-protected-resource").want(t, 200).text(t, "resource"); got != s.api+"/" {
		t.Errorf("metadata about %s", got)
	}
}

func TestPromise10OnlyAccessTokens(t *testing.T) {
	p := startProbe(t)
	s := p.guard("")
	now := time.Now().Unix()
	good := p.token("first", "at+jwt", nil)
	s.call(good).want(t, 200)
	for name, token := range map[string]string{
		"an ID token":          p.token("first", "JWT", map[string]any{"nonce": "x"}),
		"another type":         p.token("first", "logout+jwt", nil),
		"another audience":     p.token("first", "at+jwt", map[string]any{"aud": "https://other.example"}),
		"no audience":          p.token("first", "at+jwt", map[string]any{"aud": nil}),
		"another issuer":       p.token("first", "at+jwt", map[string]any{"iss": "https://evil.example"}),
		"no expiry":            p.token("first", "at+jwt", map[string]any{"exp": nil}),
		"expired":              p.token("first", "at+jwt", map[string]any{"exp": now - 3600}),
		"of the coming hour":   p.token("first", "at+jwt", map[string]any{"iat": now + 3600, "exp": now + 7200}),
		"not valid yet":        p.token("first", "at+jwt", map[string]any{"nbf": now + 3600}),
		"another signature":    good[:strings.LastIndex(good, ".")] + ".AAAA",
		"unsigned":             "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + strings.Split(good, ".")[1] + ".",
		"with another's claim": strings.Split(good, ".")[0] + "." + strings.Split(p.token("first", "at+jwt", map[string]any{"sub": "admin"}), ".")[1] + "." + strings.Split(good, ".")[2],
	} {
		if r := s.call(token); r.status != 401 && r.status != 400 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
	// Keys unreachable, before any was known: fail closed.
	q := startProbe(t)
	q.keys = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	q.guard("").call(q.token("first", "at+jwt", nil)).want(t, 503)
}

// Promise 11, that paths are Caddy's matchers, is held by TestOpenPaths; promise
// 12, that reloads lose and leak nothing, by TestReloadsUnderLoad.

func TestPromise13TokensAreNowhere(t *testing.T) {
	p := startProbe(t)
	s := p.guard("")
	secret := "a-token-that-nobody-may-read"
	jwt := p.token("first", "at+jwt", nil)
	s.call(secret).want(t, 200)
	s.call(jwt).want(t, 200)
	p.does(func(w http.ResponseWriter, r *http.Request) { // an error that quotes it
		http.Error(w, r.FormValue("token"), 500)
	})
	s.call(secret+"2").want(t, 503)
	for where, text := range map[string]string{
		"log": s.output.String(), "metrics": get(t, s.admin+"/metrics").body, "statistics": get(t, s.admin+"/gatehouse/cache").body,
		"health": get(t, s.admin+"/gatehouse/health").body,
	} {
		if strings.Contains(text, secret) || strings.Contains(text, strings.Split(jwt, ".")[2]) || strings.Contains(text, "gateway-secret") {
			t.Errorf("a token or a secret is in the %s", where)
		}
	}
	if log := s.output.String(); !strings.Contains(log, `"gatehouse":{"token":"`) {
		t.Error("the access log does not name tokens by their digests")
	}
}

// reload loads the server's configuration again.
func (s *server) reload() {
	s.t.Helper()
	if _, errs, err := s.command("", "reload", "--config", s.config, "--address", strings.TrimPrefix(s.admin, "http://")); err != nil {
		s.t.Fatalf("%v %s", err, errs)
	}
	s.settled()
}
