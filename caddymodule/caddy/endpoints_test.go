package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOddRequests: every endpoint answers wrong methods, wrong media types,
// bodies that are too large, and text that is not UTF-8, with its
// specification's error or a page, and never with 5xx (promise 9, threat 35).
func TestOddRequests(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	const formType = "application/x-www-form-urlencoded"
	huge := "grant_type=client_credentials&x=" + strings.Repeat("x", 40<<10)
	long := "a=" + strings.Repeat("b", 30<<10)
	broken := "grant_type=%ff%fe&token=%c3%28&username=%ff&client_id=%ff"

	isJSON := func(r *reply) string {
		if r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" || r.text(t, "error") == "" || r.text(t, "error_description") == "" {
			return "is no JSON error that nobody keeps"
		}
		return ""
	}
	isPage := func(r *reply) string {
		if !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !strings.Contains(r.body, "<h1>") || !strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
			return "is no page"
		}
		return ""
	}
	isChallenge := func(r *reply) string {
		if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
			return "is no challenge"
		}
		return ""
	}
	client := basic(demo, demoSecret)
	for _, e := range []struct {
		path    string
		allowed string
		check   func(*reply) string
		form    bool // reads forms
	}{
		{"/token", "POST", isJSON, true},
		{"/revoke", "POST", isJSON, true},
		{"/introspect", "POST", isJSON, true},
		{"/userinfo", "GET, HEAD, POST", isJSON, false},
		{"/jwks", "GET, HEAD", isJSON, false},
		{"/.well-known/openid-configuration", "GET, HEAD", isJSON, false},
		{"/.well-known/oauth-authorization-server", "GET, HEAD", isJSON, false},
		{"/authorize", "GET, HEAD, POST", isPage, true},
		{"/login", "GET, HEAD, POST", isPage, true},
		{"/consent", "GET, HEAD, POST", isPage, true},
		{"/grants", "GET, HEAD, POST", isPage, true},
		{"/end_session", "GET, HEAD, POST", isPage, true},
		{"/login/style.css", "GET, HEAD", isPage, false},
	} {
		odd := func(what string, r *reply, least, most int) {
			t.Helper()
			if r.status < least || r.status > most {
				t.Errorf("%s: %s: status %d, want %d to %d: %s", e.path, what, r.status, least, most, r.body)
				return
			}
			if problem := e.check(r); problem != "" {
				t.Errorf("%s: %s: the answer %s: %v %s", e.path, what, problem, r.header, r.body)
			}
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"} {
			if strings.Contains(e.allowed, method) {
				continue
			}
			r := send(t, method, s.as+e.path, "")
			odd(method, r, 405, 405)
			if got := r.header.Get("Allow"); got != e.allowed {
				t.Errorf("%s: %s: Allow is %q, want %q", e.path, method, got, e.allowed)
			}
		}
		if !e.form {
			continue
		}
		for _, kind := range []string{"application/json", "text/plain", "multipart/form-data; boundary=x", "x", ";", formType + ", text/plain"} {
			odd("Content-Type "+kind, send(t, "POST", s.as+e.path, "a=b", "Content-Type", kind, "Authorization", client), 400, 415)
		}
		if got := raw(t, s.as, lines("POST "+e.path+" HTTP/1.1", "Host: localhost", "Content-Length: 3", "Connection: close")+"a=b"); got.status < 400 || got.status > 415 {
			t.Errorf("%s: no Content-Type: status %d", e.path, got.status)
		}
		odd("a large body", send(t, "POST", s.as+e.path, huge, "Authorization", client), 413, 413)
		odd("a long body", send(t, "POST", s.as+e.path, long, "Authorization", client), 400, 413)
		odd("broken UTF-8", send(t, "POST", s.as+e.path, broken, "Authorization", client), 400, 400)
		odd("broken escapes", send(t, "POST", s.as+e.path, "a=%zz&b=%", "Authorization", client), 400, 400)
		odd("a parameter twice", send(t, "POST", s.as+e.path, "token=a&token=b&csrf=a&csrf=b", "Authorization", client), 400, 400)
	}

	for _, query := range []string{"client_id=%ff", "a=%zz", strings.Repeat("a=b&", 1000), "client_id=" + web + "&client_id=" + web, "%00=%00"} {
		if r := get(t, s.as+"/authorize?"+query); r.status != 400 || isPage(r) != "" {
			t.Errorf("/authorize?%.40s: %d %s", query, r.status, r.body)
		}
	}
	for _, credentials := range []string{"Basic", "Basic %%%", "Basic YQ==", "Basic /////w==", "Bearer x", "Digest a=b", basic(demo, "wrong secret"), basic("nobody", "wrong secret")} {
		for _, path := range []string{"/token", "/revoke", "/introspect"} {
			r := send(t, "POST", s.as+path, "grant_type=client_credentials&token=x", "Authorization", credentials)
			if r.status != 401 || r.text(t, "error") != "invalid_client" || !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("%s with %q: %d %s", path, credentials, r.status, r.body)
			}
		}
	}
	for _, authorization := range []string{"Bearer", "Bearer ", "Bearer \u00e9", "Bearer a b", "Bearer " + strings.Repeat("a", 20<<10)} {
		if r := get(t, s.as+"/userinfo", "Authorization", authorization); r.status != 400 || isChallenge(r) != "" {
			t.Errorf("/userinfo with %.20q: %d %s", authorization, r.status, r.body)
		}
	}
	if r := get(t, s.as+"/userinfo", "Authorization", "Bearer nothing"); r.status != 401 || isChallenge(r) != "" {
		t.Errorf("/userinfo with an unknown token: %d %s", r.status, r.body)
	}
	if r := get(t, s.as+"/nothing/here"); r.status != http.StatusOK && r.status != http.StatusNotFound {
		t.Errorf("a path of nobody: %d", r.status)
	}
}

