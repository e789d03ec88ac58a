package login

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

func TestSignInConsentCode(t *testing.T) {
	b := newEnv(t).browser()
	page := b.authorize("scope", "openid profile orders:read orders:write", "claims", `{"id_token":{"email":null}}`)
	page.want(t, 200, "/login", "<h1>Sign in</h1>")
	page = b.signIn(page).want(t, 200, "/consent", b.user)
	for _, text := range []string{"The &lt;b&gt;Shop&lt;/b&gt;", "Read your orders", "orders:write", "See your profile",
		"<li>email address</li>", `href="https://client.example/about"`} {
		if !strings.Contains(page.body, text) {
			t.Errorf("the consent page does not show %s", text)
		}
	}
	tokens := b.tokens(b.wantCode(b.submit(page, "action", "allow")))
	got := claims(t, tokens["id_token"])
	for name, want := range map[string]any{"sub": b.user, "email": "user@example.com", "amr": []any{"pwd"}} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("claim %s (-want +got):\n%s", name, diff)
		}
	}
	if b.cookie("-login-") != nil {
		t.Error("the interaction's cookie is still there")
	}
	// Now nothing need be shown.
	b.wantCode(b.authorize())
	b.wantCode(b.authorize("prompt", "none", "scope", "orders:read"))
	b.authorize("scope", "openid email").want(t, 200, "/consent", "See your email address")
	b.authorize("claims", `{"id_token":{"phone_number":null}}`).want(t, 200, "/consent", "phone number")
	b.authorize("client_id", "mail").want(t, 200, "/consent", "Allow")
}

func TestPrivateUseRedirect(t *testing.T) {
	b := newEnv(t).browser()
	p := b.submit(b.signIn(b.authorize("client_id", "mail", "redirect_uri", "com.example.mail:/cb")), "action", "allow")
	if got := p.header.Get("Location"); p.status != 303 || !strings.HasPrefix(got, "com.example.mail:/cb?") {
		t.Errorf("%d, Location: %s", p.status, got)
	}
}

func TestAskingForTooMuch(t *testing.T) {
	e := newEnv(t)
	w := httptest.NewRecorder()
	c, _ := e.engine.ClientByAlias(t.Context(), e.service.ID, "shop")
	a := &engine.AuthorizationResponse{Action: model.ActionInteraction, Client: c, Claims: []string{strings.Repeat("c", model.MaxHandlePayload)}}
	if err := e.server.Begin(w, httptest.NewRequest(http.MethodGet, "/authorize", nil), a); err != nil || w.Code != 400 {
		t.Errorf("%d, %v", w.Code, err)
	}
}

func TestConsentGrowsWithEachAnswer(t *testing.T) {
	b := newEnv(t).signedIn()
	b.wantCode(b.submit(b.authorize("scope", "orders:read"), "action", "allow"))
	b.wantCode(b.authorize("scope", "openid orders:read"))
}

func TestDenyAndCancel(t *testing.T) {
	b := newEnv(t).browser()
	b.wantError(b.submit(b.authorize(), "action", "cancel"), "access_denied")
	page := b.signIn(b.authorize())
	b.wantError(b.submit(page, "action", "deny"), "access_denied")
	// The user is signed in, and nothing was remembered.
	b.authorize().want(t, 200, "/consent", "Allow")
}

func TestPromptNone(t *testing.T) {
	e := newEnv(t)
	fresh := e.browser()
	fresh.wantError(fresh.authorize("prompt", "none"), "login_required")
	b := e.signedIn()
	b.wantCode(b.authorize("prompt", "none"))
	b.wantError(b.authorize("prompt", "none", "scope", "openid email"), "consent_required")
	b.wantCode(b.authorize("prompt", "none", "max_age", "60"))
	e.advance(61 * time.Second)
	for age, reason := range map[string]string{"60": "EXCEEDS_MAX_AGE", "0": "EXCEEDS_MAX_AGE"} {
		page := b.authorize("prompt", "none", "max_age", age)
		b.wantError(page, "login_required")
		if got := page.location.Query().Get("error_description"); !strings.Contains(got, "too long ago") {
			t.Errorf("max_age=%s: %s, want the description of %s", age, got, reason)
		}
	}
	b.wantCode(b.authorize("prompt", "none", "max_age", "62"))
}

