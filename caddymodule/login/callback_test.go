package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// "The user authentication at the authorization endpoint … is performed by
// making a POST request to this endpoint": the request has the members that
// there always were, and the claims of the answer are the user's.
func TestAuthenticationCallback(t *testing.T) {
	o := newOperator(t)
	e := o.env(setting{service: func(s *model.Service) {
		s.SupportedClaims, s.SupportedClaimLocales = []string{"sub", "name", "email", "auth_time"}, []string{"ja"}
	}})
	o.knows(e.user+" "+password, e.user+"-subject", `{"email":"user@example.com", "name":"Ä <b>", "sub":"mallory", "auth_time":1, "nickname":null}`)
	b := e.browser()
	page := b.signIn(b.authorize("scope", "openid email", "claims", `{"id_token":{"email":null}}`)).want(t, 200, "/consent", e.user)
	got, n := o.last()
	client, _ := e.engine.ClientByAlias(t.Context(), e.service.ID, "shop")
	want := fmt.Sprintf(`{"accessToken":null,"claims":["name","email"],"claimsLocales":["ja"],"clientId":%d,"expiresIn":0,"id":%q,`+
		`"password":%q,"rawTokenResponse":null,"refreshToken":null,"serviceApiKey":4711,"sns":null}`, client.ID, e.user, password)
	members, _ := json.Marshal(got.members)
	if diff := cmp.Diff(want, string(members)); diff != "" || n != 1 {
		t.Errorf("%d questions; the members (-want +got):\n%s", n, diff)
	}
	if got.method != http.MethodPost || got.contentType != "application/json" {
		t.Errorf("the callback got %s with %s", got.method, got.contentType)
	}
	tokens := b.tokens(b.wantCode(b.submit(page, "action", "allow")))
	token := claims(t, tokens["id_token"])
	for name, want := range map[string]any{"sub": e.user + "-subject", "email": "user@example.com", "amr": []any{"pwd"}, "acr": "1"} {
		if diff := cmp.Diff(want, token[name]); diff != "" {
			t.Errorf("claim %s (-want +got):\n%s", name, diff)
		}
	}
	kept, err := e.server.accounts.Claims(t.Context(), e.user+"-subject")
	if err != nil || string(kept["email"]) != `"user@example.com"` || string(kept["preferred_username"]) != fmt.Sprintf("%q", e.user) || len(kept) != 3 {
		t.Errorf("%v; claims at userinfo: %s", err, kept)
	}
	account, err := e.store.AccountBySubject(t.Context(), e.service.ID, e.user+"-subject")
	if err != nil || account.PasswordHash != "" || account.Name != e.user || account.CreatedAt == 0 {
		t.Errorf("%v; kept: %+v", err, account)
	}
	b.wantCode(b.authorize("prompt", "none"))
	if _, n := o.last(); n != 1 {
		t.Errorf("%d questions, though nobody has signed in again", n)
	}
}

// "If the value is not empty, Authlete generates Authorization header for Basic
// authentication when making a request to the authentication callback endpoint."
func TestCallbackCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		key, secret string
		basic       bool
	}{
		"both": {"k", "s:e c", true}, "no secret": {"k", "", true}, "neither": {"", "", false}, "no key": {"", "s", false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOperator(t)
			e := o.env(setting{service: func(s *model.Service) {
				s.AuthenticationCallback.APIKey, s.AuthenticationCallback.APISecret = c.key, c.secret
			}})
			b := e.browser()
			b.signIn(b.authorize()).want(t, 200, "/consent", "")
			got, _ := o.last()
			if got.basic != c.basic || c.basic && (got.key != c.key || got.secret != c.secret) {
				t.Errorf("got %v %q %q", got.basic, got.key, got.secret)
			}
		})
	}
}

// The members that identify are numbers where they have always been, and claims
// are asked for where there can be an ID token.
func TestCallbackMembers(t *testing.T) {
	o := newOperator(t)
	for key, want := range map[string]string{"": "0", "12": "12", "012": `"012"`, "-5": `"-5"`, "my_key": `"my_key"`, "99999999999999999999": `"99999999999999999999"`} {
		e := o.env(setting{service: func(s *model.Service) { s.APIKey, s.SupportedScopes = key, nil }})
		b := e.browser()
		b.signIn(b.get("/grants")).want(t, 200, "/grants", "")
		got, _ := o.last()
		if string(got.members["serviceApiKey"]) != want || string(got.members["clientId"]) != "0" ||
			string(got.members["claims"]) != "null" || string(got.members["claimsLocales"]) != "null" {
			t.Errorf("API key %q: %s", key, got.members)
		}
	}
}

