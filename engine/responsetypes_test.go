package engine_test

import (
	"html"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

var (
	allGrants    = raw([]string{"AUTHORIZATION_CODE", "IMPLICIT", "PASSWORD", "CLIENT_CREDENTIALS", "REFRESH_TOKEN"})
	allResponses = raw([]string{"NONE", "CODE", "TOKEN", "ID_TOKEN", "CODE_TOKEN", "CODE_ID_TOKEN", "ID_TOKEN_TOKEN", "CODE_ID_TOKEN_TOKEN"})
	// everyFlow turns on what is off by default.
	everyFlow = model.Settings{"supportedGrantTypes": allGrants, "supportedResponseTypes": allResponses}
	// anyFlow is a client that may do all of it.
	anyFlow = map[string]model.Settings{
		"any": {"clientSecret": raw(longSecret), "grantTypes": allGrants, "responseTypes": allResponses, "redirectUris": raw([]string{redirect})},
	}
)

func with(settings model.Settings, pairs ...any) model.Settings {
	all := maps.Clone(settings)
	if all == nil {
		all = model.Settings{}
	}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i].(string)] = raw(pairs[i+1])
	}
	return all
}

// responseTypes are all of them, and the mode that each has by itself.
var responseTypes = map[string]model.ResponseMode{
	"none": model.ModeQuery, "code": model.ModeQuery, "token": model.ModeFragment, "id_token": model.ModeFragment,
	"code token": model.ModeFragment, "code id_token": model.ModeFragment, "id_token token": model.ModeFragment,
	"code id_token token": model.ModeFragment,
}

// RFC 6749 §4.1.2, §4.2.2; OAuth 2.0 Multiple Response Types §2, §3, §5; Form
// Post Response Mode §2; OpenID Connect Core §3.2.2.5, §3.3.2.5; RFC 9207 §2:
// each response type issues what it names, in each mode that it may have.
func TestResponseTypes(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	for text, mode := range responseTypes {
		for _, asked := range []model.ResponseMode{"", model.ModeQuery, model.ModeFragment, model.ModeFormPost} {
			t.Run(text+" "+string(asked), func(t *testing.T) {
				h := h.on(t)
				parameters := request("any", "response_type", text, "response_mode", string(asked))
				if asked == model.ModeQuery && mode == model.ModeFragment {
					// Multiple Response Types §5: no token in a query.
					h.wantRefusal("invalid_request", parameters)
					return
				}
				got := h.consented(parameters)
				if want := cmpOr(asked, mode); got.mode != want || got.address != redirect {
					t.Errorf("answered by %s to %s, want %s", got.mode, got.address, want)
				}
				h.wantAnswer(got, model.ResponseType(text))
			})
		}
	}
}

func cmpOr(a, b model.ResponseMode) model.ResponseMode {
	if a != "" {
		return a
	}
	return b
}

// wantAnswer holds an answer against its response type: exactly the parameters
// that belong there, and each of them good.
func (h *house) wantAnswer(got answer, responseType model.ResponseType) {
	h.Helper()
	want := []string{"iss", "state"}
	if responseType.Code() {
		want = append(want, "code")
		h.want(h.redeem("any", got.Get("code")), model.ActionOK)
	}
	if responseType.Token() {
		want = append(want, "access_token", "expires_in", "scope", "token_type")
		if !h.usable(got.Get("access_token")) || got.Get("token_type") != "Bearer" || got.Get("expires_in") != "3600" {
			h.Errorf("no good access token in %v", got.Values)
		}
		wantScope := "openid profile orders:read"
		if responseType.Code() {
			wantScope += " offline_access"
		}
		if got.Get("scope") != wantScope {
			h.Errorf("scope %q, want %q", got.Get("scope"), wantScope)
		}
	}
	if responseType.IDToken() {
		want = append(want, "id_token")
		token := h.verified(got.Get("id_token"), "")
		if token.claims["nonce"] != "n" || token.claims["sub"] != "alice" || token.claims["aud"] != "any" {
			h.Errorf("ID token %v", token.claims)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got.Values))); diff != "" {
		h.Errorf("parameters: %s", diff)
	}
	if got.Get("state") != "s" || got.Get("iss") != issuer {
		h.Errorf("state %q, iss %q", got.Get("state"), got.Get("iss"))
	}
}

