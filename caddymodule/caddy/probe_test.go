package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// probe is somebody's authorization server, which counts what it is asked and
// answers what a test wants.
type probe struct {
	*httptest.Server
	t   *testing.T
	key jwk.Key

	asked, fetched atomic.Int64 // introspections, and fetches of keys

	mu     sync.Mutex
	answer http.HandlerFunc // of the introspection endpoint
	keys   http.HandlerFunc // of the keys' address
}

func startProbe(t *testing.T) *probe {
	t.Helper()
	p := &probe{t: t, key: newKey(t, "first")}
	mux := http.NewServeMux()
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		_ = r.ParseForm() // net/http notices that a client has gone once the body is read
		p.mu.Lock()
		answer := p.answer
		p.mu.Unlock()
		answer(w, r)
	})
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		p.fetched.Add(1)
		p.mu.Lock()
		keys := p.keys
		p.mu.Unlock()
		keys(w, r)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	p.says(`{"active":true,"sub":"alice","client_id":"shop","scope":"orders:read","exp":4102444800}`)
	p.keys = func(w http.ResponseWriter, _ *http.Request) {
		public, err := p.key.PublicKey()
		if err != nil {
			t.Error(err)
		}
		writeJSON(w, map[string]any{"keys": []jwk.Key{public}})
	}
	return p
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func newKey(t *testing.T, kid string) jwk.Key {
	t.Helper()
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwk.FromRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	_ = key.Set(jwk.KeyIDKey, kid)
	_ = key.Set(jwk.AlgorithmKey, jwa.ES256)
	return key
}

// says makes the introspection endpoint answer with a body.
func (p *probe) says(body string) {
	p.does(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	})
}

func (p *probe) does(answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// token is an access token of the probe's (RFC 9068), with changes.
func (p *probe) token(kid, typ string, changes map[string]any) string {
	p.t.Helper()
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": p.URL, "sub": "alice", "aud": "https://api.example", "client_id": "shop", "scope": "orders:read",
		"iat": now, "exp": now + 600, "jti": fmt.Sprint(time.Now().UnixNano()),
	}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	body, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	header := jws.NewHeaders()
	_ = header.Set(jws.TypeKey, typ)
	_ = header.Set(jws.KeyIDKey, kid)
	key, err := p.key.Clone()
	if err != nil {
		p.t.Fatal(err)
	}
	_ = key.Remove(jwk.KeyIDKey) // the header says it
	signed, err := jws.Sign(body, jws.WithKey(jwa.ES256, key, jws.WithProtectedHeaders(header)))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(signed)
}

// guardedBy is a gateway that asks the probe.
const guardedBy = `{
	default_bind 127.0.0.1
	admin localhost:{$ADMIN}
	log {
		level DEBUG
	}
	gatehouse {
		introspector asked remote {$PROBE}/introspect {
			client_id     gateway
			client_secret gateway-secret
			attempts      1
			timeout       2s
			shape         opaque
		}
		introspector keys jwt {$PROBE} {
			audience https://api.example
		}
	}
}
http://localhost:{$API} {
	log
	handle /write {
		gatehouse_bearer {
			introspectors asked keys
			scopes orders:write
		}
		respond "written"
	}
	handle {
		gatehouse_bearer {
			introspectors asked keys
			resource http://localhost:{$API}/
			scopes orders:read
			forward sub X-User
		}
		respond "user={header.X-User}"
	}
	# site
}
`

func (p *probe) guard(site string) *server {
	p.t.Helper()
	return p.guardWith(strings.Replace(guardedBy, "# site", site, 1))
}

func (p *probe) guardWith(caddyfile string) *server {
	p.t.Helper()
	s := prepareOwn(p.t, caddyfile)
	s.env = append(s.env, "PROBE="+p.URL)
	s.start()
	return s
}
