package login

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// signOutPath is a client's request to sign out.
func signOutPath(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return "/end_session?" + v.Encode()
}

// withHint is a browser that has signed in to the shop, and the ID token.
func (e *env) withHint(parameters ...string) (*browser, string) {
	e.t.Helper()
	b := e.browser()
	p := b.signIn(b.authorize(parameters...))
	if p.status == http.StatusOK {
		p = b.submit(p, "action", "allow")
	}
	return b, b.tokens(b.wantCode(p))["id_token"].(string)
}

func (b *browser) wantSignedIn(yes bool) {
	b.t.Helper()
	if p := b.authorize("prompt", "none"); yes {
		b.wantCode(p)
	} else {
		b.wantError(p, "login_required")
	}
}

// visit opens a client, as somebody who is signed in.
func (b *browser) visit(client string, parameters ...string) *page {
	b.t.Helper()
	p := b.authorize(append([]string{"client_id", client}, parameters...)...)
	if p.status == http.StatusOK && p.url.Path == "/consent" {
		p = b.submit(p, "action", "allow")
	}
	b.wantCode(p)
	return p
}

// OpenID Connect RP-Initiated Logout §2 and §3, by the names of the tests of
// the certification suite.
func TestRPInitiatedLogout(t *testing.T) {
	const atOnce, asked, refused = "at once", "asked", "refused"
	for name, test := range map[string]struct {
		parameters func(hint string) []string
		how        string
		to         string // where it goes on; empty: to our own page
	}{
		"oidcc-rp-initiated-logout": {func(hint string) []string {
			return []string{"id_token_hint", hint, "post_logout_redirect_uri", loggedOut, "state", "a&b"}
		}, atOnce, loggedOut + "?state=a%26b"},
		"no-state": {func(hint string) []string {
			return []string{"id_token_hint", hint, "post_logout_redirect_uri", loggedOut}
		}, atOnce, loggedOut},
		"no-post-logout-redirect-uri": {func(hint string) []string { return []string{"id_token_hint", hint, "state", "s"} }, atOnce, ""},
		"only-state":                  {func(string) []string { return []string{"state", "s"} }, asked, ""},
		"no-params":                   {func(string) []string { return nil }, asked, ""},
		"client_id": {func(string) []string {
			return []string{"client_id", "shop", "post_logout_redirect_uri", loggedOut, "state", "s"}
		}, asked, loggedOut + "?state=s"},
		"private-use": {func(string) []string {
			return []string{"client_id", "shop", "post_logout_redirect_uri", "com.example.shop:/out"}
		}, asked, "com.example.shop:/out"},
		"no-id-token-hint": {func(string) []string {
			return []string{"post_logout_redirect_uri", loggedOut, "state", "s"}
		}, refused, ""},
		"bad-post-logout-redirect-uri": {func(hint string) []string {
			return []string{"id_token_hint", hint, "post_logout_redirect_uri", loggedOut + "/bad", "state", "s"}
		}, refused, ""},
		"query-added-to-post-logout-redirect-uri": {func(hint string) []string {
			return []string{"id_token_hint", hint, "post_logout_redirect_uri", loggedOut + "?foo=bar", "state", "s"}
		}, refused, ""},
		"modified-id-token-hint": {func(hint string) []string {
			flipped := strings.Replace(hint, ".ey", ".fy", 1)
			return []string{"id_token_hint", flipped, "post_logout_redirect_uri", loggedOut, "state", "s"}
		}, refused, ""},
		"bad-id-token-hint": {func(string) []string {
			return []string{"id_token_hint", "bad", "post_logout_redirect_uri", loggedOut, "state", "s"}
		}, refused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				b, hint := newEnv(t).withHint()
				path := signOutPath(test.parameters(hint)...)
				if method == http.MethodPost && name == "no-params" {
					continue // that is no request
				}
				p := b.request(method, path)
				if test.how == refused {
					p.want(t, 400, "/end_session", "You have not been signed out")
					b.wantSignedIn(true)
					continue
				}
				if test.how == asked {
					p.want(t, 200, "/end_session", `id="sign-out"`)
					b.wantSignedIn(true)
					p = b.submit(p)
				}
				b.wantOut(p, test.to)
				b.wantSignedIn(false)
				if test.how == atOnce {
					b.wantOut(b.request(method, path), test.to) // nobody is signed in any more
				}
			}
		})
	}
}

// request sends a client's request as a browser does from another site: with
// POST, cookies that are SameSite=Lax stay behind.
func (b *browser) request(method, path string) *page {
	b.t.Helper()
	if method == http.MethodGet {
		return b.get(path)
	}
	path, parameters, _ := strings.Cut(path, "?")
	form, err := url.ParseQuery(parameters)
	if err != nil {
		b.t.Fatal(err)
	}
	bare := &browser{env: b.env, jar: b.jar}
	bare.client = http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p := bare.do(http.MethodPost, path, form, "Origin", "https://client.example", "Sec-Fetch-Site", "cross-site")
	if p.location == nil {
		return p
	}
	if p.status != http.StatusSeeOther || !strings.HasPrefix(p.location.String(), "/end_session?interaction=") || strings.Contains(p.location.String(), "hint") {
		b.t.Fatalf("%d to %s", p.status, p.location)
	}
	b.jar.SetCookies(p.url, (&http.Response{Header: p.header}).Cookies())
	return b.get(p.location.String())
}