// OAuth 2.0 Multiple Response Types §3: the order of the members means nothing.
func TestResponseTypeInAnyOrder(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	for _, text := range []string{"token id_token code", "id_token code token", "token code", "id_token code"} {
		known, _ := model.ParseResponseType(text)
		h.wantAnswer(h.consented(request("any", "response_type", text)), known)
	}
}

// threats.md 10 (CVE-2026-7571): what is off does not exist, neither in
// discovery nor by any parameter.
func TestThreat10OffIsOff(t *testing.T) {
	t.Parallel()
	t.Run("by default", func(t *testing.T) {
		h := openWith(t, nil, anyFlow)
		document := h.discovery()
		for member, want := range map[string]any{
			"response_types_supported": []any{"code"}, "grant_types_supported": []any{"authorization_code", "refresh_token", "client_credentials"},
		} {
			if diff := cmp.Diff(want, document[member]); diff != "" {
				t.Errorf("%s: %s", member, diff)
			}
		}
		for text := range responseTypes {
			if text != "code" {
				h.wantRefusal("unsupported_response_type", request("any", "response_type", text))
			}
		}
		h.wantError(h.token("any", "grant_type", "password", "username", "a", "password", "b"), "unsupported_grant_type")
		h.wantError(h.token("any", "grant_type", "implicit"), "unsupported_grant_type")
	})
	t.Run("the service has the response type, but not its grant type", func(t *testing.T) {
		h := openWith(t, model.Settings{"supportedResponseTypes": allResponses}, anyFlow)
		if diff := cmp.Diff([]any{"none", "code"}, h.discovery()["response_types_supported"]); diff != "" {
			t.Error(diff)
		}
		for _, text := range []string{"token", "id_token", "code token", "code id_token token"} {
			h.wantRefusal("unsupported_response_type", request("any", "response_type", text))
		}
	})
	t.Run("the client is not registered for it", func(t *testing.T) {
		h := openWith(t, everyFlow, nil)
		for text := range responseTypes {
			if text != "code" {
				h.wantRefusal("unauthorized_client", request("web", "response_type", text))
			}
		}
		h.wantError(h.token("web", "grant_type", "password", "username", "a", "password", "b"), "unauthorized_client")
	})
	t.Run("without openid there is no ID token", func(t *testing.T) {
		h := openWith(t, with(everyFlow, "supportedScopes", []model.Scope{{Name: "x"}}), anyFlow)
		h.wantRefusal("unsupported_response_type", request("any", "response_type", "id_token"))
		if got := h.tokens("web", "scope", "x openid"); got.IDToken != "" {
			t.Error("a plain OAuth service gives ID tokens")
		}
	})
}

// threats.md 10: what a browser or a client still holds does not outlive the
// flow that it belongs to.
func TestThreat10OffWhileUnderWay(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	ticket := h.authorize(request("any", "response_type", "token")).Ticket
	code := h.code("any")
	waits := h.token("any", "grant_type", "password", "username", "a", "password", "b")
	h.want(waits, model.ActionPassword)

	later := openOn(t, h.store, declareWith(t, issuer, model.Settings{"supportedGrantTypes": raw([]string{"CLIENT_CREDENTIALS"})}, anyFlow))
	if resp := later.issue(ticket); resp.Action != model.ActionBadRequest || resp.AccessToken != "" {
		t.Errorf("a ticket turned the implicit flow on: %s %s", resp.Action, resp.ResponseContent)
	}
	later.wantError(later.redeem("any", code), "unsupported_grant_type")
	if resp, err := later.engine.TokenIssue(t.Context(), later.service.ID, engine.TokenIssueRequest{Ticket: waits.Ticket, Subject: "alice"}); err == nil {
		t.Errorf("a ticket turned the password flow on: %s", resp.ResponseContent)
	}
}

