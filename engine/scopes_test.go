package engine_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// RFC 6749 §3.3, §5.1: a request without the parameter gets the default scopes
// that its client may request; the answer says which they are.
func TestDefaultScopes(t *testing.T) {
	t.Parallel()
	h := openWith(t, with(everyFlow, "supportedScopes", []model.Scope{{Name: "openid"}, {Name: "a", Default: true}, {Name: "b", Default: true}, {Name: "c"}}),
		map[string]model.Settings{"any": anyFlow["any"], "some": with(anyFlow["any"], "requestableScopes", []string{"b", "c"}), "none": with(anyFlow["any"], "requestableScopes", []string{})})
	for client, want := range map[string][]string{"any": {"a", "b"}, "some": {"b"}, "none": nil} {
		for way, got := range map[string][]string{
			"code": h.tokens(client, "scope", "").Scopes, "client credentials": h.own(client, "").Scopes, "password": h.password(client).Scopes,
			"implicit": strings.Fields(h.consented(request(client, "response_type", "token", "scope", "")).Get("scope")),
		} {
			if !slices.Equal(got, want) {
				t.Errorf("%s of %s: %v, want %v", way, client, got, want)
			}
		}
	}
	if got := h.tokens("any", "scope", "c").Scopes; !slices.Equal(got, []string{"c"}) {
		t.Errorf("asked for c, got %v", got)
	}
}

// RFC 6749 §3.3: a service may require the parameter.
func TestScopeRequired(t *testing.T) {
	t.Parallel()
	h := openWith(t, with(everyFlow, "scopeRequired", true), anyFlow)
	h.wantRefusal("invalid_scope", request("any", "scope", ""))
	h.wantError(h.own("any", ""), "invalid_scope")
	h.wantError(h.token("any", "grant_type", "password", "username", "a", "password", "b"), "invalid_scope")
	h.want(h.own("any", "orders:read"), model.ActionOK)
}

// RFC 6749 §3.3, §6; threats.md 20: whatever is asked for, consented to and
// refreshed, what is granted is a part of what the service supports, the client
// may request, the request asked for and the user allowed; and a refresh is a part
// of that.
func TestScopeArithmetic(t *testing.T) {
	universe := []string{"openid", "offline_access", "a", "b", "c", "d", "e", "A", "a:b", "unknown", "also-unknown"}
	supported := universe[:9]
	var scopes []model.Scope
	for i, name := range supported {
		scopes = append(scopes, model.Scope{Name: name, Default: i%3 == 0})
	}
	requestable := map[string][]string{"all": nil, "few": {"a", "c", "openid", "offline_access", "unknown"}, "one": {"a:b"}}
	clients := map[string]model.Settings{}
	for name, list := range requestable {
		clients[name] = anyFlow["any"]
		if list != nil {
			clients[name] = with(anyFlow["any"], "requestableScopes", list)
		}
	}
	h := openWith(t, with(everyFlow, "supportedScopes", scopes), clients)
	rapid.Check(t, func(rt *rapid.T) {
		h := h.on(t)
		subset := func(what string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(universe), 0, len(universe), rapid.ID[string]).Draw(rt, what)
		}
		client := rapid.SampledFrom([]string{"all", "few", "one"}).Draw(rt, "client")
		asked, allowed, narrowed := subset("asked"), subset("allowed"), subset("narrowed")
		may := func(scope string) bool {
			return slices.Contains(supported, scope) && (requestable[client] == nil || slices.Contains(requestable[client], scope))
		}
		var want []string
		for _, scope := range asked {
			if may(scope) {
				want = append(want, scope)
			}
		}
		if len(asked) == 0 {
			for i, scope := range supported {
				if i%3 == 0 && may(scope) {
					want = append(want, scope)
				}
			}
		}
		resp := h.authorize(request(client, "scope", strings.Join(asked, " ")))
		if len(asked) > 0 && len(want) == 0 {
			if got := h.read(resp.Action, resp.ResponseContent); got.Get("error") != "invalid_scope" {
				rt.Fatalf("nothing can be granted, got %v", got.Values)
			}
			return
		}
		var shown []string
		for _, scope := range resp.Scopes {
			shown = append(shown, scope.Name)
		}
		if !slices.Equal(shown, want) {
			rt.Fatalf("asked for %v, shown %v, want %v", asked, shown, want)
		}
		granted := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return !slices.Contains(allowed, s) })
		issued := h.issue(resp.Ticket, func(r *engine.AuthorizationIssueRequest) { r.Scopes = append([]string{}, allowed...) })
		tokens := h.redeem(client, issued.AuthorizationCode)
		if !slices.Equal(tokens.Scopes, granted) || !slices.Equal(h.introspect(tokens.AccessToken).Scopes, granted) {
			rt.Fatalf("granted %v, introspected %v, want %v", tokens.Scopes, h.introspect(tokens.AccessToken).Scopes, granted)
		}
		if (tokens.IDToken != "") != slices.Contains(granted, "openid") {
			rt.Fatalf("ID token %q for %v", tokens.IDToken, granted)
		}
		if tokens.RefreshToken == "" {
			if !slices.Contains(granted, "openid") || slices.Contains(granted, "offline_access") {
				rt.Fatalf("no refresh token for %v", granted)
			}
			return
		}
		less := h.refresh(client, tokens.RefreshToken, "scope", strings.Join(narrowed, " "))
		wider := slices.ContainsFunc(narrowed, func(s string) bool { return !slices.Contains(granted, s) })
		switch {
		case wider:
			if errorCode(less.ResponseContent) != "invalid_scope" {
				rt.Fatalf("refreshed to %v of %v: %s", narrowed, granted, less.ResponseContent)
			}
		case len(narrowed) == 0:
			narrowed = granted
			fallthrough
		default:
			if got := h.introspect(less.AccessToken).Scopes; !slices.Equal(got, narrowed) || !slices.Equal(less.Scopes, narrowed) {
				rt.Fatalf("refreshed to %v, got %v", narrowed, got)
			}
		}
		whole := h.refresh(client, tokens.RefreshToken)
		if !slices.Equal(granted, whole.Scopes) {
			rt.Fatalf("the refresh token has %v, want %v", whole.Scopes, granted)
		}
	})
}
