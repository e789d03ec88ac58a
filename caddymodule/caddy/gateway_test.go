package main_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// spellings are names that some server takes for X-User.
var spellings = []string{"X-User", "x-user", "X_User", "x_user", "X.User", "X-USER", "x_USER", "X~User"}

// startEcho is an API that shows every header and trailer that arrives whose
// name or value is about a user.
func startEcho(t *testing.T) string {
	t.Helper()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for _, headers := range []http.Header{r.Header, r.Trailer} {
			for _, name := range slices.Sorted(maps.Keys(headers)) {
				if value := strings.Join(headers[name], ", "); strings.Contains(strings.ToLower(name), "user") || name == "X-Client" || strings.Contains(value, "admin") || name == "Connection" {
					if name != "User-Agent" {
						fmt.Fprintf(w, "[%s: %s]", name, value)
					}
				}
			}
		}
	}))
	t.Cleanup(echo.Close)
	return strings.TrimPrefix(echo.URL, "http://")
}

// TestSpoofedIdentity (threats 23 and 26, promise 8; CVE-2026-30851,
// CVE-2026-52845, CVE-2025-64484, CVE-2024-45410): what a client sends under
// an identity header's name never arrives, on any path or method.
func TestSpoofedIdentity(t *testing.T) {
	text := caddyfile(t, "sites", `http://localhost:{$APP} {
	gatehouse_bearer {
		optional
		forward sub X-User
		forward client_id X-Client
	}
	reverse_proxy 127.0.0.1:{$UP}
}`)
	s := startOwn(t, strings.ReplaceAll(text, "reverse_proxy 127.0.0.1:{$UP}", "reverse_proxy "+startEcho(t)))
	token := s.serviceToken("orders:read")
	person := s.person(t).signIn("openid orders:read")["access_token"].(string)

	for _, site := range []struct {
		name, address string
		headers       []string
		want          string
	}{
		{"with a client's token", s.api, []string{"Authorization: Bearer " + token}, "[X-Client: " + demo + "]"},
		{"with a user's token", s.app, []string{"Authorization: Bearer " + person}, "[X-Client: " + web + "][X-User: " + alice + "]"},
		{"without a token", s.app, nil, ""},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			for _, path := range []string{"/", "/orders", "/.well-known/oauth-protected-resource", "/*"} {
				for _, spelling := range spellings {
					request := lines(append([]string{method + " " + path + " HTTP/1.1", "Host: localhost", "Connection: close",
						spelling + ": admin", "X-Client: admin"}, site.headers...)...)
					got := raw(t, site.address, strings.Replace(request, "\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n", 1))
					if got.status != http.StatusOK || method != "HEAD" && got.body != site.want {
						t.Errorf("%s, %s %s with %s: %d %s", site.name, method, path, spelling, got.status, got.body)
					}
				}
			}
		}
		for name, extra := range map[string][]string{
			"Connection: X-User":           {"Connection: close, X-User", "X-User: admin"},
			"Connection: X-Client, X-User": {"Connection: X-Client, x-user, close"},
			"twice":                        {"X-User: admin", "X-User: admin", "x-user: admin", "Connection: close"},
			"folded":                       {"X-User: ad", " min", "Connection: close"},
			"empty":                        {"X-User:", "Connection: close"},
		} {
			got := raw(t, site.address, lines(append(append([]string{"GET / HTTP/1.1", "Host: localhost"}, extra...), site.headers...)...))
			if got.status != http.StatusBadRequest && got.body != site.want {
				t.Errorf("%s, %s: %d %s", site.name, name, got.status, got.body)
			}
		}
		if got := raw(t, site.address, lines(append([]string{"GET / HTTP/1.1", "Host: localhost", "X-User : admin", "Connection: close"}, site.headers...)...)); strings.Contains(got.body, "admin") {
			t.Errorf("%s, a space before the colon: %d %s", site.name, got.status, got.body)
		}
		for _, announced := range []string{"Trailer: X-User", "Trailer: x_user, X-Client", "X-Not-Trailer: 1"} {
			head := lines(append([]string{"POST / HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked", "Connection: close", announced}, site.headers...)...)
			got := raw(t, site.address, head+"3\r\nabc\r\n0\r\nX-User: admin\r\nx_user: admin\r\nX-Client: admin\r\n\r\n")
			if got.body != site.want {
				t.Errorf("%s, trailers with %s: %d %s", site.name, announced, got.status, got.body)
			}
		}
	}
}

