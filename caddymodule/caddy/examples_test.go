package main_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// examples are what each folder below examples shows, by a test of it while it
// runs as it is.
var examples = map[string]func(*testing.T, *server){
	"certification":           certification,
	"authentication-callback": authenticationCallback,
	"two-issuers":             twoIssuers,
	"jwt-access-tokens":       jwtAccessTokens,
	"custom-pages":            customPages,
	"optional-and-scopes":     optionalAndScopes,
	"mcp-server":              mcpServer,
	"go-server":               goServer,
	"remote-introspection":    remoteIntrospection,
	"policies":                policies,
	"rate-limit":              nil, // TestRateLimit
	"web-application":         webApplication,
	"browser-app":             nil, // TestBrowserApp
	"docker":                  nil, // TestExamplesAreValid: its Caddyfile
	"postgres":                nil, // TestPostgreSQLExample
	"systemd":                 nil, // TestSystemdUnit
}

// TestExamples: every example starts as it is and does what it says.
func TestExamples(t *testing.T) {
	folders, err := os.ReadDir(filepath.Join(root, "examples"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		check, known := examples[folder.Name()]
		if !known {
			t.Errorf("examples/%s has no test", folder.Name())
		}
		if check == nil {
			continue
		}
		t.Run(folder.Name(), func(t *testing.T) {
			path := filepath.Join(root, "examples", folder.Name())
			reads(t, path)
			text, err := os.ReadFile(filepath.Join(path, "README.md"))
			if err != nil || !strings.Contains(string(text), "go run ./caddymodule/caddy run --config examples/"+folder.Name()+"/Caddyfile") {
				t.Errorf("README.md does not say how to run it: %v", err)
			}
			s := prepare(t, filepath.Join(path, "Caddyfile"))
			s.start()
			check(t, s)
		})
	}
}

// grant gets a token by client credentials at some service.
func grant(t *testing.T, endpoint, client, secret, scope string) string {
	t.Helper()
	return send(t, "POST", endpoint, form("grant_type", "client_credentials", "scope", scope), "Authorization", basic(client, secret)).
		want(t, 200).text(t, "access_token")
}

func status(t *testing.T, method, address, token string) int {
	t.Helper()
	if token == "" {
		return send(t, method, address, "").status
	}
	return send(t, method, address, "", "Authorization", "Bearer "+token).status
}

func twoIssuers(t *testing.T, s *server) {
	staff := grant(t, "http://localhost:8110/token", "warehouse", "warehouse-secret", "stock:read")
	customer := grant(t, "http://localhost:8111/auth/token", "shop", "shop-secret", "stock:read")
	const api = "http://localhost:8112"
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/staff/stock", staff, 200}, {"/staff/stock", customer, 401}, {"/stock", customer, 200}, {"/stock", staff, 401},
		{"/stock", "", 401}, {"/staff/stock", "", 401},
	} {
		if got := status(t, "GET", api+c.path, c.token); got != c.want {
			t.Errorf("%s with %.6s: %d, want %d", c.path, c.token, got, c.want)
		}
	}
	for _, path := range []string{"/auth/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/auth"} {
		if got := get(t, "http://localhost:8111"+path).want(t, 200).text(t, "issuer"); got != "http://localhost:8111/auth" {
			t.Errorf("%s: the issuer is %s", path, got)
		}
	}
	for _, path := range []string{"/token", "/login", "/.well-known/openid-configuration", "/authx/token"} {
		if got := get(t, "http://localhost:8111"+path); got.body != "The shop's own pages." {
			t.Errorf("%s is not the shop's: %s", path, got.body)
		}
	}
	s.as = "http://localhost:8111" // whose redirects are followed
	p := s.person(t)
	r := newRequest("shop", "http://localhost:8111/signed-in", "openid")
	page := p.open("http://localhost:8111/auth/authorize?" + r.Encode())
	page = p.submit(page, "username", alice, "password", wonder)
	if cookies := p.client.Jar.Cookies(&url.URL{Scheme: "http", Host: "localhost:8111", Path: "/"}); len(cookies) > 0 || len(p.client.Jar.Cookies(page.url)) == 0 {
		t.Errorf("cookies go to the shop's own pages: %v", cookies)
	}
	page = p.submit(page, "action", "allow")
	if page.url.Path != "/signed-in" || page.url.Query().Get("iss") != "http://localhost:8111/auth" {
		t.Errorf("the browser ends at %s", page.url)
	}
	s.as = "http://localhost:8111/auth"
	if tokens := s.redeem(r, "shop-secret", page.url.Query().Get("code")).want(t, 200).json(t); tokens["id_token"] == "" {
		t.Errorf("%v", tokens)
	}
}

