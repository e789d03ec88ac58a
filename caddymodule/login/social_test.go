package login

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// "SNSes you want to support 'social login' in the UI at the authorization
// endpoint": the network's user is shown to the callback, with the tokens.
func TestSocialSignIn(t *testing.T) {
	o, n := newOperator(t), newSocialNetwork(t)
	e := n.env(o, setting{})
	o.knows("FACEBOOK 10158", "sub-of-"+e.user, `{"email":"social@example.com"}`)
	b := e.browser()
	page := b.authorize("claims", `{"id_token":{"email":null,"auth_time":null}}`).want(t, 200, "/login", "Sign in with Facebook")
	left := b.depart(page)
	request := n.request(left)
	for name, want := range map[string]string{
		"response_type": "code", "client_id": appID, "redirect_uri": redirection, "code_challenge_method": "S256", "scope": "", "auth_type": "",
	} {
		if got := request.Get(name); got != want {
			t.Errorf("the network was asked with %s=%q, want %q", name, got, want)
		}
	}
	if len(request.Get("state")) < 43 || len(request.Get("code_challenge")) != 43 || left.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("state %q, challenge %q, headers %v", request.Get("state"), request.Get("code_challenge"), left.header)
	}
	page = b.get(n.approve(left)).want(t, 200, "/consent", "sub-of-")
	got, times := o.last()
	for name, want := range map[string]string{
		"sns": `"FACEBOOK"`, "id": `"10158"`, "password": "null", "accessToken": `"EAAB"`, "refreshToken": "null", "expiresIn": "5183944",
		"rawTokenResponse": `"{\"access_token\":\"EAAB\",\"token_type\":\"bearer\",\"expires_in\":5183944}"`,
	} {
		if diff := cmp.Diff(want, string(got.members[name])); diff != "" || times != 1 {
			t.Errorf("%d questions; %s (-want +got):\n%s", times, name, diff)
		}
	}
	token := claims(t, b.tokens(b.wantCode(b.submit(page, "action", "allow")))["id_token"])
	if token["sub"] != "sub-of-"+e.user || token["email"] != "social@example.com" || token["amr"] != nil || token["acr"] != nil {
		t.Errorf("ID token: %v", token)
	}
	if age := float64(e.now().Unix()) - token["auth_time"].(float64); age > 5 {
		t.Errorf("auth_time is %v seconds old", age)
	}
	b.wantCode(b.authorize("prompt", "none"))
	a, err := e.store.AccountBySubject(t.Context(), e.service.ID, "sub-of-"+e.user)
	if err != nil || a.PasswordHash != "" || string(a.Claims["email"]) != `"social@example.com"` {
		t.Errorf("%v, %+v", err, a)
	}
}

// A network's answer may be a form, as Facebook's once was.
func TestSocialTokenResponseAsAForm(t *testing.T) {
	o, n := newOperator(t), newSocialNetwork(t)
	e := n.env(o, setting{})
	o.knows("FACEBOOK 10158", "form-"+e.user, "")
	n.tokenAnswer = says(200, "text/plain; charset=UTF-8", "access_token=EAAB&expires=1&expires_in=60&refresh_token=r")
	b := e.browser()
	b.get(n.approve(b.depart(b.authorize()))).want(t, 200, "/consent", "")
	got, _ := o.last()
	if string(got.members["expiresIn"]) != "60" || string(got.members["refreshToken"]) != `"r"` || !strings.Contains(string(got.members["rawTokenResponse"]), "EAAB\\u0026expires") {
		t.Errorf("the callback got %s", got.members)
	}
}

