package engine_test

import (
	"context"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// RFC 6749 §4.1.2, RFC 9207 §2: the answer goes to the redirect address with
// code, state and iss.
func TestAuthorizationResponse(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	resp := h.authorize(request("spa", "state", "a b&c"))
	issued, err := h.engine.AuthorizationIssue(t.Context(), h.service.ID, engine.AuthorizationIssueRequest{Ticket: resp.Ticket, Subject: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(issued.ResponseContent)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if !strings.HasPrefix(issued.ResponseContent, redirect+"?") || q.Get("code") != issued.AuthorizationCode || q.Get("state") != "a b&c" || q.Get("iss") != issuer {
		t.Errorf("got %s", issued.ResponseContent)
	}
}

// A ticket is used once, whether it ends in a code or in an error.
func TestTicketIsUsedOnce(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, n := range []int{2, 16, 64} {
		ticket := h.authorize(request("spa")).Ticket
		var codes atomic.Int32
		together(n, func(i int) {
			if i%4 == 3 {
				_, err := h.engine.AuthorizationFail(context.Background(), h.service.ID, engine.AuthorizationFailRequest{Ticket: ticket, Reason: engine.FailDenied})
				if err != nil {
					t.Error(err)
				}
				return
			}
			resp, err := h.engine.AuthorizationIssue(context.Background(), h.service.ID, engine.AuthorizationIssueRequest{Ticket: ticket, Subject: "alice"})
			if err != nil {
				t.Error(err)
			} else if resp.AuthorizationCode != "" {
				codes.Add(1)
			}
		})
		if got := codes.Load(); got > 1 {
			t.Errorf("%d at once: %d codes", n, got)
		}
		again, err := h.engine.AuthorizationIssue(t.Context(), h.service.ID, engine.AuthorizationIssueRequest{Ticket: ticket, Subject: "alice"})
		if err != nil || again.Action != model.ActionBadRequest {
			t.Errorf("again: %v %v", again, err)
		}
	}
}

// threats.md 1: one code redeemed by many requests at once yields one success.
// threats.md 6: and since it was used more than once, what it gave is revoked.
func TestThreat01OneCodeOneSuccess(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, n := range []int{2, 16, 64} {
		code := h.code("spa")
		var won atomic.Int32
		var token atomic.Value
		together(n, func(int) {
			if resp := h.redeem("spa", code); resp.Action == model.ActionOK {
				won.Add(1)
				token.Store(resp.AccessToken)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("%d at once: %d successes", n, won.Load())
		}
		if h.usable(token.Load().(string)) {
			t.Errorf("%d at once: the token outlives the reuse of its code", n)
		}
	}
}

// threats.md 3: a code belongs to one client.
func TestThreat03CodeBelongsToItsClient(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, thief := range []string{"spa2", "web"} {
		code := h.code("spa")
		h.wantError(h.redeem(thief, code), "invalid_grant")
		h.want(h.redeem("spa", code), model.ActionOK) // the attempt did not spend it
	}
}

// threats.md 5 (RFC 9700 §4.8): PKCE cannot be taken away or weakened.
func TestThreat05PKCEDowngrade(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"pkceRequired": raw(false)})
	t.Run("verifier without challenge", func(t *testing.T) {
		code := h.code("web", "code_challenge", "", "code_challenge_method", "")
		h.wantError(h.redeem("web", code), "invalid_grant")
	})
	t.Run("challenge without verifier", func(t *testing.T) {
		h.wantError(h.redeem("web", h.code("web"), "code_verifier", ""), "invalid_grant")
	})
	t.Run("wrong verifier", func(t *testing.T) {
		h.wantError(h.redeem("web", h.code("web"), "code_verifier", verifier+"x"), "invalid_grant")
	})
	for name, pairs := range map[string][]string{
		"plain":                  {"code_challenge_method", "plain"},
		"method left out":        {"code_challenge_method", ""},
		"method alone":           {"code_challenge", ""},
		"public client without":  {"code_challenge", "", "code_challenge_method", "", "client_id", "spa"},
		"challenge is no SHA256": {"code_challenge", "short"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := h.authorize(request("web", pairs...))
			if resp.Action != model.ActionLocation || !strings.Contains(resp.ResponseContent, "error=invalid_request") {
				t.Errorf("got %s %s", resp.Action, resp.ResponseContent)
			}
		})
	}
	t.Run("plain where it is allowed, and bound to it", func(t *testing.T) {
		lax := open(t, model.Settings{"pkceS256Required": raw(false)})
		pairs := []string{"code_challenge", verifier, "code_challenge_method", "plain"}
		lax.want(lax.redeem("web", lax.code("web", pairs...)), model.ActionOK)
		lax.want(lax.redeem("web", lax.code("web", "code_challenge", verifier, "code_challenge_method", "")), model.ActionOK) // RFC 7636 §4.3
		lax.wantError(lax.redeem("web", lax.code("web", pairs...), "code_verifier", challenge()), "invalid_grant")
		// A challenge of S256 is not met by itself, as plain would have it.
		lax.wantError(lax.redeem("web", lax.code("web"), "code_verifier", challenge()), "invalid_grant")
		lax.wantRefusal("invalid_request", request("web", "code_challenge", "short", "code_challenge_method", "plain"))
		lax.wantRefusal("invalid_request", request("web", "code_challenge_method", "S512"))
	})
	t.Run("a client may be stricter than its service", func(t *testing.T) {
		lax := openWith(t, model.Settings{"pkceS256Required": raw(false), "pkceRequired": raw(false)}, map[string]model.Settings{
			"strict": {"clientSecret": raw(longSecret), "pkceRequired": raw(true), "pkceS256Required": raw(true)}})
		lax.wantRefusal("invalid_request", request("strict", "code_challenge", verifier, "code_challenge_method", "plain"))
		lax.wantRefusal("invalid_request", request("strict", "code_challenge", "", "code_challenge_method", ""))
	})
	t.Run("required of confidential clients by default", func(t *testing.T) {
		strict := open(t, nil)
		resp := strict.authorize(request("web", "code_challenge", "", "code_challenge_method", ""))
		if resp.Action != model.ActionLocation || !strings.Contains(resp.ResponseContent, "error=invalid_request") {
			t.Errorf("got %s %s", resp.Action, resp.ResponseContent)
		}
	})
}

// threats.md 6 (RFC 6749 §4.1.2): a code used twice revokes what it gave.
func TestThreat06CodeUsedTwiceRevokes(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	code := h.code("spa")
	first := h.redeem("spa", code)
	h.want(first, model.ActionOK)
	h.wantError(h.redeem("spa", code), "invalid_grant")
	if h.usable(first.AccessToken) {
		t.Error("the access token lives on")
	}
	h.wantError(h.refresh("spa", first.RefreshToken), "invalid_grant")
	if h.seen(model.EventReuseDetected) == 0 {
		t.Error("nobody was told")
	}
}

// threats.md 8 (RFC 6749 §3.1): parameters that are there twice are refused;
// the client is told where it can be trusted to be the client.
func TestThreat08DuplicateParameters(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, c := range []struct {
		more   string
		action model.Action
	}{
		{"&scope=openid", model.ActionLocation},
		{"&unknown=1&unknown=2", model.ActionLocation},
		{"&client_id=spa", model.ActionBadRequest},
		{"&redirect_uri=" + url.QueryEscape(redirect), model.ActionBadRequest},
	} {
		resp := h.authorize(request("spa") + c.more)
		if resp.Action != c.action || !strings.Contains(resp.ResponseContent, "invalid_request") {
			t.Errorf("%s: %s %s", c.more, resp.Action, resp.ResponseContent)
		}
	}
	resp, err := h.engine.Token(t.Context(), h.service.ID, engine.TokenRequest{
		Parameters: "grant_type=client_credentials&scope=orders:read&scope=orders:write", Basic: basic("service")})
	if err != nil {
		t.Fatal(err)
	}
	h.wantError(resp, "invalid_request")
}

// The errors of RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6 go to the
// client, with state and iss.
func TestAuthorizationErrors(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, c := range []struct {
		name  string
		pairs []string
		code  string
	}{
		{"no response_type", []string{"response_type", ""}, "invalid_request"},
		{"unknown response_type", []string{"response_type", "magic"}, "unsupported_response_type"},
		{"unknown response_mode", []string{"response_mode", "magic"}, "invalid_request"},
		{"request object", []string{"request", "x"}, "invalid_request_object"},
		{"request_uri", []string{"request_uri", "https://x"}, "invalid_request_uri"},
		{"request object and request_uri", []string{"request", "x", "request_uri", "https://x"}, "invalid_request"},
		{"registration", []string{"registration", "{}"}, "registration_not_supported"},
		{"scopes that the service does not know", []string{"scope", "nothing"}, "invalid_scope"},
		{"prompt none and more", []string{"prompt", "none login"}, "invalid_request"},
		{"unknown prompt", []string{"prompt", "sing"}, "invalid_request"},
		{"negative max_age", []string{"max_age", "-1"}, "invalid_request"},
		{"max_age is no number", []string{"max_age", "soon"}, "invalid_request"},
		{"unknown display", []string{"display", "hologram"}, "invalid_request"},
		{"claims is no JSON", []string{"claims", "{"}, "invalid_request"},
		{"claims is no object", []string{"claims", "[]"}, "invalid_request"},
		{"two JSON values in claims", []string{"claims", "{}{}"}, "invalid_request"},
		{"id_token_hint is no token", []string{"id_token_hint", "x"}, "invalid_request"},
		{"long nonce", []string{"nonce", strings.Repeat("n", 1025)}, "invalid_request"},
		{"long login_hint", []string{"login_hint", strings.Repeat("l", 321)}, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) { h.on(t).wantRefusal(c.code, request("spa", c.pairs...)) })
	}
}

// Requests that cannot be trusted with a redirect are answered on a page.
func TestAuthorizationWithoutRedirect(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for name, parameters := range map[string]string{
		"no client":           request("spa", "client_id", ""),
		"unknown client":      request("nobody"),
		"no redirect address": request("service", "redirect_uri", ""),
		"broken encoding":     "client_id=%zz",
		"broken UTF-8":        request("spa") + "&x=%ff",
		"NUL":                 "client_id=spa%00",
		"too long":            request("spa") + "&x=" + strings.Repeat("x", 40000),
		"too many":            request("spa") + strings.Repeat("&a=1", 100),
	} {
		if resp := h.authorize(parameters); resp.Action != model.ActionBadRequest && !strings.HasPrefix(resp.ResponseContent, redirect) {
			t.Errorf("%s: %s %s", name, resp.Action, resp.ResponseContent)
		}
	}
}

// OpenID Connect Core §3.1.2.1: max_age=0 is not the same as no max_age.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	if resp := h.authorize(request("spa")); resp.MaxAge != nil {
		t.Errorf("no max_age: got %d", *resp.MaxAge)
	}
	if resp := h.authorize(request("spa", "max_age", "0")); resp.MaxAge == nil || *resp.MaxAge != 0 {
		t.Errorf("max_age=0: got %v", resp.MaxAge)
	}
}

// A code lives as long as authorization_code_duration says.
func TestCodeExpires(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"authorizationCodeDuration": raw(30)})
	code := h.code("spa")
	h.pass(31 * time.Second)
	h.wantError(h.redeem("spa", code), "invalid_grant")
}

// threats.md 6: a second use is noticed as long as what the first gave lives,
// not only while the code itself would have been good.
func TestThreat06LateSecondUseRevokes(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	code := h.code("spa")
	first := h.redeem("spa", code)
	h.want(first, model.ActionOK)
	h.pass(30 * time.Minute)
	h.sweep()
	h.wantError(h.redeem("spa", code), "invalid_grant")
	if h.usable(first.AccessToken) {
		t.Error("the access token lives on")
	}
	h.wantError(h.refresh("spa", first.RefreshToken), "invalid_grant")
}