// RFC 6749 §4.1.2.1, §4.2.2.1; Form Post Response Mode §2; RFC 9207 §2: errors
// come in the mode of the response type, or the one asked for.
func TestErrorsComeInTheResponseMode(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	for text, mode := range responseTypes {
		for _, asked := range []model.ResponseMode{"", model.ModeFragment, model.ModeFormPost} {
			parameters := request("any", "response_type", text, "response_mode", string(asked))
			want := cmpOr(asked, mode)
			resp := h.authorize(parameters + "&prompt=none+login")
			got := h.read(resp.Action, resp.ResponseContent)
			if got.mode != want || got.Get("error") != "invalid_request" || got.Get("state") != "s" || got.Get("iss") != issuer {
				t.Errorf("%s by %s: %s %v", text, want, got.mode, got.Values)
			}
			fail, err := h.engine.AuthorizationFail(t.Context(), h.service.ID, engine.AuthorizationFailRequest{
				Ticket: h.authorize(parameters).Ticket, Reason: engine.FailDenied})
			if err != nil {
				t.Fatal(err)
			}
			got = h.read(fail.Action, fail.ResponseContent)
			if got.mode != want || got.Get("error") != "access_denied" || got.Get("state") != "s" || got.Get("iss") != issuer {
				t.Errorf("%s by %s: %s %v", text, want, got.mode, got.Values)
			}
		}
	}
}

// RFC 6749 §3.1: a parameter without a value counts as absent.
func TestEmptyParametersCountAsAbsent(t *testing.T) {
	t.Parallel()
	h := openWith(t, model.Settings{"pkceRequired": raw(false)}, nil)
	absent := "&response_mode=&scope=&code_challenge=&code_challenge_method=&max_age=&prompt=&display=&request=&request_uri=&registration=&id_token_hint=&claims=&acr_values=&resource="
	resp := h.authorize("response_type=code&client_id=web&redirect_uri=" + absent)
	if resp.Action != model.ActionInteraction {
		t.Fatalf("got %s %s", resp.Action, resp.ResponseContent)
	}
	got := h.issue(resp.Ticket)
	h.want(h.token("web", "grant_type", "authorization_code", "code", got.AuthorizationCode), model.ActionOK)
}

// OpenID Connect Core §3.2.2.1, §3.3.2.1, §3.1.2.1, §11; RFC 7636 §4.4.1: what a
// request must have depends on its response type.
func TestRequirementsOfResponseTypes(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	for text := range responseTypes {
		known := model.ResponseType(text)
		for _, c := range []struct {
			pairs []string
			needs bool
			code  string
		}{
			{[]string{"nonce", ""}, known.IDToken(), "invalid_request"},
			{[]string{"scope", "profile"}, known.IDToken(), "invalid_scope"},
			{[]string{"code_challenge", "", "code_challenge_method", ""}, known.Code(), "invalid_request"},
		} {
			parameters := request("any", append([]string{"response_type", text}, c.pairs...)...)
			if c.needs {
				h.wantRefusal(c.code, parameters)
			} else if resp := h.authorize(parameters); resp.Action != model.ActionInteraction {
				t.Errorf("%s with %v: %s %s", text, c.pairs, resp.Action, resp.ResponseContent)
			}
		}
	}
	resp := h.authorize(request("any", "redirect_uri", ""))
	if got := h.read(resp.Action, resp.ResponseContent); got.Get("error") != "invalid_request" {
		t.Errorf("OpenID Connect without redirect_uri: %v", got.Values)
	}
}

// RFC 6749 §4.2: the implicit flow gives no refresh token, and never more than
// was consented to.
func TestImplicitGrant(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	got := h.consented(request("any", "response_type", "token"), func(r *engine.AuthorizationIssueRequest) { r.Scopes = []string{"orders:read"} })
	if got.Get("scope") != "orders:read" {
		t.Errorf("scope %q", got.Get("scope"))
	}
	if diff := cmp.Diff([]string{"orders:read"}, h.introspect(got.Get("access_token")).Scopes); diff != "" {
		t.Error(diff)
	}
	// Without openid in the consent there is no ID token to answer with.
	refused := h.consented(request("any", "response_type", "id_token"), func(r *engine.AuthorizationIssueRequest) { r.Scopes = []string{"profile"} })
	if refused.Get("error") != "access_denied" || refused.Get("state") != "s" {
		t.Errorf("got %v", refused.Values)
	}
}