// wantOut requires the redirect after signing out, or our own page without one.
func (b *browser) wantOut(p *page, to string) {
	b.t.Helper()
	if to == "" {
		p.want(b.t, 200, "/end_session", "You are signed out")
		return
	}
	if p.status != http.StatusSeeOther || p.header.Get("Location") != to {
		b.t.Fatalf("%d to %q, want %q: %s", p.status, p.header.Get("Location"), to, p.body)
	}
}

// RP-Initiated Logout §2, §6: a link from elsewhere signs nobody out, nor does
// somebody else's ID token, nor a form from elsewhere.
func TestNoLogoutByLink(t *testing.T) {
	other := fmt.Sprintf("other-%d", runs.Add(1))
	e := newEnv(t, DeclaredAccount{Name: other, PasswordHash: cheapHash(password)})
	b, _ := e.withHint()
	mallory := e.browser()
	consent := mallory.submit(mallory.authorize(), "username", other, "password", password)
	hint := mallory.tokens(mallory.wantCode(mallory.submit(consent, "action", "allow")))["id_token"].(string)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, path := range []string{
			signOutPath("id_token_hint", hint, "post_logout_redirect_uri", loggedOut), signOutPath("client_id", "shop"), signOutPath("x", "y"),
		} {
			p := b.request(method, path).want(t, 200, "/end_session", "Sign out?")
			b.wantSignedIn(true)
			action, form := p.form(t)
			for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
				b.do(http.MethodPost, action, form, header...).want(t, 403, "/end_session", "another site")
			}
			form.Set("csrf", "x")
			b.do(http.MethodPost, action, form).want(t, 403, "/end_session", "out of date")
			_, own := b.get("/end_session").form(t)
			b.do(http.MethodPost, action, own).want(t, 403, "/end_session", "out of date")
			b.wantSignedIn(true)
		}
	}
	// The page asks the user whom it names, and no other.
	p := b.get(signOutPath("client_id", "shop")).want(t, 200, "/end_session", "The &lt;b&gt;Shop&lt;/b&gt;</bdi> asks to sign you out")
	b.submit(b.authorize("prompt", "login"), "username", other, "password", password)
	b.submit(p).want(t, 403, "/end_session", "out of date")
	b.get(p.url.RequestURI()).want(t, 200, "/end_session", other)
	// Interactions of other kinds are no requests to sign out, nor the reverse.
	login := b.authorize("prompt", "login")
	b.get("/end_session?"+login.url.RawQuery).want(t, 400, "/end_session", "no longer valid")
	for _, path := range []string{"/login", "/consent"} {
		b.get(path+"?"+p.url.RawQuery).want(t, 400, path, "no longer valid")
	}
	if p := b.do(http.MethodHead, signOutPath("client_id", "shop"), nil); p.status != http.StatusNoContent {
		t.Errorf("HEAD: %d", p.status)
	}
	if p := mallory.do(http.MethodHead, signOutPath("id_token_hint", hint), nil); p.status != http.StatusNoContent {
		t.Errorf("HEAD: %d", p.status)
	}
	mallory.wantError(mallory.authorize("prompt", "none", "scope", "openid email"), "consent_required") // signed in still
}

// ui_locales of the request (RP-Initiated Logout §2).
func TestLogoutPagesHaveTheLanguageAskedFor(t *testing.T) {
	b, _ := newEnv(t).withHint()
	b.get(signOutPath("client_id", "shop", "ui_locales", "xx ja")).want(t, 200, "/end_session", "ログアウトしますか")
	b.get(signOutPath("client_id", "nobody", "ui_locales", "ja")).want(t, 400, "/end_session", "ログアウトは行われていません")
}

// OpenID Connect Back-Channel Logout §2.5: told by signing out, and by another
// user's sign-in; a session that goes on tells nobody.
func TestBackChannelLogout(t *testing.T) {
	other := fmt.Sprintf("other-%d", runs.Add(1))
	e := newEnv(t, DeclaredAccount{Name: other, PasswordHash: cheapHash(password)})
	for len(e.told) > 0 {
		<-e.told
	}
	b, hint := e.withHint("scope", "openid orders:read")
	b.visit("told")
	b.wantCode(b.signIn(b.authorize("prompt", "login"))) // the same user
	if len(e.told) > 0 {
		t.Error("a client was told of a session that goes on")
	}
	p := b.submit(b.authorize("prompt", "login"), "username", other, "password", password)
	b.wantToken(hint)
	b.wantCode(b.submit(p, "action", "allow"))
	b.visit("told")
	b.submit(b.get("/end_session")).want(t, 200, "/end_session", "You are signed out")
	b.wantToken("")
	if len(e.told) > 0 {
		t.Error("a client was told twice")
	}
}

