package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// RFC 6749 §4.3.2, §4.3.3: the engine asks for the user to be authenticated, and
// issues tokens when that is done.
func TestPasswordGrant(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	asked := h.token("any", "grant_type", "password", "username", "älice", "password", "p w&", "scope", "openid offline_access orders:read unknown")
	h.want(asked, model.ActionPassword)
	if asked.Username != "älice" || asked.Password != "p w&" || asked.Client.Alias != "any" || asked.AccessToken != "" || asked.ResponseContent != "" {
		t.Errorf("got %+v", asked)
	}
	now := h.clock().Unix()
	resp, err := h.engine.TokenIssue(t.Context(), h.service.ID, engine.TokenIssueRequest{
		Ticket: asked.Ticket, Subject: "alice", AuthTime: now, Properties: []model.Property{{Key: "tenant", Value: "t1"}, {Key: "inner", Value: "x", Hidden: true}}})
	if err != nil {
		t.Fatal(err)
	}
	h.want(resp, model.ActionOK)
	if diff := cmp.Diff([]string{"openid", "offline_access", "orders:read"}, resp.Scopes); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{`"token_type":"Bearer"`, `"refresh_token":"gr_`, `"scope":"openid offline_access orders:read"`, `"tenant":"t1"`, `"expires_in":3600`} {
		if !strings.Contains(resp.ResponseContent, want) {
			t.Errorf("%s lacks %s", resp.ResponseContent, want)
		}
	}
	if strings.Contains(resp.ResponseContent, "inner") {
		t.Error("a hidden property is in the response")
	}
	if got := h.introspect(resp.AccessToken); got.Subject != "alice" || got.AuthTime != now {
		t.Errorf("%+v", got)
	}
	idToken := h.verified(resp.IDToken, "")
	if idToken.claims["sub"] != "alice" || idToken.claims["nonce"] != nil || idToken.claims["at_hash"] != halfHash("RS256", resp.AccessToken) {
		t.Errorf("%v", idToken.claims)
	}
	h.want(h.refresh("any", resp.RefreshToken), model.ActionOK)
}

// RFC 6749 §4.3.2, §5.2: what is refused, before anybody is asked for a user.
func TestPasswordGrantErrors(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	for name, c := range map[string]struct {
		pairs []string
		code  string
	}{
		"no username":       {[]string{"username", ""}, "invalid_request"},
		"no password":       {[]string{"password", ""}, "invalid_request"},
		"endless username":  {[]string{"username", strings.Repeat("u", 1025)}, "invalid_request"},
		"endless password":  {[]string{"password", strings.Repeat("p", 1025)}, "invalid_request"},
		"unknown scope":     {[]string{"scope", "unknown"}, "invalid_scope"},
		"resource fragment": {[]string{"resource", "https://a.example/#x"}, "invalid_target"},
	} {
		resp := h.token("any", append([]string{"grant_type", "password", "username", "alice", "password", "secret"}, c.pairs...)...)
		if errorCode(resp.ResponseContent) != c.code || resp.Ticket != "" {
			t.Errorf("%s: %s", name, resp.ResponseContent)
		}
	}
}

// RFC 6749 §5.2; threats.md 30: a wrong password and an unknown user are the
// same invalid_grant.
func TestPasswordGrantFails(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	ticket := func() string {
		return h.token("any", "grant_type", "password", "username", "a", "password", "b").Ticket
	}
	fail, err := h.engine.TokenFail(t.Context(), h.service.ID, engine.TokenFailRequest{Ticket: ticket(), Reason: engine.TokenFailInvalidCredentials})
	if err != nil {
		t.Fatal(err)
	}
	h.wantError(fail, "invalid_grant")
	h.users.disabled.Store("bob", true)
	disabled, err := h.engine.TokenIssue(t.Context(), h.service.ID, engine.TokenIssueRequest{Ticket: ticket(), Subject: "bob"})
	if err != nil || disabled.ResponseContent != fail.ResponseContent || disabled.Action != fail.Action || disabled.AccessToken != "" {
		t.Errorf("a disabled user's: %v %v", disabled, err)
	}
	other, err := h.engine.TokenFail(t.Context(), h.service.ID, engine.TokenFailRequest{Ticket: ticket(), Reason: engine.TokenFailUnknown})
	if err != nil || other.Action != model.ActionBadRequest {
		t.Errorf("%v %v", other, err)
	}
	if resp, err := h.engine.TokenIssue(t.Context(), h.service.ID, engine.TokenIssueRequest{Ticket: ticket()}); err == nil {
		t.Errorf("tokens without a subject: %s", resp.ResponseContent)
	}
}

// A ticket of the token endpoint is used once, for a minute, and is no ticket of
// the authorization endpoint.
func TestPasswordTicketIsUsedOnce(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	ask := func() string {
		return h.token("any", "grant_type", "password", "username", "a", "password", "b").Ticket
	}
	for _, n := range []int{2, 16, 64} {
		ticket := ask()
		var won atomic.Int32
		together(n, func(i int) {
			if i%4 == 3 {
				_, _ = h.engine.TokenFail(context.Background(), h.service.ID, engine.TokenFailRequest{Ticket: ticket, Reason: engine.TokenFailInvalidCredentials})
				return
			}
			resp, err := h.engine.TokenIssue(context.Background(), h.service.ID, engine.TokenIssueRequest{Ticket: ticket, Subject: "alice"})
			if err == nil && resp.Action == model.ActionOK {
				won.Add(1)
			}
		})
		if got := won.Load(); got > 1 {
			t.Errorf("%d at once: %d successes", n, got)
		}
		if resp, err := h.engine.TokenIssue(t.Context(), h.service.ID, engine.TokenIssueRequest{Ticket: ticket, Subject: "alice"}); err == nil {
			t.Errorf("again: %s", resp.ResponseContent)
		}
	}
	late := ask()
	h.pass(61 * time.Second)
	swapped := ask()
	for name, call := range map[string]func() (string, error){
		"after a minute": func() (string, error) {
			resp, err := h.engine.TokenIssue(t.Context(), h.service.ID, engine.TokenIssueRequest{Ticket: late, Subject: "alice"})
			if err != nil {
				return "", err
			}
			return resp.AccessToken, nil
		},
		"a ticket of an authorization": func() (string, error) {
			resp, err := h.engine.TokenIssue(t.Context(), h.service.ID, engine.TokenIssueRequest{Ticket: h.authorize(request("any")).Ticket, Subject: "alice"})
			if err != nil {
				return "", err
			}
			return resp.AccessToken, nil
		},
		"altered": func() (string, error) {
			resp, err := h.engine.TokenFail(t.Context(), h.service.ID, engine.TokenFailRequest{Ticket: alter(swapped)})
			if err != nil {
				return "", err
			}
			return resp.ResponseContent, nil
		},
		"at the authorization endpoint": func() (string, error) { return h.issue(swapped).AuthorizationCode, nil },
	} {
		if got, err := call(); got != "" || err == nil && name != "at the authorization endpoint" {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}