// The state is good once, in the browser and for the interaction for which it
// was made (RFC 6749 §10.12), and nothing in an address says where to go on
// (CVE-2024-39694).
func TestThreat09SocialState(t *testing.T) {
	o, n := newOperator(t), newSocialNetwork(t)
	e := n.env(o, setting{})
	o.knows("FACEBOOK 10158", "state-"+e.user, "")
	b, stranger := e.browser(), e.browser()
	stranger.authorize()
	back := n.approve(b.depart(b.authorize()))
	state := func(change func(string) string) string {
		u, _ := url.Parse(back)
		q := u.Query()
		q.Set("state", change(q.Get("state")))
		return SocialPath + "?" + q.Encode()
	}
	own := b.authorize() // another tab
	for name, c := range map[string]struct {
		b       *browser
		address string
		status  int
	}{
		"another browser": {stranger, back, 400},
		"none":            {b, SocialPath + "?code=x", 400},
		"empty":           {b, state(func(string) string { return "" }), 400},
		"cut":             {b, state(func(s string) string { return s[:len(s)-1] }), 400},
		"changed": {b, state(func(s string) string {
			if strings.HasSuffix(s, "AA") { // one in a thousand does
				return s[:len(s)-2] + "EA"
			}
			return s[:len(s)-2] + "AA"
		}), 400},
		"id alone":         {b, state(func(s string) string { return strings.SplitAfter(s, ".")[0] }), 400},
		"another tab's id": {b, state(func(s string) string { return own.url.Query().Get("interaction") + s[strings.Index(s, "."):] }), 400},
		"the form's token": {b, state(func(s string) string {
			_, f := own.form(t)
			return own.url.Query().Get("interaction") + "." + f.Get("csrf")
		}), 400},
		"twice": {b, back + "&state=x", 400},
		"POST":  {b, "", 405},
	} {
		method, address := http.MethodGet, strings.TrimSuffix(c.address, "#_=_")
		if address == "" {
			method, address = http.MethodPost, back
		}
		if p := c.b.do(method, strings.Replace(address, "#_=_&", "&", 1), nil); p.status != c.status || p.location != nil {
			t.Errorf("%s: status %d at %s", name, p.status, p.url)
		}
	}
	if n.redeemed != 0 || o.times() != 0 {
		t.Fatalf("%d codes were redeemed, %d questions asked", n.redeemed, o.times())
	}
	if p := b.do(http.MethodHead, back, nil); p.status != 204 || n.redeemed != 0 {
		t.Errorf("HEAD: %d, %d codes redeemed", p.status, n.redeemed)
	}
	evil := strings.Replace(back, "#_=_", "&redirect_uri=https://evil.example&return=//evil.example&interaction=x", 1)
	if p := b.get(evil).want(t, 200, "/consent", ""); strings.Contains(p.body, "evil") {
		t.Errorf("page: %s", p.body)
	}
	b.get(back).want(t, 400, SocialPath, "This page is no longer valid")
	if n.redeemed != 1 {
		t.Errorf("%d codes were redeemed", n.redeemed)
	}
}

// Of those who come back at once, one is let in; and the secret of the session
// is another one after the sign-in (CVE-2024-28197, CVE-2025-46815).
func TestThreat27SocialReturnIsAtomic(t *testing.T) {
	o, n := newOperator(t), newSocialNetwork(t)
	e := n.env(o, setting{})
	o.knows("FACEBOOK 10158", e.user+"-subject", "")
	b := e.signedIn()
	before := b.cookie("-session").Value
	back := n.approve(b.depart(b.authorize("prompt", "login")))
	var wg sync.WaitGroup
	statuses := make(chan int, 10)
	for range cap(statuses) {
		wg.Go(func() {
			r, err := http.NewRequest(http.MethodGet, b.http.URL+back, nil)
			if err != nil {
				t.Error(err)
				return
			}
			for _, c := range b.jar.Cookies(r.URL) {
				r.AddCookie(c)
			}
			client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err := client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			for _, c := range resp.Cookies() {
				if strings.Contains(c.Name, "-session") && c.Value == before {
					t.Error("the session's cookie has not changed")
				}
			}
			statuses <- resp.StatusCode
		})
	}
	wg.Wait()
	in := 0
	for range cap(statuses) {
		if <-statuses == http.StatusSeeOther {
			in++
		}
	}
	if in != 1 || n.redeemed != 1 {
		t.Errorf("%d were let in, %d codes were redeemed", in, n.redeemed)
	}
	b.wantError(b.authorize("prompt", "none"), "login_required") // the cookie from before
}

