package front

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func passwordService(o *operator) model.Settings {
	return o.settings("authenticationCallback", model.Settings{
		"supportedGrantTypes": raw([]string{"AUTHORIZATION_CODE", "PASSWORD"}),
		"supportedScopes":     raw([]model.Scope{{Name: "openid"}, {Name: "email"}}),
	})
}

// "PASSWORD is a flow to get issued an access token by presenting a user's
// credentials": whose they are is asked of the callback too.
func TestPasswordFlowAsksTheCallback(t *testing.T) {
	o := newOperator(t)
	f := newFront(t, passwordService(o))
	got := f.passwordGrant("alice", "p: å")
	if got.status != 200 {
		t.Fatalf("%d %v", got.status, got.body)
	}
	r, err := http.NewRequest(http.MethodGet, f.http.URL+"/userinfo", nil)
	if err == nil {
		r.Header.Set("Authorization", "Bearer "+got.body["access_token"].(string))
	}
	if info := f.do(r, err); info.status != 200 || info.body["sub"] != "a1" {
		t.Errorf("userinfo: %d %v", info.status, info.body)
	}
	if claims, err := f.state.Accounts[f.service.ID].Claims(t.Context(), "a1"); err != nil || string(claims["email"]) != `"alice@example.com"` {
		t.Errorf("%v; claims: %s", err, claims)
	}
	client, err := f.state.Engine.ClientByAlias(t.Context(), f.service.ID, "web")
	if err != nil {
		t.Fatal(err)
	}
	asked := o.questions()
	if len(asked) != 1 || asked[0]["clientId"] != float64(client.ID) || asked[0]["sns"] != nil {
		t.Errorf("asked: %v", asked)
	}
	wrong, unknown := f.passwordGrant("alice", "wrong"), f.passwordGrant("nobody", "p: å")
	if wrong.status != 400 || wrong.body["error"] != "invalid_grant" {
		t.Errorf("a wrong password: %d %v", wrong.status, wrong.body)
	}
	if diff := cmp.Diff(wrong.body, unknown.body); diff != "" || unknown.status != 400 {
		t.Errorf("threat 30: an unknown name differs:\n%s", diff)
	}
	// Threat 4: the account that is kept is disabled here.
	account, err := f.state.Store.AccountBySubject(t.Context(), f.service.ID, "a1")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.state.Store.Write(t.Context(), store.SetDisabled{Service: f.service.ID, ID: account.ID, Disabled: true}); err != nil {
		t.Fatal(err)
	}
	if got := f.passwordGrant("alice", "p: å"); got.status != 400 || got.body["error"] != "invalid_grant" {
		t.Errorf("a disabled account: %d %v", got.status, got.body)
	}
	// Threat 29: guesses are counted here as on the sign-in page.
	before := len(o.questions())
	for i := range 8 {
		f.passwordGrant([]string{"carol", "CAROL", " carol"}[i%3], "guess")
	}
	if n := len(o.questions()) - before; n != 5 {
		t.Errorf("%d guesses reached the callback, want 5", n)
	}
}

// An outage of the callback is no answer about the user.
func TestPasswordFlowWithoutTheCallback(t *testing.T) {
	o := newOperator(t)
	f := newFront(t, passwordService(o))
	o.fails(http.StatusInternalServerError)
	for range 7 {
		if got := f.passwordGrant("alice", "p: å"); got.status != 503 || got.body["error"] != "temporarily_unavailable" || got.header.Get("Retry-After") == "" {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	o.fails(http.StatusOK)
	if got := f.passwordGrant("alice", "p: å"); got.status != 200 {
		t.Errorf("then: %d %v", got.status, got.body)
	}
}

// registration sends a request to register a client. Headers are name, value, ….
func (f *front) registration(body string, headers ...string) answered {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodPost, f.http.URL+"/register", strings.NewReader(body))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	return f.do(r, err)
}

const metadata = `{"redirect_uris":["https://app.example.com/cb"]}`

func basic(name, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password) // RFC 7617: nothing is form-encoded
	return r.Header.Get("Authorization")
}

func developerService(o *operator) model.Settings {
	return o.settings("developerAuthenticationCallback", model.Settings{
		"apiKey": raw("4711"), "apiSecret": raw("an api secret"), "dynamicRegistrationSupported": raw(true), "clientsPerDeveloper": raw(2),
		"initialAccessTokens": raw([]model.InitialAccessToken{{Developer: "token", Token: "an-initial-token"}}),
	})
}

// "A Web API endpoint for developer authentication": developers register
// clients by name and password, and count as whom the callback names.
func TestDeveloperAuthenticationCallback(t *testing.T) {
	o := newOperator(t)
	f := newFront(t, developerService(o))
	created := f.registration(metadata, "Authorization", basic("alice", "p: å"))
	if created.status != 201 {
		t.Fatalf("%d %v", created.status, created.body)
	}
	want := map[string]any{"serviceApiKey": 4711., "id": "alice", "password": "p: å", "sns": nil, "accessToken": nil, "refreshToken": nil,
		"expiresIn": 0., "rawTokenResponse": nil}
	if diff := cmp.Diff([]map[string]any{want}, o.questions()); diff != "" {
		t.Errorf("the questions (-want +got):\n%s", diff)
	}
	row, err := f.state.Store.StoredClientByAlias(t.Context(), f.service.ID, created.body["client_id"].(string))
	if err != nil || row.Developer != "a1" {
		t.Errorf("%v; the developer is %q", err, row.Developer)
	}
	f.registration(metadata, "Authorization", basic("alice", "p: å"))
	if got := f.registration(metadata, "Authorization", basic("alice", "p: å")); got.status != 400 {
		t.Errorf("a third client of two: %d %v", got.status, got.body)
	}
	if got := f.registration(metadata, "Authorization", "Bearer an-initial-token"); got.status != 201 {
		t.Errorf("an initial access token: %d %v", got.status, got.body)
	}
}