// TestMetricLabelsAreBounded (threat 32, CVE-2026-16100): nothing that a
// request holds becomes a label.
func TestMetricLabelsAreBounded(t *testing.T) {
	s := startOwn(t, caddyfile(t, "global", "metrics"))
	series := func() int {
		return len(regexp.MustCompile(`(?m)^gatehouse_`).FindAllString(get(t, s.admin+"/metrics").want(t, 200).body, -1))
	}
	s.call(s.serviceToken("orders:read"))
	before := series()
	if before == 0 {
		t.Fatal("there are no metrics")
	}
	for i := range 250 {
		odd := fmt.Sprintf("odd-%d", i)
		s.post("/token", demo, demoSecret, "grant_type", odd, "scope", odd)
		s.post("/token", odd, odd+"-secret", "grant_type", "client_credentials", "scope", odd)
		send(t, "POST", s.as+"/revoke", form("token", odd, "token_type_hint", odd, "client_id", "native"), "User-Agent", odd)
		get(t, s.as+"/authorize?"+form("client_id", odd, "response_type", odd, "redirect_uri", odd))
		get(t, s.api+"/"+odd, "Authorization", "Bearer "+odd, "User-Agent", odd)
	}
	text := get(t, s.admin+"/metrics").body
	if after := series(); after > before+20 || strings.Contains(text, "odd-") {
		t.Errorf("1250 odd requests made %d series of %d", after, before)
	}
}

// codeFilter is an access log for a site with gatehouse_server.
const codeFilter = `log {
	format filter {
		resp_headers>Location regexp "([?&]code=)[^&]*" "${1}REDACTED"
	}
}`

