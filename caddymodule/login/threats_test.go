package login

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Where to go after signing in is a keyword of ours, whatever the address says
// (threats.md 9, CVE-2024-39694).
func TestThreat09NoReturnAddressFromTheBrowser(t *testing.T) {
	e := newEnv(t)
	for _, evil := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/\t/evil.example", "javascript:alert(1)"} {
		b := e.browser()
		for _, name := range []string{"return", "return_to", "redirect_uri", "post_logout_redirect_uri", "next"} {
			q := "?" + url.Values{name: {evil}}.Encode()
			page := b.get("/grants"+q).want(t, 200, "/login", "Sign in")
			if strings.Contains(page.body, "evil") {
				t.Errorf("%s=%s is on the page", name, evil)
			}
		}
		page := b.get("/grants?return=" + url.QueryEscape(evil))
		action, form := page.form(t)
		form.Set("return", evil)
		form.Set("username", e.user)
		form.Set("password", password)
		b.do(http.MethodPost, action+"&return="+url.QueryEscape(evil), form).want(t, 200, "/grants", "Applications with access")
		out := b.get("/end_session?post_logout_redirect_uri="+url.QueryEscape(evil)).want(t, 400, "/end_session", "You have not been signed out")
		if strings.Contains(out.body, "evil") || out.location != nil {
			t.Errorf("%s: %s", evil, out.body)
		}
		b.submit(b.get("/end_session")).want(t, 200, "/end_session", "You are signed out")
	}
}

// Addresses come from the configuration (CVE-2025-64101).
func TestThreat22HostNeverShapesAnything(t *testing.T) {
	e := newEnv(t)
	b := e.browser()
	header := []string{"Host", "evil.example", "Forwarded", "host=evil.example;proto=https", "X-Forwarded-Host", "evil.example",
		"X-Forwarded-Proto", "https", "X-Forwarded-Prefix", "/evil", "X-Original-URL", "/evil", "X-Rewrite-URL", "/evil"}
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	first := b.get(authorizePath(), header...)
	location := first.header.Get("Location")
	if !strings.HasPrefix(location, "/login?interaction=") {
		t.Fatalf("Location: %s", location)
	}
	if got := first.header.Get("Set-Cookie"); !strings.Contains(got, "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax") || strings.Contains(got, "Domain") {
		t.Errorf("Set-Cookie: %s", got)
	}
	login := b.get(location, header...)
	action, form := login.form(t)
	if strings.Contains(login.body, "evil") || !strings.HasPrefix(action, "/login?") {
		t.Errorf("the page has an address of the request's: %s", login.body)
	}
	form.Set("username", e.user)
	form.Set("password", password)
	// An origin that agrees with Host alone is foreign.
	b.do(http.MethodPost, action, form, append(header, "Origin", "https://evil.example")...).want(t, 403, "/login", "another site")
	b.do(http.MethodPost, action, form, append(header, "Origin", issuer)...).want(t, 303, "/login", "")
}

// The session id changes at sign-in, and the old one is worth nothing (CVE-2024-28197).
func TestThreat27SessionIDChangesAtSignIn(t *testing.T) {
	e := newEnv(t)
	b := e.browser()
	// What an attacker planted does not become the session.
	planted, id, _, err := e.engine.NewHandle(handle.Session)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(e.http.URL)
	b.jar.SetCookies(u, []*http.Cookie{{Name: e.server.cookies.session, Value: planted, Path: "/"}})
	b.wantCode(b.submit(b.signIn(b.authorize()), "action", "allow"))
	first := b.cookie("-session")
	if first.Value == planted || first.Value == "" {
		t.Fatal("the planted session was kept")
	}
	if _, err := e.store.Session(context.Background(), e.service.ID, id); err == nil {
		t.Error("the planted session is in the store")
	}
	b.wantCode(b.signIn(b.authorize("prompt", "login")))
	second := b.cookie("-session")
	if second.Value == first.Value {
		t.Error("signing in again keeps the session id")
	}
	thief := e.browser()
	thief.jar.SetCookies(u, []*http.Cookie{first})
	thief.wantError(thief.authorize("prompt", "none"), "login_required")
	thief.jar.SetCookies(u, []*http.Cookie{second})
	thief.wantCode(thief.authorize("prompt", "none"))
	// Nor does an id with another secret do.
	sid, secret, _ := handle.Parse(handle.Session, second.Value)
	secret[0] ^= 1
	second.Value = handle.Format(handle.Session, sid, &secret)
	thief.jar.SetCookies(u, []*http.Cookie{second})
	thief.wantError(thief.authorize("prompt", "none"), "login_required")
}

