package bearer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

// show answers with what reaches the API.
const show = `respond "{http.request.header.Authorization}|{http.request.header.X-Token}"`

// TestUpstream: the API gets the token unchanged, nothing, or another in its
// place, in Authorization or a header of its own that no client can fill.
func TestUpstream(t *testing.T) {
	s := start(t, shortDir(t), "introspector one oracle o", `
handle /unchanged {
	gatehouse_bearer
	`+show+`
}
handle /nothing {
	gatehouse_bearer {
		optional
		upstream nothing
	}
	`+show+`
}
handle /jwt {
	gatehouse_bearer {
		resource https://api.example/jwt
		upstream jwt {
			audience orders
			claims tier
		}
	}
	`+show+`
}
handle /header {
	gatehouse_bearer {
		optional
		resource https://api.example/header
		upstream jwt {
			header X-Token
		}
	}
	`+show+`
}
handle /.well-known/gatehouse/jwks.json {
	gatehouse_bearer {
		resource https://api.example/
		upstream jwt
	}
}`)
	token := tokenOf("o", `{"sub":"alice","client_id":"shop","scope":"a b","tier":"gold","secret":"x"}`)
	if got := s.get("/unchanged", token); got.body != "Bearer "+token+"|" {
		t.Errorf("unchanged: %s", got.body)
	}
	if got := s.get("/nothing", token); got.body != "|" {
		t.Errorf("nothing: %s", got.body)
	}
	if got := s.get("/nothing", "", "Authorization", "Basic YTpi"); got.body != "|" {
		t.Errorf("nothing of another scheme: %s", got.body)
	}
	keys, err := jwk.ParseString(s.get("/.well-known/gatehouse/jwks.json", "").body)
	if err != nil || keys.Len() != 1 {
		t.Fatalf("the published keys: %v", err)
	}
	got := s.get("/jwt", token, "X-Token", "mine")
	phantom, rest, _ := strings.Cut(strings.TrimPrefix(got.body, "Bearer "), "|")
	if rest != "mine" {
		t.Errorf("a header that is nobody's: %q", rest)
	}
	claims := verify(t, keys, phantom)
	tier, _ := claims.Get("tier")
	if _, leaks := claims.Get("secret"); claims.Issuer() != "https://api.example" || claims.Subject() != "alice" || claims.Audience()[0] != "orders" || tier != "gold" || leaks {
		t.Errorf("the phantom token says %v", claims)
	}
	if again := s.get("/jwt", token); again.body != "Bearer "+phantom+"|" {
		t.Errorf("it is not kept with the token")
	}
	for _, spelling := range []string{"X-Token", "x_token", "X.TOKEN"} {
		if got := s.get("/header", "", spelling, "forged"); got.body != "|" {
			t.Errorf("%s without a token: %s", spelling, got.body)
		}
		got := s.get("/header", token, spelling, "forged")
		before, phantom, _ := strings.Cut(got.body, "|")
		if claims := verify(t, keys, phantom); before != "" || claims.Audience()[0] != "https://api.example/header" {
			t.Errorf("in a header: %s", got.body)
		}
	}
}

func verify(t *testing.T, keys jwk.Set, token string) jwt.Token {
	t.Helper()
	claims, err := jwt.ParseString(token, jwt.WithKeySet(keys, jws.WithRequireKid(true)))
	if err != nil {
		t.Fatalf("%s: %v", token, err)
	}
	return claims
}

// TestGatewayKeys: the key is made once and kept, a file takes its place, and
// one that cannot be read stops the start (CVE-2026-27586, CVE-2026-31837).
func TestGatewayKeys(t *testing.T) {
	folder := shortDir(t)
	const route = "gatehouse_bearer {\nresource https://api.example/ {\nsigned\n}\n}\nrespond fine"
	published := func(options string) string {
		t.Helper()
		return start(t, folder, "introspector one oracle o\n"+options, route).get("/.well-known/gatehouse/jwks.json", "").body
	}
	first := published("")
	if again := published("# again"); again != first || !strings.Contains(first, `"kid"`) {
		t.Errorf("%s became %s", first, again)
	}
	kept := filepath.Join(folder, "caddy", "gatehouse", "gateway_keys.json")
	stat, err := os.Stat(kept)
	if err != nil || stat.Mode().Perm()&0o077 != 0 {
		t.Fatalf("%v %v", stat, err)
	}
	text, _ := os.ReadFile(kept)
	if strings.Contains(first, `"d"`) || !strings.Contains(string(text), `"d"`) {
		t.Error("the private key is published, or not kept")
	}
	var document struct {
		JWKSURI string `json:"jwks_uri"`
		Signed  string `json:"signed_metadata"`
	}
	s := start(t, folder, "introspector one oracle o", route)
	if err := json.Unmarshal([]byte(s.get("/.well-known/oauth-protected-resource", "").body), &document); err != nil {
		t.Fatal(err)
	}
	keys, err := jwk.ParseString(first)
	if err != nil || document.JWKSURI != "https://api.example/.well-known/gatehouse/jwks.json" {
		t.Errorf("%v %+v", err, document)
	}
	if resource, _ := verify(t, keys, document.Signed).Get("resource"); resource != "https://api.example/" {
		t.Errorf("RFC 9728 §2.2: signed metadata about %v", resource)
	}
	for name, content := range map[string]string{"no file": "", "no keys": "{}", "public": first} {
		file := filepath.Join(folder, "keys.json")
		_ = os.Remove(file)
		if content != "" {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := tryStart(shortDir(t), "introspector one oracle o\ngateway_keys "+file, route); err == nil || !strings.Contains(err.Error(), "gateway_keys") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "keys.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := published("gateway_keys " + filepath.Join(folder, "keys.json")); got != first {
		t.Errorf("from a file: %s", got)
	}
}

// TestTokenExchange (RFC 8693): one exchange for a token, kept with it; a denial
// is the client's 403, an outage a 503.
func TestTokenExchange(t *testing.T) {
	var exchanges atomic.Int64
	denied := tokenOf("o", `{"sub":"denied"}`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchanges.Add(1)
		id, secret, _ := r.BasicAuth()
		if id != "gateway" || secret != "gateway-secret" || r.FormValue("audience") != "orders" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("subject_token") == denied {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_target"}`))
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"exchanged","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":300}`))
	}))
	t.Cleanup(server.Close)
	t.Setenv("EXCHANGE_SECRET", "gateway-secret")
	s := start(t, shortDir(t), "introspector one oracle o", "gatehouse_bearer {\nupstream exchange "+server.URL+" {\nclient_id gateway\nclient_secret {env.EXCHANGE_SECRET}\naudience orders\n}\n}\n"+show)
	token := tokenOf("o", `{"sub":"alice"}`)
	for range 3 {
		if got := s.get("/", token); got.status != 200 || got.body != "Bearer exchanged|" {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if got := exchanges.Load(); got > 2 { // ristretto shows the token a little later
		t.Errorf("%d exchanges for one token", got)
	}
	if got := s.get("/", denied); got.status != 403 {
		t.Errorf("a denial: %d %s", got.status, got.body)
	}
	server.Close()
	if got := s.get("/", tokenOf("o", `{"sub":"bob"}`)); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("an outage: %d", got.status)
	}
}