// Whoever the callback does not vouch for, a name that nobody can have, and an
// account that is disabled here are one answer (CVE-2026-23511).
func TestThreat30CallbackTellsNobodyApart(t *testing.T) {
	o := newOperator(t)
	e := o.env(setting{})
	o.knows("off-"+e.user+" "+password, "off-"+e.user, "")
	b := e.browser()
	login := b.authorize()
	fresh := e.browser()
	fresh.submit(fresh.authorize(), "username", "off-"+e.user, "password", password).want(t, 200, "/consent", "")
	e.disable("off-" + e.user)
	var first string
	for _, c := range [][2]string{
		{e.user, "wrong"}, {"nobody", password}, {"off-" + e.user, password}, {"\u202e", password}, {strings.Repeat("n", 321), password},
		{e.user, ""}, {e.user, strings.Repeat("p", 1025)}, {"", password},
	} {
		page := b.submit(login, "username", c[0], "password", c[1]).want(t, 422, "/login", "The name or the password is wrong.")
		text := strings.NewReplacer(`value="`+c[0]+`"`, `value=""`, ` autofocus`, ``).Replace(page.body)
		if first == "" {
			first = text
		}
		if diff := cmp.Diff(first, text); diff != "" {
			t.Errorf("%.20q %.20q has another page:\n%s", c[0], c[1], diff)
		}
	}
	// What can be nobody's is not asked about: an empty password may be taken
	// for a wish to be anonymous (RFC 4513 §5.1.2).
	if n := o.times(); n != 4 {
		t.Errorf("%d questions, want 4", n)
	}
}

// disable is what the operator's command does to a kept account.
func (e *env) disable(subject string) {
	e.t.Helper()
	a, err := e.store.AccountBySubject(context.Background(), e.service.ID, subject)
	if err != nil {
		e.t.Fatal(err)
	}
	err = e.store.Write(context.Background(), store.SetDisabled{Service: e.service.ID, ID: a.ID, Disabled: true},
		store.DeleteSessions{Service: e.service.ID, Subject: subject}, store.RevokeGrants{Service: e.service.ID, Subject: subject})
	if err != nil {
		e.t.Fatal(err)
	}
}

// A disabled account ends at once, whatever the callback says, and signing in
// does not enable it (CVE-2026-43983).
func TestThreat04DisabledThoughTheCallbackVouches(t *testing.T) {
	o := newOperator(t)
	e := o.env(setting{})
	subject := e.user + "-subject"
	b := e.signedIn()
	if active, err := e.server.accounts.Active(t.Context(), subject); !active || err != nil {
		t.Fatalf("active: %v, %v", active, err)
	}
	e.disable(subject)
	b.wantError(b.authorize("prompt", "none"), "login_required")
	o.knows(e.user+" "+password, subject, `{"email":"new@example.com"}`)
	b.signIn(b.authorize()).want(t, 422, "/login", "wrong")
	if active, err := e.server.accounts.Active(t.Context(), subject); active || err != nil {
		t.Errorf("active: %v, %v", active, err)
	}
	if _, err := e.server.accounts.Authenticate(t.Context(), e.user, password, 0); !errors.Is(err, ErrCredentials) {
		t.Errorf("the password flow: %v", err)
	}
}

// Guesses count for the account, however its name is spelt (CVE-2025-24806):
// a name that the operator has may have spaces.
func TestThreat29CallbackThrottle(t *testing.T) {
	o := newOperator(t)
	e := o.env(setting{})
	b := e.browser()
	login := b.authorize()
	for i, spellings := range [][]string{
		{"alice", "ALICE", "\uff41lice", " alice", "alice ", "AlIcE"},
		{"Bob Smith", "bob smith", "BOB  SMITH", " bob smith ", "ｂob smith", "Bob\u3000Smith"},
		{"zoë", "Zoe\u0308", "ZOË", "zoe\u0308", " Zoë", "zoë "},
	} {
		for j, name := range spellings {
			status := 422
			if j >= freeFailures {
				status = 429
			}
			b.submit(login, "username", name, "password", "guess").want(t, status, "/login", "")
		}
		if n := o.times(); n != (i+1)*freeFailures {
			t.Errorf("%s: %d questions, want %d", spellings[0], n, (i+1)*freeFailures)
		}
	}
	for range freeFailures - 1 {
		b.submit(login, "username", e.user, "password", "guess").want(t, 422, "/login", "")
	}
	b.signIn(login).want(t, 200, "/consent", "")
	login = b.authorize("prompt", "login")
	for range freeFailures {
		b.submit(login, "username", e.user, "password", "guess").want(t, 422, "/login", "")
	}
	b.signIn(login).want(t, 429, "/login", "Try again in 1 second.")
	e.advance(time.Second)
	b.signIn(login).want(t, 200, "/consent", "")
}

func TestCallbackBusy(t *testing.T) {
	o := newOperator(t)
	e := o.env(setting{})
	e.server.accounts.calls = newPool(1, 0)
	e.server.accounts.calls.admitted <- struct{}{}
	e.server.accounts.callback.pool = e.server.accounts.calls
	b := e.browser()
	login := b.authorize()
	for range freeFailures + 2 {
		b.signIn(login).want(t, 503, "/login", "Too many people")
	}
	<-e.server.accounts.calls.admitted
	b.signIn(login).want(t, 200, "/consent", "")
	if n := o.times(); n != 1 {
		t.Errorf("%d questions", n)
	}
}