func jwtAccessTokens(t *testing.T, _ *server) {
	token := grant(t, "http://localhost:8120/token", demo, demoSecret, "orders:read")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %s", token)
	}
	var header, claims map[string]any
	for i, into := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	if header["alg"] != "ES256" || header["typ"] != "at+jwt" || claims["iss"] != "http://localhost:8120" || claims["scope"] != "orders:read" || claims["client_id"] != demo {
		t.Errorf("%v %v", header, claims)
	}
	if keys := get(t, "http://localhost:8120/jwks").body; !strings.Contains(keys, header["kid"].(string)) {
		t.Errorf("the key %s is not among %s", header["kid"], keys)
	}
	const api = "http://localhost:8121/orders"
	if got := status(t, "GET", api, token); got != 200 {
		t.Errorf("the API: %d", got)
	}
	challenge := get(t, api).want(t, 401).header.Get("WWW-Authenticate")
	_, address, _ := strings.Cut(challenge, `resource_metadata="`)
	address, _, _ = strings.Cut(address, `"`)
	if got := get(t, address).want(t, 200).json(t); got["resource"] != "http://localhost:8121/" || got["authorization_servers"].([]any)[0] != "http://localhost:8120" {
		t.Errorf("%s: %v", address, got)
	}
	send(t, "POST", "http://localhost:8120/revoke", form("token", token), "Authorization", basic(demo, demoSecret)).want(t, 200)
	if got := status(t, "GET", api, token); got != 401 {
		t.Errorf("the API after revocation: %d", got)
	}
	tampered := parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))
	if got := status(t, "GET", api, tampered); got != 401 {
		t.Errorf("the API with another signature: %d", got)
	}
}

func customPages(t *testing.T, s *server) {
	s.as = "http://localhost:8130"
	metadata := get(t, s.as+"/.well-known/openid-configuration").want(t, 200).json(t)
	for name, path := range map[string]string{
		"authorization_endpoint": "/oauth2/authorize", "token_endpoint": "/oauth2/token", "revocation_endpoint": "/oauth2/revoke",
		"introspection_endpoint": "/oauth2/introspect", "userinfo_endpoint": "/oauth2/userinfo", "jwks_uri": "/oauth2/keys",
	} {
		if metadata[name] != s.as+path {
			t.Errorf("%s is %v", name, metadata[name])
		}
	}
	get(t, s.as+"/oauth2/keys").want(t, 200)
	for _, path := range []string{"/authorize", "/token", "/login", "/consent", "/grants", "/end_session", "/jwks"} {
		if got := get(t, s.as+path); got.body != "The party's own pages." {
			t.Errorf("%s is still served: %s", path, got.body)
		}
	}
	p := s.person(t)
	r := newRequest("guest", "http://127.0.0.1:9999/", "openid")
	page := p.open(s.as + "/oauth2/authorize?" + r.Encode())
	if page.url.Path != "/come-in" || !strings.Contains(page.body, "<h1>Come in</h1>") || !strings.Contains(page.body, "There is tea.") {
		t.Fatalf("%s: %s", page.url, page.body)
	}
	if page = p.submit(page, "username", alice, "password", wonder); page.url.Path != "/allow" {
		t.Fatalf("%s: %s", page.url, page.body)
	}
	p.submit(page, "action", "allow")
	answer := p.answer()
	send(t, "POST", s.as+"/oauth2/token", form("grant_type", "authorization_code", "client_id", "guest", "code", answer.Get("code"),
		"redirect_uri", "http://127.0.0.1:9999/", "code_verifier", r.verifier)).want(t, 200)
	if page = p.open(s.as + "/my/applications"); !strings.Contains(page.body, "Guest list") {
		t.Errorf("%s: %s", page.url, page.body)
	}
	german := []string{"Accept-Language", "de-AT, en;q=0.5"}
	if got := get(t, s.as+"/goodbye", german...); !strings.Contains(got.body, `<html lang="de" dir="ltr">`) || !strings.Contains(got.body, "Sie sind nicht angemeldet") {
		t.Errorf("%s", got.body)
	}
	if got := get(t, s.as+"/goodbye", "Accept-Language", "ja"); !strings.Contains(got.body, "ログインしていません") {
		t.Errorf("%s", got.body)
	}
	if log := s.output.String(); !strings.Contains(log, `"language":"ja","keys":["custom.tea"]`) || strings.Contains(log, `"language":"de"`) {
		t.Errorf("the log does not say that Japanese lacks custom.tea, and German nothing: %s", log)
	}
	if page = p.submit(p.open(s.as + "/goodbye")); !strings.Contains(page.body, "You are signed out") {
		t.Errorf("%s: %s", page.url, page.body)
	}
}

