package engine_test

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// A code is issued only for the level of sign-in that the request makes
// essential, and for the user that it names: whoever signed in by less, or is
// somebody else, gets the client an error (threats.md 28; OpenID Connect Core
// §5.5.1.1, §3.1.2.1).
func TestStepUp(t *testing.T) {
	h := open(t, model.Settings{"supportedAcrs": raw([]string{"1", "2"})})
	const two = `{"id_token":{"acr":{"essential":true,"values":["2"]}}}`
	for name, c := range map[string]struct {
		parameters []string
		acr        string
		subject    string
		want       string
	}{
		"the level is reached":   {[]string{"claims", two}, "2", "alice", ""},
		"a lower one":            {[]string{"claims", two}, "1", "alice", "unmet_authentication_requirements"},
		"none":                   {[]string{"claims", two}, "", "alice", "unmet_authentication_requirements"},
		"one that nobody knows":  {[]string{"claims", two}, "22", "alice", "unmet_authentication_requirements"},
		"a level that is a wish": {[]string{"acr_values", "2"}, "1", "alice", ""},
		"another user":           {[]string{"claims", `{"id_token":{"sub":{"value":"alice"}}}`}, "1", "bob", "login_required"},
		"the user":               {[]string{"claims", `{"id_token":{"sub":{"value":"alice"}}}`}, "1", "alice", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.on(t)
			got := h.consented(request("spa", c.parameters...), func(r *engine.AuthorizationIssueRequest) {
				r.ACR, r.Subject = c.acr, c.subject
			})
			if (got.Get("code") != "") != (c.want == "") || got.Get("error") != c.want {
				t.Errorf("%v, want %q", got, c.want)
			}
		})
	}
}

// Token exchange is a grant type that this engine does not process: no
// parameter brings it to life (threats.md 15 and 10).
func TestTokenExchangeDoesNotExist(t *testing.T) {
	h := open(t, nil)
	subject := h.tokens("web").AccessToken
	h.wantError(h.token("web", "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
		"subject_token", subject, "subject_token_type", "urn:ietf:params:oauth:token-type:access_token"), "unsupported_grant_type")
	if !h.usable(subject) {
		t.Error("the subject token has ended")
	}
}