// wantToken waits for a logout token of the sign-in of an ID token.
func (b *browser) wantToken(hint string) {
	b.t.Helper()
	select {
	case r := <-b.told:
		form, err := url.ParseQuery(string(r.Body))
		if err != nil || r.Address != "https://told.example/out" {
			b.t.Fatalf("%s %v", r.Address, err)
		}
		got := claims(b.t, form.Get("logout_token"))
		if got["aud"] != "told" || hint != "" && (got["sid"] != claims(b.t, hint)["sid"] || got["sub"] != b.user) {
			b.t.Errorf("%v", got)
		}
	case <-time.After(10 * time.Second):
		b.t.Fatal("the client was not told")
	}
}

// A sign-out ends the session's grants and nobody else's.
func TestSignOutEndsNothingElse(t *testing.T) {
	e := newEnv(t)
	b, phone := e.browser(), e.browser()
	tokens := func(b *browser, scope string) string {
		p := b.authorize("scope", scope)
		if p.status == 200 && p.url.Path == "/login" {
			p = b.signIn(p)
		}
		if p.status == 200 && p.url.Path == "/consent" {
			p = b.submit(p, "action", "allow")
		}
		return b.tokens(b.wantCode(p))["access_token"].(string)
	}
	ends, offline, elsewhere := tokens(b, "openid orders:read"), tokens(b, "openid offline_access"), tokens(phone, "openid orders:read")
	b.introspect(ends, model.ActionOK)
	b.submit(b.get("/end_session"))
	b.introspect(ends, model.ActionUnauthorized)
	b.introspect(offline, model.ActionOK)
	b.introspect(elsewhere, model.ActionOK)
	phone.wantSignedIn(true)
}

// However often the button is clicked at once, a session ends once, and every
// click is answered.
func TestThreat27SigningOutManyTimesAtOnce(t *testing.T) {
	e := newEnv(t)
	b, _ := e.withHint()
	b.visit("framed")
	p := b.get(signOutPath("client_id", "shop", "post_logout_redirect_uri", loggedOut)).want(t, 200, "/end_session", "Sign out?")
	action, form := p.form(t)
	session, login := b.cookie("-session"), b.cookie("-login-")
	pages := make(chan *page, 12)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range cap(pages) {
		wg.Go(func() {
			bare := &browser{env: e}
			bare.client = http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			<-start
			pages <- bare.do(http.MethodPost, action, form, "Cookie", session.Name+"="+session.Value+"; "+login.Name+"="+login.Value)
		})
	}
	close(start)
	wg.Wait()
	close(pages)
	framed := 0
	for p := range pages {
		switch {
		case p.status == 200 && strings.Contains(p.body, "<iframe"):
			framed++
		case p.status != http.StatusSeeOther || p.header.Get("Location") != loggedOut:
			t.Errorf("%d %s", p.status, p.body)
		}
	}
	if framed != 1 {
		t.Errorf("%d pages tell the client", framed)
	}
}

// OpenID Connect Core §4: a client that can begin a sign-in is linked, and told
// who asks alone.
func TestOpeningAnApplication(t *testing.T) {
	b, _ := newEnv(t).withHint()
	b.visit("framed")
	p := b.get("/grants").want(t, 200, "/grants", `href="https://client.example/in?from=as&amp;iss=http%3A%2F%2Flocalhost%3A8080"`)
	if n := strings.Count(p.body, "Open this application"); n != 1 {
		t.Errorf("%d links", n)
	}
}

// A request that is answered while its user signs out has no code, or its
// client is told.
func TestSignOutBesideAnIssueInFlight(t *testing.T) {
	e := newEnv(t)
	for range 5 {
		b, _ := e.withHint()
		a, err := e.engine.Authorization(context.Background(), e.service.ID,
			engine.AuthorizationRequest{Parameters: strings.TrimPrefix(authorizePath("client_id", "told"), "/authorize?")})
		if err != nil {
			t.Fatal(err)
		}
		cookie := b.cookie("-session")
		r := httptest.NewRequest(http.MethodGet, "/authorize", nil)
		r.AddCookie(cookie)
		now, err := e.server.current(r)
		if err != nil || now == nil {
			t.Fatal(now, err)
		}
		page := b.get("/end_session")
		w := httptest.NewRecorder()
		var wg sync.WaitGroup
		wg.Go(func() { b.submit(page) })
		wg.Go(func() {
			st := stateOf(a)
			err = e.server.page(w, r, func(r *http.Request) error { return e.server.issue(w, r, st, now) })
		})
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		switch w.Code {
		case http.StatusSeeOther:
			b.wantToken("")
		case http.StatusBadRequest:
			if len(e.told) > 0 {
				t.Error("a client that knows of no session was told")
			}
		default:
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