// Whoever is not let in learns how to ask, and nothing else (RFC 9110 §11.6.1).
func TestDeveloperRefused(t *testing.T) {
	o := newOperator(t)
	f := newFront(t, developerService(o))
	for name, headers := range map[string][]string{
		"nothing":        nil,
		"wrong password": {"Authorization", basic("alice", "wrong")},
		"unknown":        {"Authorization", basic("nobody", "p: å")},
		"empty password": {"Authorization", basic("alice", "")},
		"no name":        {"Authorization", basic("", "p: å")},
		"no base64":      {"Authorization", "Basic %%%"},
		"not UTF-8":      {"Authorization", basic("alice", "\xff")},
		"too long":       {"Authorization", basic("alice", strings.Repeat("p", maxCredentials+1))},
		"wrong token":    {"Authorization", "Bearer x"},
		"form-encoded":   {"Authorization", basic("alice", "p%3A+%C3%A5")},
	} {
		got := f.registration(metadata, headers...)
		challenges := strings.Join(got.header.Values("WWW-Authenticate"), "\n")
		want := fmt.Sprintf("Bearer realm=%q, error=\"invalid_token\"\nBasic realm=%q, charset=\"UTF-8\"", issuer, issuer)
		if got.status != 401 || challenges != want || got.body["error"] != "invalid_token" {
			t.Errorf("%s: %d %v %v", name, got.status, challenges, got.body)
		}
	}
	for _, q := range o.questions() {
		if q["password"] == "" || q["id"] == "" || len(q["password"].(string)) > 1024 {
			t.Errorf("the callback was asked %v", q)
		}
	}
	if got := f.registration(metadata, "Authorization", basic("alice", "p: å"), "Authorization", "Bearer x"); got.status != 400 {
		t.Errorf("threat 26: two Authorization headers: %d", got.status)
	}
}

// Guesses at developers are counted, apart from those at users of the same name
// (CVE-2025-64102).
func TestThreat29DeveloperThrottle(t *testing.T) {
	o := newOperator(t)
	settings := developerService(o)
	for name, value := range passwordService(o) {
		settings[name] = value
	}
	f := newFront(t, settings)
	for i := range 5 {
		if got := f.registration(metadata, "Authorization", basic([]string{"alice", "ALICE"}[i%2], "guess")); got.status != 401 {
			t.Fatalf("guess %d: %d", i+1, got.status)
		}
	}
	before := len(o.questions())
	got := f.registration(metadata, "Authorization", basic("Alice", "p: å"))
	if got.status != 429 || got.header.Get("Retry-After") != "1" || len(o.questions()) != before {
		t.Errorf("%d %v %v", got.status, got.header, got.body)
	}
	if got := f.passwordGrant("alice", "p: å"); got.status != 200 {
		t.Errorf("the user of that name: %d %v", got.status, got.body)
	}
}

func TestDeveloperCallbackOutage(t *testing.T) {
	o := newOperator(t)
	f := newFront(t, developerService(o))
	o.fails(http.StatusServiceUnavailable)
	for range 7 {
		if got := f.registration(metadata, "Authorization", basic("alice", "p: å")); got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	if got := f.registration(metadata, "Authorization", "Bearer an-initial-token"); got.status != 201 {
		t.Errorf("those who have a token: %d %v", got.status, got.body)
	}
}

// Without the callback a name and password are nothing, and there is no
// challenge that asks for them.
func TestNoDeveloperCallback(t *testing.T) {
	f := newFront(t, model.Settings{
		"dynamicRegistrationSupported": raw(true),
		"initialAccessTokens":          raw([]model.InitialAccessToken{{Developer: "token", Token: "an-initial-token"}}),
	})
	got := f.registration(metadata, "Authorization", basic("alice", "p: å"))
	if c := got.header.Values("WWW-Authenticate"); got.status != 401 || len(c) != 1 || !strings.HasPrefix(c[0], "Bearer ") {
		t.Errorf("%d %v", got.status, c)
	}
}

// "Set Authlete server's /api/sns/redirection as the redirection endpoint": it
// is there when a network is, below the issuer's path, and no page is put on it.
func TestSocialRedirectionPath(t *testing.T) {
	o := newOperator(t)
	settings := o.settings("authenticationCallback", model.Settings{
		"supportedSnses": raw([]string{"FACEBOOK"}),
		"snsCredentials": raw([]model.SNSCredentials{{SNS: model.SNSFacebook, APIKey: "id", APISecret: "secret"}}),
	})
	get := func(f *front) int {
		r, err := http.NewRequest(http.MethodGet, f.http.URL+"/api/sns/redirection?code=x&state=y", nil)
		return f.do(r, err).status
	}
	if got := get(newFront(t, settings)); got != 400 {
		t.Errorf("with a network: %d", got)
	}
	if got := get(newFront(t, model.Settings{})); got != http.StatusTeapot {
		t.Errorf("without: %d", got)
	}
	service, err := model.NewService(model.Settings{"issuer": raw(issuer + "/a"), "supportedSnses": raw([]string{"FACEBOOK"})})
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{service: &service, GrantsPath: "/a/api/sns/redirection"}
	h.layOut("/a")
	if h.paths.Social != "/a/api/sns/redirection" || h.Validate() == nil {
		t.Errorf("%q; a page on it: %v", h.paths.Social, h.Validate())
	}
}