// TestSecretsStaySecret (threat 34, promise 13): with debug and access logs on,
// nothing that the log or the metrics hold is a token, a code, a password, a
// secret, a cookie or a verifier. The log knows tokens by 8 characters of a
// digest. Caddy's access log has every response header, and so the redirect
// with a code; a filter takes it out.
func TestSecretsStaySecret(t *testing.T) {
	s := startOwn(t, caddyfile(t, "global", "debug\n\tmetrics", "server site", codeFilter, "api site", "log"))
	secrets := map[string]string{
		"the client's secret": webSecret, "the service's secret": demoSecret, "the password": wonder,
		"the wrong password": "not-wonderland", "the wrong secret": "not-the-secret",
	}
	known := func(what, value string) string {
		if value == "" {
			t.Fatalf("there is no %s", what)
		}
		secrets[what] = value
		return value
	}

	p := s.person(t)
	r := newRequest(web, s.app+"/callback", "openid profile offline_access orders:read")
	page := p.open(s.as + "/authorize?" + r.Encode())
	page = p.submit(page, "username", alice, "password", "not-wonderland")
	page = p.submit(page, "username", alice, "password", wonder)
	p.submit(page, "action", "allow")
	code := known("the code", p.answer().Get("code"))
	known("the verifier", r.verifier)
	tokens := s.redeem(r, webSecret, code).want(t, 200).json(t)
	access := known("the access token", tokens["access_token"].(string))
	refresh := known("the refresh token", tokens["refresh_token"].(string))
	known("the ID token", tokens["id_token"].(string))
	for _, c := range p.client.Jar.Cookies(page.url) {
		known("the cookie "+c.Name, c.Value)
	}
	p.open(s.as + "/grants")
	page = p.open(s.as + "/end_session")
	known("the form's token", fieldPattern.FindStringSubmatch(page.body)[2])

	s.call(access).want(t, 200)
	s.call(access).want(t, 200)
	s.call(known("a made-up token", "made-up-token-that-somebody-might-hold")).want(t, 401)
	// A token that a client puts into the URL is refused, but Caddy's access
	// log has the URL before any handler sees it: RFC 6750 §5.3 warns of it.
	get(t, s.api+"/orders?access_token="+s.serviceToken("orders:read")).want(t, 400)
	get(t, s.as+"/userinfo", "Authorization", "Bearer "+access).want(t, 200)
	s.post("/introspect", web, webSecret, "token", access).want(t, 200)
	again := s.post("/token", web, webSecret, "grant_type", "refresh_token", "refresh_token", refresh).want(t, 200)
	known("the second access token", again.text(t, "access_token"))
	s.redeem(r, webSecret, code).want(t, 400) // replay: everything of this grant ends
	s.post("/token", web, "not-the-secret", "grant_type", "refresh_token", "refresh_token", refresh).want(t, 401)
	s.post("/token", web, webSecret, "grant_type", "refresh_token", "refresh_token", refresh).want(t, 400)
	service := known("a service's token", s.serviceToken("orders:read"))
	s.revoke(demo, demoSecret, service)
	send(t, "POST", s.as+"/token", form("grant_type", "client_credentials", "client_id", demo, "client_secret", demoSecret))
	p.submit(page)

	key, err := os.ReadFile(filepath.Join(filepath.Dir(s.database()), "gatehouse.key"))
	if err != nil {
		t.Fatal(err)
	}
	known("the master key", strings.TrimSpace(string(key)))
	text := get(t, s.admin+"/metrics").want(t, 200).body
	s.stop()
	log := s.output.String()
	if !strings.Contains(log, `"level":"debug"`) || !strings.Contains(log, "handled request") {
		t.Fatal("the log has no debug lines or no requests")
	}
	if !strings.Contains(log, "code=REDACTED") {
		t.Error("the log does not have the redirect to the client")
	}
	for what, secret := range secrets {
		for where, text := range map[string]string{"log": log, "metrics": text} {
			if i := strings.Index(text, secret); i >= 0 {
				line := text[strings.LastIndex(text[:i], "\n")+1:]
				line, _, _ = strings.Cut(line, "\n")
				t.Errorf("%s is in the %s: %s", what, where, line)
			}
		}
	}
}