// A redirect address may have a query of its own (RFC 6749 §3.1.2), and a
// private-use scheme (RFC 8252 §7.1).
func TestRedirectAddressKeepsItsForm(t *testing.T) {
	t.Parallel()
	own := "https://app.example.com/cb?tenant=a%20b"
	h := openWith(t, everyFlow, map[string]model.Settings{
		"own": {"redirectUris": raw([]string{own, "com.example.app:/cb"}), "responseTypes": allResponses, "grantTypes": raw([]string{"AUTHORIZATION_CODE", "IMPLICIT"})}})
	for parameters, prefix := range map[string]string{
		request("own", "redirect_uri", own):                                                        own + "&",
		request("own", "redirect_uri", own, "response_type", "token"):                              own + "#",
		request("own", "redirect_uri", "com.example.app:/cb"):                                      "com.example.app:/cb?",
		request("own", "redirect_uri", "com.example.app:/cb", "response_type", "id_token"):         "com.example.app:/cb#",
		request("own", "redirect_uri", own, "response_mode", "form_post", "response_type", "code"): html.EscapeString(own),
	} {
		issued := h.issue(h.authorize(parameters).Ticket)
		if !strings.HasPrefix(issued.ResponseContent, prefix) && !strings.Contains(issued.ResponseContent, `action="`+prefix+`"`) {
			t.Errorf("got %s", issued.ResponseContent)
		}
	}
}

// threats.md 33 (CVE-2025-67495): nothing that a request brings is markup in the
// page that posts an answer, nor in error text.
func TestThreat33NothingIsMarkup(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyFlow, anyFlow)
	attack := `"><script>alert(1)</script><img src=x onerror='alert(1)'>&amp;` + "\u2028"
	for _, parameters := range []string{
		request("any", "state", attack, "response_mode", "form_post"),
		request("any", "state", attack, "response_mode", "form_post", "prompt", attack),
	} {
		resp := h.authorize(parameters)
		action, content := resp.Action, resp.ResponseContent
		if resp.Ticket != "" {
			issued := h.issue(resp.Ticket)
			action, content = issued.Action, issued.ResponseContent
		}
		if got := h.read(action, content); got.Get("state") != attack {
			t.Errorf("state %q", got.Get("state"))
		}
		if strings.Count(content, "<script>") != 1 || strings.Contains(content, "<img") || strings.Contains(content, "onerror='") {
			t.Errorf("the page has markup from the request: %s", content)
		}
	}
	fail, err := h.engine.AuthorizationFail(t.Context(), h.service.ID, engine.AuthorizationFailRequest{
		Ticket: h.authorize(request("any", "response_mode", "form_post")).Ticket, Reason: engine.FailDenied, Description: attack})
	if err != nil || strings.Contains(fail.ResponseContent, "<img") {
		t.Errorf("%v %v", fail, err)
	}
	for _, name := range []string{"<script>", `"quoted"`, "back\\slash", "\u2028", "\x1b[31m"} {
		resp := h.authorize(request("any") + "&" + url.QueryEscape(name) + "=1&" + url.QueryEscape(name) + "=2")
		description := h.read(resp.Action, resp.ResponseContent).Get("error_description")
		if description == "" || strings.ContainsFunc(description, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
			t.Errorf("error_description %q (RFC 6749 §4.1.2.1)", description)
		}
		refused := h.authorize("client_id=nobody&" + url.QueryEscape(name) + "=1&" + url.QueryEscape(name) + "=2")
		if refused.Action != model.ActionBadRequest || strings.ContainsAny(refused.ResponseContent, "<>") {
			t.Errorf("%s %s", refused.Action, refused.ResponseContent)
		}
	}
}
