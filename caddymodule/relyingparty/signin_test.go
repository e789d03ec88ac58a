package relyingparty

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Signing in (OpenID Connect Core §3.1.2, RFC 7636, RFC 9700 §2.1.1): the page
// that was asked for is reached; the request had state, nonce and an S256
// challenge; the cookies are __Host- ones that no script reads; the address bar
// keeps no code.
func TestSignIn(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		b := s.browser()
		first := b.step("/orders?a=b%20c")
		if first.status != http.StatusSeeOther || first.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", first.status, first.header)
		}
		to, err := url.Parse(first.header.Get("Location"))
		if err != nil || !strings.HasPrefix(to.String(), s.provider.http.URL+"/authorize?") {
			t.Fatalf("%s %v", to, err)
		}
		q := to.Query()
		if q.Get("response_type") != "code" || q.Get("client_id") != "web" || q.Get("scope") != "openid orders" ||
			q.Get("redirect_uri") != s.http.URL+"/.gatehouse/callback" || q.Get("code_challenge_method") != "S256" ||
			len(q.Get("code_challenge")) != 43 || len(q.Get("state")) < 26 || len(q.Get("nonce")) < 26 {
			t.Errorf("%v", q)
		}
		end := b.open(to.String()).want(t, http.StatusOK, "hello alice|")
		if end.url.RequestURI() != "/orders?a=b%20c" {
			t.Errorf("the browser ended at %s", end.url)
		}
		for name := range b.cookies() {
			if strings.Contains(name, "-login-") || strings.Contains(name, "-tries") {
				t.Errorf("%s is left over", name)
			}
		}
		wantCookies(t, first.header)
	})
}

func wantCookies(t *testing.T, h http.Header) {
	t.Helper()
	if len(h["Set-Cookie"]) == 0 {
		t.Error("no cookies")
	}
	for _, line := range h["Set-Cookie"] {
		for _, part := range []string{"__Host-", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
			if !strings.Contains(line, part) {
				t.Errorf("%s: no %s", line, part)
			}
		}
	}
}

// What is not a page is told where to sign in, and never redirected; what is a
// page never gets a bare 401; neither gets a challenge that makes a browser ask
// for a password.
func TestWhoIsRedirected(t *testing.T) {
	s := newSite(t, nil)
	const html = "text/html,application/xhtml+xml,*/*;q=0.8"
	for name, c := range map[string]struct {
		method string
		header []string
		status int
		body   string
	}{
		"page":               {"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 303, ""},
		"page, old browser":  {"GET", []string{"Accept", html}, 303, ""},
		"HEAD of a page":     {"HEAD", []string{"Accept", html}, 303, ""},
		"fetch":              {"GET", []string{"Sec-Fetch-Mode", "cors", "Accept", html}, 401, `"login_required"`},
		"fetch, same origin": {"GET", []string{"Sec-Fetch-Mode", "same-origin"}, 401, `"login_required"`},
		"image":              {"GET", []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 401, `"login_required"`},
		"XMLHttpRequest":     {"GET", []string{"Accept", html, "X-Requested-With", "XMLHttpRequest"}, 401, `"login_required"`},
		"JSON":               {"GET", []string{"Accept", "application/json"}, 401, `"login":"/.gatehouse/login"`},
		"nothing said":       {"GET", nil, 401, `"login_required"`},
		"API write":          {"POST", []string{"Accept", "application/json"}, 401, `"login_required"`},
		"fetch write":        {"DELETE", []string{"Sec-Fetch-Mode", "cors"}, 401, `"login_required"`},
		"WebSocket":          {"GET", []string{"Sec-Fetch-Mode", "websocket", "Connection", "Upgrade", "Upgrade", "websocket"}, 401, `"login_required"`},
		"form":               {"POST", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 401, "<h1>You are not signed in</h1>"},
		"frame":              {"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 401, `target="_top"`},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.browser()
			b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			a := b.do(c.method, "/orders", "", c.header...).want(t, c.status, c.body)
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("WWW-Authenticate") != "" || (c.status == 401) != (a.header.Get("Location") == "") {
				t.Errorf("%v", a.header)
			}
		})
	}
	if s.asked() != 0 {
		t.Error("the application was asked")
	}
}