func TestMaxAge(t *testing.T) {
	e := newEnv(t)
	b := e.signedIn()
	e.advance(2 * time.Minute)
	page := b.authorize("max_age", "60")
	page.want(t, 200, "/login", "You are signed in as")
	page = b.signIn(page)
	got := claims(t, b.tokens(b.wantCode(page))["id_token"])
	if age := float64(e.now().Unix()) - got["auth_time"].(float64); age > 5 {
		t.Errorf("auth_time is %v seconds old after a new sign-in", age)
	}
	// max_age=0 asks for a sign-in, and one is enough, however long consent takes.
	page = b.signIn(b.authorize("max_age", "0", "scope", "openid email"))
	e.advance(10 * time.Minute)
	b.wantCode(b.submit(page.want(t, 200, "/consent", "Allow"), "action", "allow"))
}

func TestPrompts(t *testing.T) {
	b := newEnv(t).signedIn()
	for _, prompt := range []string{"login", "select_account"} {
		page := b.authorize("prompt", prompt)
		page.want(t, 200, "/login", "You are signed in as")
		b.wantCode(b.signIn(page))
	}
	page := b.authorize("prompt", "consent")
	b.wantCode(b.submit(page.want(t, 200, "/consent", "Allow"), "action", "allow"))
	page = b.signIn(b.authorize("prompt", "login consent").want(t, 200, "/login", ""))
	b.wantCode(b.submit(page.want(t, 200, "/consent", "Allow"), "action", "allow"))
}

// A flow that is off cannot be turned on, nor a sign-in skipped, by what the
// browser holds (CVE-2026-7571).
func TestThreat10PromptLoginCannotBeSkipped(t *testing.T) {
	b := newEnv(t).signedIn()
	page := b.authorize("prompt", "login")
	page.want(t, 200, "/login", "")
	query := "?" + page.url.RawQuery
	for _, path := range []string{"/consent" + query, "/consent" + query + "&prompt=none", "/login" + query + "&step=3"} {
		b.get(path).want(t, 200, "/login", "Sign in")
	}
	_, form := page.form(t)
	form.Set("action", "allow")
	b.do(http.MethodPost, "/consent"+query, form).want(t, 200, "/login", "Sign in")
	// The sign-in for one request does not count for another.
	first, second := b.authorize("prompt", "login"), b.authorize("prompt", "login")
	b.wantCode(b.signIn(first))
	b.get(second.url.RequestURI()).want(t, 200, "/login", "Sign in")
}

func TestLoginHint(t *testing.T) {
	b := newEnv(t).browser()
	b.authorize("login_hint", `al"ice`).want(t, 200, "/login", `value="al&#34;ice"`)
}

func TestSwitchAccount(t *testing.T) {
	other := fmt.Sprintf("other-%d", runs.Add(1))
	e := newEnv(t, DeclaredAccount{Name: other, PasswordHash: cheapHash(password)})
	b := e.browser()
	consent := b.signIn(b.authorize())
	page := b.submit(consent, "action", "switch").want(t, 200, "/login", "You are signed in as")
	page = b.submit(page, "username", other, "password", password).want(t, 200, "/consent", other)
	// The page that asked the first account is void.
	b.submit(consent, "action", "allow").want(t, 400, "/consent", "no longer valid")
	got := claims(t, b.tokens(b.wantCode(b.submit(page, "action", "allow")))["id_token"])
	if got["sub"] != other {
		t.Errorf("sub is %v", got["sub"])
	}
}

// An open consent page asks the account that it names, and no other.
func TestConsentIsForTheAccountShown(t *testing.T) {
	other := fmt.Sprintf("other-%d", runs.Add(1))
	e := newEnv(t, DeclaredAccount{Name: other, PasswordHash: cheapHash(password)})
	b := e.browser()
	consent := b.signIn(b.authorize())
	b.submit(b.authorize("prompt", "login", "client_id", "mail"), "username", other, "password", password)
	stale := b.submit(consent, "action", "allow").want(t, 403, "/consent", "out of date")
	if !strings.Contains(stale.body, consent.url.RawQuery) {
		t.Error("the page does not lead back")
	}
	b.get(consent.url.RequestURI()).want(t, 200, "/consent", other)
}

func TestBackReloadAndSecondClicks(t *testing.T) {
	b := newEnv(t).browser()
	login := b.authorize()
	b.get(login.url.RequestURI()).want(t, 200, "/login", "Sign in") // reload
	consent := b.signIn(login)
	b.get(login.url.RequestURI()).want(t, 400, "/login", "no longer valid")    // back
	b.signIn(login).want(t, 400, "/login", "no longer valid")                  // sent again
	b.get(consent.url.RequestURI()).want(t, 200, "/consent", "Allow")          // forward
	b.wantCode(b.submit(consent, "action", "allow"))                           // allowed
	b.submit(consent, "action", "allow").want(t, 400, "/consent", "no longer") // again
	b.submit(consent, "action", "deny").want(t, 400, "/consent", "no longer")
	b.get(consent.url.RequestURI()).want(t, 400, "/consent", "no longer")
	b.get("/consent").want(t, 400, "/consent", "no longer valid")
	b.get("/consent?interaction=zzz").want(t, 400, "/consent", "no longer valid")
}