func optionalAndScopes(t *testing.T, s *server) {
	s.as = "http://localhost:8140"
	s.api, s.app = "http://localhost:8141", "http://localhost:8142"
	const endpoint = "http://localhost:8140/token"
	read := grant(t, endpoint, web, webSecret, "orders:read")
	write := grant(t, endpoint, web, webSecret, "orders:write")
	admin := grant(t, endpoint, web, webSecret, "admin")
	r := newRequest(web, "http://localhost:8142/", "openid orders:read")
	p := s.person(t)
	person := s.redeem(r, webSecret, p.code(r, alice, wonder)).want(t, 200).text(t, "access_token")

	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/catalogue", "", 200}, {"GET", "/catalogue", read, 200}, {"GET", "/catalogue", "ga_nothing", 401},
		{"GET", "/orders/1", "", 401}, {"GET", "/orders/1", read, 200}, {"GET", "/orders/1", write, 200}, {"GET", "/orders/1", admin, 403},
		{"POST", "/orders/1", "", 401}, {"POST", "/orders/1", read, 403}, {"POST", "/orders/1", write, 200},
		{"GET", "/", "", 401}, {"GET", "/users", write, 403}, {"GET", "/users", admin, 200},
	} {
		if got := status(t, c.method, s.api+c.path, c.token); got != c.want {
			t.Errorf("%s %s with %.10s: %d, want %d", c.method, c.path, c.token, got, c.want)
		}
	}
	for token, want := range map[string]string{
		"": "catalogue for [] of []", read: "catalogue for [] of [" + web + "]", person: "catalogue for [" + alice + "] of [" + web + "]",
	} {
		headers := []string{"Authorization", "Bearer " + token}
		if token == "" {
			headers = nil
		}
		got := get(t, s.api+"/catalogue", headers...).want(t, http.StatusOK)
		if got.body != want || got.header.Get("X-Seen-By") != map[bool]string{true: alice}[token == person] {
			t.Errorf("%.6s: %s, X-Seen-By %q, want %s", token, got.body, got.header.Get("X-Seen-By"), want)
		}
	}
	if challenge := get(t, s.api+"/users").header.Get("WWW-Authenticate"); challenge != `Bearer realm="Administration", scope="admin"` {
		t.Errorf("challenge %s", challenge)
	}
	s.stop()
	log := s.output.String()
	if !strings.Contains(log, `"user_id":"`+alice+`"`) || !strings.Contains(log, `"client_id":"`+web+`"`) || strings.Contains(log, read) {
		t.Error("the access log does not say who it was, or says too much")
	}
}