// Threat 9 (CVE-2024-39694): return addresses lead to this site only.
func TestReturnAddress(t *testing.T) {
	local := map[string]bool{
		"/": true, "/a/b?c=d": true, "/a%20b": true, "/search?q=//x&r=https://example.com": true, "/caf%C3%A9": true, "/100%25": true,
		"": false, "a": false, "//example.com": false, "///example.com": false, `/\example.com`: false, `\/example.com`: false,
		"/%2fexample.com": false, "/%2Fexample.com": false, "/%5cexample.com": false, "/%252fexample.com": false, "/%25252fexample.com": false,
		"https://example.com": false, "https:example.com": false, "javascript:alert(1)": false, "data:text/html,x": false,
		"/\texample": false, "/\n/example.com": false, "/\r\nSet-Cookie: a=b": false, "/%0d%0aa": false, "/%09/example.com": false, "/a\x00": false,
		" /": false, "/ a": false, "/é": false, "?a": false, "#a": false, "/%zz": false, "@example.com": false,
		"/" + strings.Repeat("a", maxReturn-1): true, "/" + strings.Repeat("a", maxReturn): false,
	}
	for address, want := range local {
		if got := isLocal(address); got != want {
			t.Errorf("%.40q: %v", address, got)
		}
	}
	s := newSite(t, nil)
	for address, want := range map[string]string{
		"/x?y=z": "/x?y=z", "//example.com": "/", "https://example.com/": "/", `/\example.com`: "/", "/%2f/example.com": "/",
		"/.gatehouse/logout": "/", "/.gatehouse/login?return=/a": "/", "": "/",
	} {
		a := s.browser().open("/.gatehouse/login?"+url.Values{"return": {address}}.Encode()).want(t, http.StatusOK, "hello alice")
		if a.url.RequestURI() != want || "https://"+a.url.Host != s.http.URL {
			t.Errorf("%q leads to %s", address, a.url)
		}
	}
}

// FuzzReturnAddress (threat 9): whatever is local stays on the host, whoever
// resolves it.
func FuzzReturnAddress(f *testing.F) {
	for _, seed := range []string{"/", "/a?b=c", "//example.com", `/\example.com`, "/%2f/e", "/..//e", "/%5c%5ce"} {
		f.Add(seed)
	}
	base, _ := url.Parse("https://app.example.com/x/")
	f.Fuzz(func(t *testing.T, address string) {
		if !isLocal(address) {
			return
		}
		u, err := base.Parse(address)
		if err != nil || u.Host != base.Host || u.Scheme != "https" || u.User != nil {
			t.Errorf("%q is %v, %v", address, u, err)
		}
	})
}

// Threat 22 (CVE-2025-64101, CVE-2026-40575): what a request says of its host
// shapes neither the redirect URI nor where the browser ends.
func TestHostShapesNothing(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	a := b.step("/orders", "Host", "evil.example.com", "X-Forwarded-Host", "evil.example.com", "X-Forwarded-Proto", "http",
		"Forwarded", "host=evil.example.com", "X-Original-URL", "//evil.example.com", "X-Forwarded-Prefix", "//evil.example.com")
	if to := a.header.Get("Location"); a.status != 303 || strings.Contains(to, "evil") {
		t.Errorf("%d %s", a.status, to)
	}
	b = s.signedIn()
	for _, path := range []string{"/.gatehouse/login?return=/x", "/.gatehouse/logout"} {
		a = b.step(path, "Host", "evil.example.com", "X-Forwarded-Host", "evil.example.com")
		if to := a.header.Get("Location"); a.status != 303 || strings.Contains(to, "evil") {
			t.Errorf("%s: %d %s", path, a.status, to)
		}
	}
}

// Several tabs may be signing in: each has a cookie of its own, of which the
// oldest go. A state counts once (threat 27), in its browser, and for a time
// (RFC 6749 §10.12).
func TestStates(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	var starts []string
	for _, page := range []string{"/1", "/2", "/3", "/4", "/5", "/6", "/7"} {
		s.clock.move(time.Second)
		starts = append(starts, b.step("/.gatehouse/login?return="+page).header.Get("Location"))
	}
	if n := len(b.cookies()); n != maxSignIns {
		t.Errorf("%d cookies", n)
	}
	b.open(starts[1]).want(t, 400, "This sign-in is over")
	for i, end := range map[int]string{6: "/7", 2: "/3"} {
		if a := b.open(starts[i]).want(t, 200, "hello"); a.url.Path != end {
			t.Errorf("sign-in %d ends at %s", i, a.url)
		}
	}

	other := s.browser()
	back := other.step(other.step("/x").header.Get("Location")).header.Get("Location")
	kept := other.cookies()
	s.browser().open(back).want(t, 400, "This sign-in is over") // somebody else's code
	other.open(back).want(t, 200, "hello")
	other.open(back).want(t, 200, "hello") // the browser's back button
	asked := s.provider.count("/token")
	other.put(kept)
	other.open(back).want(t, 400, "This sign-in is over") // with the cookie of before
	if s.provider.count("/token") != asked {
		t.Error("a state was used twice")
	}

	late := s.browser()
	back = late.step(late.step("/x").header.Get("Location")).header.Get("Location")
	s.clock.move(signInDuration * time.Second)
	late.open(back).want(t, 400, "This sign-in is over")
}

// A browser that keeps no session is not sent round for ever; the page has a
// link, which counts anew.
func TestLoop(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	for range maxTries {
		b.step("/").want(t, 303, "")
	}
	b.step("/").want(t, 403, `href="/.gatehouse/login?return=%2F"`)
	b.open("/.gatehouse/login").want(t, 200, "hello alice")
	b.open("/").want(t, 200, "hello alice")
}