func TestTwoTabs(t *testing.T) {
	b := newEnv(t).browser()
	first, second := b.authorize(), b.authorize("state", "xyz", "scope", "openid email")
	third := b.authorize()
	consent := b.signIn(first)
	// The second tab has a form that still works, and goes on without one when reloaded.
	b.get(second.url.RequestURI()).want(t, 200, "/consent", "See your email address")
	b.wantCode(b.submit(consent, "action", "allow"))
	b.wantCode(b.get(third.url.RequestURI()))
	b.wantCode(b.submit(b.signIn(second), "action", "allow"))
}

// Whatever is answered many times at once is answered once.
func TestThreat27OneAnswerForManyRequests(t *testing.T) {
	e := newEnv(t)
	count := func(times int, send func() *page) (done, refused int) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range times {
			wg.Go(func() {
				p := send()
				mu.Lock()
				defer mu.Unlock()
				switch {
				case p.status == 400 && strings.Contains(p.body, "no longer valid"):
					refused++
				case p.location != nil || p.status == 200:
					done++
				}
			})
		}
		wg.Wait()
		return done, refused
	}
	b := e.browser()
	login := b.authorize()
	action, form := login.form(t)
	form.Set("username", e.user)
	form.Set("password", password)
	cookie := b.cookie("-login-")
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.client.Jar = nil
	done, refused := count(freeFailures, func() *page { // more would be throttled
		return b.do(http.MethodPost, action, form, "Cookie", cookie.Name+"="+cookie.Value)
	})
	if done != 1 || refused != freeFailures-1 {
		t.Errorf("sign-in: %d answers and %d refusals", done, refused)
	}
	b = e.browser()
	consent := b.signIn(b.authorize())
	done, refused = count(12, func() *page { return b.submit(consent, "action", "allow") })
	if done != 1 || refused != 11 {
		t.Errorf("consent: %d answers and %d refusals", done, refused)
	}
}

func TestInteractionsExpire(t *testing.T) {
	e := newEnv(t)
	b := e.browser()
	login := b.authorize()
	e.advance(time.Hour + time.Second)
	b.get(login.url.RequestURI()).want(t, 400, "/login", "no longer valid")
	b.signIn(login).want(t, 400, "/login", "no longer valid")
}

func TestInteractionsAreOfOneBrowser(t *testing.T) {
	e := newEnv(t)
	login := e.browser().authorize()
	e.browser().get(login.url.RequestURI()).want(t, 400, "/login", "another browser")
	e.browser().signIn(login).want(t, 400, "/login", "another browser")
}

func TestCookiesAreBounded(t *testing.T) {
	b := newEnv(t).browser()
	var last *page
	for range maxInteractions + 4 {
		last = b.authorize()
	}
	n := 0
	for _, c := range b.jar.Cookies(last.url) {
		if strings.Contains(c.Name, "-login-") {
			n++
		}
	}
	if n != maxInteractions {
		t.Errorf("the browser keeps %d cookies, want %d", n, maxInteractions)
	}
	b.signIn(last).want(t, 200, "/consent", "Allow")
}

func TestTheTicketStaysHere(t *testing.T) {
	e := newEnv(t)
	b := e.browser()
	// In the middle of random text a prefix can stand by chance.
	ticket, others := regexp.MustCompile(`(^|[^\w-])gt_`), regexp.MustCompile(`(^|[^\w-])g[ls]_`)
	for _, p := range []*page{b.authorize(), b.signIn(b.authorize())} {
		for _, c := range b.jar.Cookies(p.url) {
			p.body += "\n" + c.Value
		}
		if ticket.MatchString(p.body) || others.MatchString(p.url.String()) {
			t.Errorf("a secret is where it must not be: %s %s", p.url, p.body)
		}
	}
}

func TestBeginRefusesOtherActions(t *testing.T) {
	e := newEnv(t)
	if err := e.server.Begin(nil, nil, &engine.AuthorizationResponse{Action: model.ActionLocation}); err == nil {
		t.Error("no error")
	}
}

func TestDisabledAccountIsSignedOut(t *testing.T) {
	e := newEnv(t)
	b := e.signedIn()
	e.server.accounts.bySubject[e.user].Disabled = true
	b.wantError(b.authorize("prompt", "none"), "login_required")
	if active, err := e.server.accounts.Active(context.Background(), e.user); active || err != nil {
		t.Error(active, err)
	}
}