func TestSessionsExpire(t *testing.T) {
	e := newEnv(t)
	b := e.signedIn()
	e.advance(12*time.Hour - time.Minute)
	b.wantCode(b.authorize("prompt", "none"))
	e.advance(time.Minute)
	b.wantError(b.authorize("prompt", "none"), "login_required")
}

// Nothing that people or clients write becomes markup (CVE-2025-67495).
func TestThreat33PagesEscape(t *testing.T) {
	const script = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	e := newEnv(t)
	b := e.browser()
	page := b.authorize("login_hint", script)
	bodies := map[string]string{"login_hint": page.body}
	bodies["name"] = b.submit(page, "username", script, "password", "x").body
	w := httptest.NewRecorder()
	e.server.ErrorPage(w, httptest.NewRequest(http.MethodGet, "/", nil), 400, script, script)
	bodies["error"] = w.Body.String()
	bodies["engine's error"] = b.authorize("redirect_uri", script).body
	s := *e.server
	service := *e.service
	service.ServiceName = script
	s.service = &service
	w = httptest.NewRecorder()
	err := s.render(w, httptest.NewRequest(http.MethodGet, "/", nil), 200, pageConsent, consentView{
		common: common{Title: script, Service: script, Lang: script, Dir: script, Display: script}, Action: "javascript:alert(1)", Account: script,
		Client: &clientView{Name: script, URI: "javascript:alert(1)"},
		Scopes: []scopeView{{Name: script, Description: script}}, Claims: []string{script},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	bodies["consent"] = w.Body.String()
	for name, body := range bodies {
		if strings.Contains(body, "<script") || strings.Contains(body, "<img") || strings.Contains(body, "javascript:") {
			t.Errorf("%s: %s", name, body)
		}
	}
	for address, want := range map[string]string{
		"https://a.example/b?c": "https://a.example/b?c", "http://localhost/": "http://localhost/", "javascript:alert(1)": "",
		"JAVASCRIPT://a/%0aalert(1)": "", "data:text/html,x": "", "//a.example": "", "": "", "https:a": "",
	} {
		if got := webAddress(address); got != want {
			t.Errorf("webAddress(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestCrossSiteFormsAreRefused(t *testing.T) {
	e := newEnv(t)
	b := e.browser()
	login := b.authorize()
	action, form := login.form(t)
	form.Set("username", e.user)
	form.Set("password", password)
	for _, header := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", issuer + ".evil.example"}, {"Origin", "http://localhost:8081"},
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "odd"},
		{"Origin", issuer, "Sec-Fetch-Site", "cross-site"}, {"Origin", "null", "Sec-Fetch-Site", "cross-site"},
	} {
		b.do(http.MethodPost, action, form, header...).want(t, 403, "/login", "another site")
	}
	for _, token := range []string{"", "x", form.Get("csrf") + "x"} {
		forged := url.Values{"csrf": {token}, "username": {e.user}, "password": {password}}
		b.do(http.MethodPost, action, forged).want(t, 403, "/login", "out of date")
	}
	// Pages without a referrer send the origin null from themselves.
	b.do(http.MethodPost, action, form, "Origin", "null", "Sec-Fetch-Site", "same-origin").want(t, 200, "/consent", "")
	// One form's token is no other form's.
	_, signOut := b.get("/end_session").form(t)
	signOut.Set("client", "1")
	b.do(http.MethodPost, "/grants", signOut).want(t, 403, "/grants", "out of date")
}

func TestFormsAreChecked(t *testing.T) {
	e := newEnv(t)
	b := e.signedIn()
	for name, test := range map[string]struct {
		body, kind string
		status     int
	}{
		"json":       {`{}`, "application/json", 415},
		"none":       {`a=b`, "", 415},
		"multipart":  {`a=b`, "multipart/form-data; boundary=x", 415},
		"charset":    {`a=b`, "application/x-www-form-urlencoded; charset=latin1", 415},
		"large":      {"csrf=" + strings.Repeat("x", 64<<10), "application/x-www-form-urlencoded", 413},
		"duplicate":  {"csrf=a&csrf=b", "application/x-www-form-urlencoded", 400},
		"not utf-8":  {"csrf=%ff", "application/x-www-form-urlencoded", 400},
		"bad escape": {"csrf=%zz", "application/x-www-form-urlencoded", 400},
		"semicolon":  {"csrf=b;c=d", "application/x-www-form-urlencoded", 400},
		"no token":   {"csrf=", "application/x-www-form-urlencoded; charset=UTF-8", 403},
	} {
		for _, path := range []string{"/grants", "/end_session"} {
			r, err := http.NewRequest(http.MethodPost, b.http.URL+path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", test.kind)
			resp, err := b.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != test.status || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s at %s: got %d, %s; want a page with %d", name, path, resp.StatusCode, resp.Header.Get("Content-Type"), test.status)
			}
		}
	}
	b.get("/login?interaction=1&interaction=2").want(t, 400, "/login", "")
	b.get("/login?interaction=%ff").want(t, 400, "/login", "")
	for path, allow := range map[string]string{"/login": "GET, HEAD, POST", "/grants": "GET, HEAD, POST", "/login/style.css": "GET, HEAD"} {
		p := b.do(http.MethodPut, path, nil)
		if p.status != 405 || p.header.Get("Allow") != allow {
			t.Errorf("PUT %s: %d, Allow: %s", path, p.status, p.header.Get("Allow"))
		}
	}
	b.get("/login/other").want(t, 404, "/login/other", "")
	b.get("/login/").want(t, 404, "/login/", "")
}

func TestHeadChangesNothing(t *testing.T) {
	e := newEnv(t)
	b := e.browser()
	if p := b.do(http.MethodHead, "/grants", nil); p.status != 204 || b.cookie("-login-") != nil {
		t.Errorf("status %d, cookie %v", p.status, b.cookie("-login-"))
	}
	first, second := b.authorize(), b.authorize()
	b.wantCode(b.submit(b.signIn(first), "action", "allow"))
	if p := b.do(http.MethodHead, second.url.RequestURI(), nil); p.status != 204 {
		t.Errorf("status %d", p.status)
	}
	b.wantCode(b.get(second.url.RequestURI()))
}

func TestGrants(t *testing.T) {
	b := newEnv(t).browser()
	page := b.get("/grants").want(t, 200, "/login", "Sign in")
	if strings.Contains(page.body, "Cancel") {
		t.Error("there is nothing to cancel to")
	}
	b.signIn(page).want(t, 200, "/grants", "No application has access.")
	access := b.tokens(b.wantCode(b.submit(b.authorize("scope", "openid orders:read"), "action", "allow")))["access_token"].(string)
	gone := model.Consent{Service: b.service.ID, Subject: b.user, Client: 1295, GrantedAt: b.now().Unix()}
	if err := b.store.Write(context.Background(), store.PutConsent{Consent: gone}); err != nil {
		t.Fatal(err)
	}
	page = b.get("/grants").want(t, 200, "/grants", "no longer registered")
	b.submit(page, "client", "zz").want(t, 200, "/grants", "was withdrawn")
	page = b.get("/grants").want(t, 200, "/grants", "The &lt;b&gt;Shop&lt;/b&gt;")
	if !strings.Contains(page.body, b.now().UTC().Format("2 January 2006")) || !strings.Contains(page.body, "Read your orders") {
		t.Errorf("the page does not tell what and since when: %s", page.body)
	}
	b.introspect(access, model.ActionOK)
	b.submit(page).want(t, 200, "/grants", "No application has access.")
	b.introspect(access, model.ActionUnauthorized)
	b.authorize("scope", "orders:read").want(t, 200, "/consent", "")
	b.submit(page).want(t, 200, "/grants", "No application") // a second click
	b.submit(page, "client", "x y").want(t, 400, "/grants", "")
	b.get("/login").want(t, 200, "/grants", "") // nothing to sign in for
}

func (b *browser) introspect(token string, want model.Action) {
	b.t.Helper()
	answer, err := b.engine.Introspection(context.Background(), b.service.ID, engine.IntrospectionRequest{Token: token})
	if err != nil || answer.Action != want {
		b.t.Errorf("introspection: %v, %v; want %s", answer, err, want)
	}
}

func TestSignOut(t *testing.T) {
	e := newEnv(t)
	b := e.signedIn()
	page := b.get("/end_session").want(t, 200, "/end_session", "You are signed in as")
	b.get("/end_session") // asking does nothing
	b.wantCode(b.authorize("prompt", "none"))
	grants := b.get("/grants")
	thief := e.browser()
	u, _ := url.Parse(e.http.URL)
	thief.jar.SetCookies(u, []*http.Cookie{b.cookie("-session")})
	b.submit(page).want(t, 200, "/end_session", "You are signed out")
	if b.cookie("-session") != nil {
		t.Error("the cookie is still there")
	}
	thief.wantError(thief.authorize("prompt", "none"), "login_required")
	b.get("/end_session").want(t, 200, "/end_session", "You are not signed in")
	b.submit(page).want(t, 200, "/end_session", "You are signed out") // a second click
	b.submit(grants).want(t, 200, "/login", "Sign in")
}