// What goes wrong at the network is said on the sign-in page, from which people
// may go on in any way.
func TestSocialFailures(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*operator, *socialNetwork)
		query   string // instead of a code
		status  int
		text    string
	}{
		"denied":         {nil, "error=access_denied&error_reason=user_denied", 200, "You have not signed in with Facebook."},
		"error":          {nil, "error=server_error", 422, "Facebook did not confirm who you are."},
		"neither":        {nil, "error_code=1", 422, "did not confirm"},
		"wrong code":     {nil, "code=another", 422, "did not confirm"},
		"token 401":      {func(_ *operator, n *socialNetwork) { n.tokenAnswer = says(401, "application/json", "{}") }, "", 422, "did not confirm"},
		"token 500":      {func(_ *operator, n *socialNetwork) { n.tokenAnswer = says(500, "application/json", "{}") }, "", 503, "not possible at this moment"},
		"token: no JSON": {func(_ *operator, n *socialNetwork) { n.tokenAnswer = says(200, "application/json", "EAAB") }, "", 503, "not possible"},
		"token: nothing": {func(_ *operator, n *socialNetwork) { n.tokenAnswer = says(200, "application/json", "{}") }, "", 503, "not possible"},
		"token: error": {func(_ *operator, n *socialNetwork) {
			n.tokenAnswer = says(200, "application/json", `{"error":"invalid_grant","error_description":"EAAB"}`)
		}, "", 422, "did not confirm"},
		"token: too long": {func(_ *operator, n *socialNetwork) {
			n.tokenAnswer = says(200, "application/json", `{"access_token":"EAAB","x":"`+strings.Repeat("x", maxTokenResponse)+`"}`)
		}, "", 503, "not possible"},
		"user 400":          {func(_ *operator, n *socialNetwork) { n.userAnswer = says(400, "application/json", "{}") }, "", 422, "did not confirm"},
		"user 503":          {func(_ *operator, n *socialNetwork) { n.userAnswer = says(503, "application/json", "{}") }, "", 503, "not possible"},
		"user: none":        {func(_ *operator, n *socialNetwork) { n.userAnswer = says(200, "application/json", "{}") }, "", 503, "not possible"},
		"user: number":      {func(_ *operator, n *socialNetwork) { n.userAnswer = says(200, "application/json", `{"id":1}`) }, "", 503, "not possible"},
		"user: type":        {func(_ *operator, n *socialNetwork) { n.userAnswer = says(200, "text/html", `{"id":"1"}`) }, "", 503, "not possible"},
		"nobody's":          {nil, "", 422, "There is no account here for your account at Facebook"},
		"callback is broke": {func(o *operator, _ *socialNetwork) { o.instead = says(500, "text/plain", "") }, "", 503, "not possible"},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			o, n := newOperator(t), newSocialNetwork(t)
			e := n.env(o, setting{log: l.logger()})
			if c.prepare != nil {
				c.prepare(o, n)
			}
			b := e.browser()
			left := b.depart(b.authorize())
			back := n.approve(left)
			if c.query != "" {
				back = SocialPath + "?" + c.query + "&state=" + url.QueryEscape(n.request(left).Get("state"))
			}
			page := b.get(back).want(t, c.status, SocialPath, c.text)
			if b.cookie("-session") != nil {
				t.Error("somebody is signed in")
			}
			if text := l.String(); strings.Contains(text, "EAAB") || strings.Contains(text, "app secret") || strings.Contains(text, "app+secret") {
				t.Errorf("the log: %s", text)
			}
			o.instant(nil)
			b.signIn(page).want(t, 200, "/consent", "")
		})
	}
}

// People may change their mind at the network, and come back by the browser's
// button.
func TestBackFromTheNetwork(t *testing.T) {
	o, n := newOperator(t), newSocialNetwork(t)
	e := n.env(o, setting{})
	b := e.browser()
	page := b.authorize()
	n.request(b.depart(page))
	b.signIn(page).want(t, 200, "/consent", "")
}