// TestOneTokenInOnePlace (threat 26, promise 9, CVE-2026-31838, RFC 6750 §2):
// two Authorization headers, or a token in the URL, are a 400.
func TestOneTokenInOnePlace(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	token := s.serviceToken("orders:read")
	for name, request := range map[string]string{
		"two headers":             lines("GET /orders HTTP/1.1", "Host: localhost", "Connection: close", "Authorization: Bearer "+token, "Authorization: Bearer "+token),
		"two schemes":             lines("GET /orders HTTP/1.1", "Host: localhost", "Connection: close", "Authorization: Basic YTpi", "authorization: Bearer "+token),
		"in the query":            lines("GET /orders?access_token="+token+" HTTP/1.1", "Host: localhost", "Connection: close"),
		"in the query, encoded":   lines("GET /orders?%61ccess_token="+token+" HTTP/1.1", "Host: localhost", "Connection: close"),
		"in the query as well":    lines("GET /orders?a=b;access_token="+token+" HTTP/1.1", "Host: localhost", "Connection: close", "Authorization: Bearer "+token),
		"two tokens in one value": lines("GET /orders HTTP/1.1", "Host: localhost", "Connection: close", "Authorization: Bearer "+token+", Bearer "+token),
		"a tab for a space":       lines("GET /orders HTTP/1.1", "Host: localhost", "Connection: close", "Authorization: Bearer\t"+token),
	} {
		got := raw(t, s.api, request)
		if got.status != http.StatusBadRequest || !strings.Contains(got.header.Get("WWW-Authenticate"), `error="invalid_request"`) {
			t.Errorf("%s: %d %q %s", name, got.status, got.header.Get("WWW-Authenticate"), got.body)
		}
	}
	for name, headers := range map[string][]string{
		"lower case":   {"authorization: bearer " + token},
		"two spaces":   {"Authorization: Bearer  " + token},
		"spaces about": {"Authorization:   Bearer " + token + "  "},
	} {
		if got := raw(t, s.api, lines(append([]string{"GET /orders HTTP/1.1", "Host: localhost", "Connection: close"}, headers...)...)); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for name, headers := range map[string][]string{
		"nothing":        nil,
		"another scheme": {"Authorization: Basic " + strings.TrimPrefix(basic(demo, demoSecret), "Basic ")},
		"in the body":    {"Content-Type: application/x-www-form-urlencoded"},
	} {
		got := raw(t, s.api, strings.Replace(lines(append([]string{"POST /orders HTTP/1.1", "Host: localhost", "Connection: close"}, headers...)...),
			"\r\n\r\n", "\r\nContent-Length: 13\r\n\r\naccess_token=", 1))
		if challenge := got.header.Get("WWW-Authenticate"); got.status != http.StatusUnauthorized || strings.Contains(challenge, "error") || !strings.Contains(challenge, `scope="orders:read"`) {
			t.Errorf("%s: %d %q %s", name, got.status, challenge, got.body)
		}
	}
}

// TestPaths (threat 24, promise 11; CVE-2026-33494, CVE-2026-27587,
// CVE-2026-27588): however a path is written, what stands behind the gateway
// is not reached without a token. A gateway for the whole site sees every
// path; one with a matcher sees every path that the API takes for /admin.
func TestPaths(t *testing.T) {
	s := startOwn(t, caddyfile(t, "sites", `http://localhost:{$APP} {
	@admin path /admin*
	gatehouse_bearer @admin {
		scopes admin
	}
	reverse_proxy 127.0.0.1:{$UP}
}`, "upstream site", `@admin path_regexp (?i)^/admin
	respond @admin "secret"
	#`))
	token := s.serviceToken("orders:read")
	for _, path := range []string{
		"/admin", "/admin/", "/admin/users", "/admin?x", "/ADMIN", "/Admin/users", "/%61dmin", "/%41dmin/users",
		"//admin", "///admin/users", "/./admin", "/a/../admin", "/x/%2e%2e/admin", "/x/..%2fadmin", "/%2fadmin", "/%2Fadmin",
		"/admin%2fusers", "/admin;x=y", "/admin/../admin", "/;/admin", "/admin%00", "/admin%20", "/admin.", "/admin..;/",
		"/x/../../admin", `/\admin`, "/%5cadmin", "/admin#", "/%2561dmin", "http://localhost/admin", "*",
	} {
		for _, method := range []string{"GET", "POST"} {
			request := lines(method+" "+path+" HTTP/1.1", "Host: localhost", "Connection: close", "Content-Length: 0")
			if got := raw(t, s.app, request); strings.Contains(got.body, "secret") {
				t.Errorf("behind a matcher, %s %s without a token: %d %s", method, path, got.status, got.body)
			}
			withToken := strings.Replace(request, "\r\n\r\n", "\r\nAuthorization: Bearer "+token+"\r\n\r\n", 1)
			if got := raw(t, s.app, withToken); strings.Contains(got.body, "secret") {
				t.Errorf("behind a matcher, %s %s with too small a scope: %d %s", method, path, got.status, got.body)
			}
			if got := raw(t, s.api, request); got.status != http.StatusUnauthorized && got.status != http.StatusBadRequest {
				t.Errorf("behind a gateway for the site, %s %s: %d %s", method, path, got.status, got.body)
			}
		}
	}
	admin := s.serviceToken("admin")
	if got := get(t, s.app+"/admin/users", "Authorization", "Bearer "+admin).want(t, http.StatusOK); got.body != "secret" {
		t.Errorf("with the scope: %s", got.body)
	}
	if got := get(t, s.app+"/other"); got.status != http.StatusOK {
		t.Errorf("what no matcher covers: %d", got.status)
	}
}