// The subject is who somebody is. A name is nothing to go by: whoever has it
// first keeps it, and nobody gets into the account of another subject.
func TestCallbackSubjects(t *testing.T) {
	o := newOperator(t)
	e := o.env(setting{})
	run := fmt.Sprint(runs.Add(1))
	name, first, second := "Robin"+run, "First"+run, "Second"+run
	in := func(typed, wantName, wantSubject string) {
		t.Helper()
		subject, err := e.server.accounts.Authenticate(t.Context(), typed, "p", 0)
		if err != nil || subject != wantSubject {
			t.Fatalf("%s: %q, %v", typed, subject, err)
		}
		a, err := e.store.AccountBySubject(t.Context(), e.service.ID, subject)
		if err != nil || a.Name != wantName {
			t.Errorf("%s: %v; the name is %q, want %q", typed, err, a.Name, wantName)
		}
	}
	o.knows(name+" p", first, `{"name":"One"}`)
	in(name, name, first)
	o.knows(strings.ToUpper(name)+" p", first, `{"name":"One"}`)
	in(strings.ToUpper(name), name, first) // another spelling is no change
	o.knows("robin "+run+" p", first, `{"name":"One"}`)
	in("robin "+run, name, first) // no name of an account here
	// The operator gives the name to somebody else.
	o.knows(name+" p", second, `{"name":"Two"}`)
	in(name, second, second)
	if c, _ := e.server.accounts.Claims(t.Context(), first); string(c["name"]) != `"One"` {
		t.Errorf("the first one's claims: %s", c)
	}
	o.knows(name+"2 p", second, `{"name":"Two"}`)
	in(name+"2", name+"2", second) // a change of name
	in(name, name+"2", second)
	// A subject that looks like another's name gets a name that is nobody's.
	o.knows(name+" p", strings.ToLower(name), "")
	if subject, err := e.server.accounts.Authenticate(t.Context(), name, "p", 0); subject != strings.ToLower(name) || err != nil {
		t.Errorf("%q, %v", subject, err)
	}
	a, err := e.store.AccountBySubject(t.Context(), e.service.ID, strings.ToLower(name))
	if key, keyErr := Key(a.Name); err != nil || keyErr != nil || key == strings.ToLower(name) {
		t.Errorf("%v; the account is %+v", err, a)
	}
}

// An account that was in the store before belongs to whom the callback names,
// and its old password is good for nothing.
func TestCallbackDecidesAlone(t *testing.T) {
	o := newOperator(t)
	e := o.env(setting{})
	a := e.stored("local"+fmt.Sprint(runs.Add(1)), "local"+e.user, cheapHash("old password"))
	b := e.browser()
	b.submit(b.authorize(), "username", a.Name, "password", "old password").want(t, 422, "/login", "wrong")
}

// An address that is not public is not asked (CVE-2025-67494), though the
// operator has set it: internal ones are allowed in one place for all.
func TestThreat21CallbackIsGuarded(t *testing.T) {
	o := newOperator(t)
	e := o.env(setting{fetch: fetch.New(fetch.Options{})})
	b := e.browser()
	b.signIn(b.authorize()).want(t, 503, "/login", "not possible at this moment")
	if n := o.times(); n != 0 {
		t.Errorf("the callback was asked %d times", n)
	}
}

func TestCheckService(t *testing.T) {
	declared := []DeclaredAccount{{Name: "alice", PasswordHash: cheapHash(password)}}
	called := model.Service{AuthenticationCallback: model.Callback{Endpoint: "https://users.example/"}}
	social := model.Service{SupportedSNSes: []model.SNS{model.SNSFacebook}}
	both := called
	both.SupportedSNSes = social.SupportedSNSes
	for name, c := range map[string]struct {
		service  model.Service
		declared []DeclaredAccount
		want     string // empty: accepted
	}{
		"accounts": {model.Service{}, declared, ""}, "callback": {called, nil, ""}, "callback and network": {both, nil, ""},
		"callback and accounts":    {called, declared, `account "alice" is declared, but authentication_callback_endpoint alone`},
		"network without callback": {social, declared, "supported_snses needs authentication_callback_endpoint"},
		"a bad account":            {model.Service{}, []DeclaredAccount{{Name: "alice"}}, "password_hash"},
	} {
		err := CheckService(&c.service, c.declared)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewAccounts(AccountOptions{Service: &called, Guard: NewGuard(NewHashers())}); err == nil {
		t.Error("a callback with nothing to ask it with is accepted")
	}
}

// A browser that has gone is no outage.
func TestCallbackOfABrowserThatHasGone(t *testing.T) {
	o := newOperator(t)
	e := o.env(setting{})
	reached, done := make(chan struct{}), make(chan struct{})
	o.instant(func(http.ResponseWriter, *http.Request) { close(reached); <-done })
	t.Cleanup(func() { close(done) })
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-reached; cancel() }()
	_, err := e.server.accounts.Authenticate(ctx, e.user, password, 0)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w := httptest.NewRecorder()
	if err := e.server.signInFailed(w, httptest.NewRequest(http.MethodPost, "/login", nil), new(interaction), "", err); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