// prompt=login and max_age are about the user, whom the network is to look at
// again (OpenID Connect Core §3.1.2.1).
func TestSocialSignInAgain(t *testing.T) {
	o, n := newOperator(t), newSocialNetwork(t)
	e := n.env(o, setting{})
	o.knows("FACEBOOK 10158", e.user+"-subject", "")
	b := e.browser()
	b.wantCode(b.submit(b.get(n.approve(b.depart(b.authorize()))), "action", "allow"))
	e.advance(2 * time.Minute)
	b.wantCode(b.authorize("prompt", "none"))
	b.wantError(b.authorize("prompt", "none", "max_age", "60"), "login_required")
	for _, parameters := range [][]string{{"prompt", "login"}, {"prompt", "select_account"}, {"max_age", "60"}} {
		e.advance(2 * time.Minute)
		left := b.depart(b.authorize(append(parameters, "claims", `{"id_token":{"auth_time":null}}`)...).want(t, 200, "/login", "You are signed in as"))
		if got := n.request(left).Get("auth_type"); got != "reauthenticate" {
			t.Errorf("%v: auth_type %q", parameters, got)
		}
		token := claims(t, b.tokens(b.wantCode(b.get(n.approve(left))))["id_token"])
		if age := float64(e.now().Unix()) - token["auth_time"].(float64); age > 5 {
			t.Errorf("%v: auth_time is %v seconds old", parameters, age)
		}
	}
}

// A level that is essential is not reached by way of a network: neither by a
// sign-in from before, nor by the page (GHSA-hp74-gm6m-2qm5).
func TestThreat28SocialReachesNoLevel(t *testing.T) {
	o, n := newOperator(t), newSocialNetwork(t)
	e := n.env(o, setting{})
	o.knows("FACEBOOK 10158", e.user+"-subject", "")
	b := e.browser()
	b.wantCode(b.submit(b.get(n.approve(b.depart(b.authorize()))), "action", "allow"))
	essential := []string{"claims", `{"id_token":{"acr":{"essential":true,"value":"1"}}}`}
	b.wantCode(b.authorize("acr_values", "1")) // which is a wish
	b.wantError(b.authorize(append(essential, "prompt", "none")...), "unmet_authentication_requirements")
	page := b.authorize(essential...).want(t, 200, "/login", "You are signed in as")
	if strings.Contains(page.body, "Facebook") {
		t.Errorf("the network is offered: %s", page.body)
	}
	b.depart(page).want(t, 400, "/login", "Something is wrong with this request")
	token := claims(t, b.tokens(b.wantCode(b.signIn(page)))["id_token"])
	if token["acr"] != "1" {
		t.Errorf("ID token: %v", token)
	}
	b.wantCode(b.authorize(append(essential, "prompt", "none")...))
}

// The button is there when everything is set, in every layout and language, and
// nobody leaves without it or its form's token.
func TestSocialButton(t *testing.T) {
	o, n := newOperator(t), newSocialNetwork(t)
	for name, change := range map[string]func(*model.Service){
		"no credentials": func(s *model.Service) { s.SNSCredentials = nil },
		"no network":     func(s *model.Service) { s.SupportedSNSes = nil },
	} {
		b := n.env(o, setting{service: change}).browser()
		page := b.authorize()
		if strings.Contains(page.body, "Facebook") || strings.Contains(page.body, `name="sns"`) {
			t.Errorf("%s: %s", name, page.body)
		}
		b.depart(page).want(t, 400, "/login", "Something is wrong")
	}
	b := n.env(o, setting{}).browser()
	for _, display := range []string{"page", "popup", "touch", "wap"} {
		b.authorize("display", display).want(t, 200, "/login", "Sign in with Facebook")
	}
	b.authorize("ui_locales", "ja").want(t, 200, "/login", "Facebook でログイン")
	page := b.authorize()
	b.submit(page, "csrf", "x", "sns", "facebook").want(t, 403, "/login", "out of date")
	b.submit(page, "sns", "myspace").want(t, 400, "/login", "Something is wrong")
	// A page of our own whose form leads to the network may not forbid that.
	page = b.get("/grants").want(t, 200, "/login", "Sign in with Facebook")
	if csp := page.header.Get("Content-Security-Policy"); strings.Contains(csp, "form-action") {
		t.Errorf("policy %s", csp)
	}
	o.knows("FACEBOOK 10158", "grants-of-"+b.user, "")
	b.get(n.approve(b.depart(page))).want(t, 200, "/grants", "Applications with access")
}
