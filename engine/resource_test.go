package engine_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const resourceA, resourceB, resourceC = "https://a.example/", "https://b.example/api?x=1", "urn:example:c"

func resourcesOf(list ...string) string {
	return "&" + url.Values{"resource": list}.Encode()
}

// withResources calls the token endpoint for some resources.
func (h *house) withResources(client string, resources []string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	parameters, credentials := h.as(client, pairs...)
	return h.direct(parameters+resourcesOf(resources...), credentials)
}

// RFC 8707 §2: what a resource may be.
func TestResourceSyntax(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprintf("https://%d.example/", i)
	}
	for name, c := range map[string]struct {
		resources []string
		ok        bool
	}{
		"https": {[]string{resourceA}, true}, "several": {[]string{resourceA, resourceB, resourceC}, true}, "the same twice": {[]string{resourceA, resourceA}, true},
		"twenty": {many[:20], true}, "more": {many, false},
		"relative": {[]string{"/api"}, false}, "no scheme": {[]string{"a.example"}, false}, "a fragment": {[]string{resourceA + "#x"}, false},
		"an empty fragment": {[]string{resourceA + "#"}, false}, "user information": {[]string{"https://u:p@a.example/"}, false},
		"one that is wrong": {[]string{resourceA, "b"}, false}, "endless": {[]string{"https://a.example/" + strings.Repeat("x", 1024)}, false},
		"no address": {[]string{"https://a.example:port/"}, false}, "control characters": {[]string{"https://a.example/\n"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.on(t)
			parameters := request("web") + resourcesOf(c.resources...)
			own := h.withResources("service", c.resources, "grant_type", "client_credentials")
			if c.ok {
				h.wantAccepted(name, parameters)
				h.want(own, model.ActionOK)
			} else {
				h.wantRefusal("invalid_target", parameters)
				h.wantError(own, "invalid_target")
			}
		})
	}
}

// RFC 8707 §2.1, §2.2; RFC 9068 §3; RFC 7662 §2.2: an access token is for the
// resources that were asked for, and a token request may narrow them, never widen.
func TestResourceIndicators(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"", "ES256"} {
		settings := with(everyFlow)
		if alg != "" {
			settings["accessTokenSignAlg"] = raw(alg)
		}
		h := openWith(t, settings, anyFlow)
		audience := func(what, token string, want ...any) {
			t.Helper()
			var all any = want
			if len(want) == 1 {
				all = want[0]
			}
			if diff := cmp.Diff(all, h.introspectedBy("service", token)["aud"]); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
			if alg != "" {
				if diff := cmp.Diff(all, h.verified(token, "").claims["aud"]); diff != "" {
					t.Errorf("%s, in the JWT: %s", what, diff)
				}
			}
			gateway := h.introspect(token).Audience
			list := make([]string, len(want))
			for i := range want {
				list[i] = want[i].(string)
			}
			if diff := cmp.Diff(list, gateway); diff != "" {
				t.Errorf("%s, at the gateway: %s", what, diff)
			}
		}
		code := func() string {
			return h.consented(request("any") + resourcesOf(resourceA, resourceB)).Get("code")
		}
		redeem := []string{"grant_type", "authorization_code", "redirect_uri", redirect, "code_verifier", verifier, "code"}
		audience("no resource", h.tokens("any").AccessToken, issuer)
		whole := h.withResources("any", nil, append(redeem, code())...)
		audience("all of the grant's", whole.AccessToken, resourceA, resourceB)
		narrow := h.withResources("any", []string{resourceB}, append(redeem, code())...)
		audience("one of them", narrow.AccessToken, resourceB)
		audience("refreshed for all", h.refresh("any", narrow.RefreshToken).AccessToken, resourceA, resourceB)
		again := h.withResources("any", []string{resourceA}, "grant_type", "refresh_token", "refresh_token", narrow.RefreshToken)
		audience("refreshed for the other", again.AccessToken, resourceA)
		for _, wider := range [][]string{{resourceC}, {resourceA, resourceC}, {resourceA + "x"}, {"https://A.example/"}} {
			kept := code()
			h.wantError(h.withResources("any", wider, append(redeem, kept)...), "invalid_target")
			h.want(h.withResources("any", nil, append(redeem, kept)...), model.ActionOK) // the attempt did not spend it
			h.wantError(h.withResources("any", wider, "grant_type", "refresh_token", "refresh_token", whole.RefreshToken), "invalid_target")
		}
		audience("implicit", h.consented(request("any", "response_type", "token")+resourcesOf(resourceC)).Get("access_token"), resourceC)
		audience("hybrid", h.consented(request("any", "response_type", "code token")+resourcesOf(resourceA, resourceC)).Get("access_token"), resourceA, resourceC)
		audience("for itself", h.withResources("any", []string{resourceA}, "grant_type", "client_credentials").AccessToken, resourceA)
		audience("for itself, again", h.withResources("any", []string{resourceB}, "grant_type", "client_credentials").AccessToken, resourceB)
		asked := h.withResources("any", []string{resourceB}, "grant_type", "password", "username", "a", "password", "b")
		issued, err := h.engine.TokenIssue(t.Context(), h.service.ID, engine.TokenIssueRequest{Ticket: asked.Ticket, Subject: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		audience("password", issued.AccessToken, resourceB)
	}
}

// RFC 8707 §2: a front that cannot grant access to a resource says so.
func TestResourceThatCannotBeGranted(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	resp := h.authorize(request("web") + resourcesOf(resourceA, resourceB))
	if diff := cmp.Diff([]string{resourceA, resourceB}, resp.Resources); diff != "" {
		t.Error(diff)
	}
	fail, err := h.engine.AuthorizationFail(t.Context(), h.service.ID, engine.AuthorizationFailRequest{Ticket: resp.Ticket, Reason: engine.FailInvalidTarget})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.read(fail.Action, fail.ResponseContent); got.Get("error") != "invalid_target" || got.Get("state") != "s" {
		t.Errorf("%v", got.Values)
	}
}

// A rotation that is repeated gives the same token, for the same resources and
// scopes, whatever the repetition asks for.
func TestRepeatedRotationKeepsResources(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"", "EdDSA"} {
		settings := model.Settings{}
		if alg != "" {
			settings["accessTokenSignAlg"] = raw(alg)
		}
		h := open(t, settings)
		first := h.redeem("spa", h.consented(request("spa")+resourcesOf(resourceA, resourceB)).Get("code"))
		second := h.withResources("spa", []string{resourceA}, "grant_type", "refresh_token", "refresh_token", first.RefreshToken, "scope", "openid orders:read")
		h.want(second, model.ActionOK)
		again := h.refresh("spa", first.RefreshToken)
		if again.AccessToken != second.AccessToken || again.RefreshToken != second.RefreshToken {
			t.Error("the repetition gives another pair")
		}
		if diff := cmp.Diff(second.Scopes, again.Scopes); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{resourceA}, h.introspect(again.AccessToken).Audience); diff != "" {
			t.Error(diff)
		}
	}
}
