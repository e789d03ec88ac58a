package engine_test

import (
	"encoding/json"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// pairwise are clients of two sectors, and one that sees the subject itself.
func pairwise() map[string]model.Settings {
	client := func(uri string, pairs ...any) model.Settings {
		return with(model.Settings{
			"clientSecret": raw(longSecret), "subjectType": raw("PAIRWISE"), "redirectUris": raw([]string{uri}),
			"grantTypes": allGrants, "responseTypes": allResponses,
		}, pairs...)
	}
	return map[string]model.Settings{
		"a1": client("https://a.example/cb"), "a2": client("https://a.example:8443/other", "userInfoSignAlg", "ES256"), "b": client("https://b.example/cb"),
		"s": client("https://c.example/cb", "sectorIdentifierUri", "https://a.example/sector.json"), "public": client("https://a.example/cb", "subjectType", "PUBLIC"),
	}
}

// subjects are what a client is told of alice, by the place where it is told.
func (h *house) subjects(client, uri string) map[string]string {
	h.Helper()
	got := h.consented(request(client, "redirect_uri", uri, "response_type", "code id_token token"))
	tokens := h.redeem(client, got.Get("code"), "redirect_uri", uri)
	h.want(tokens, model.ActionOK)
	refreshed := h.refresh(client, tokens.RefreshToken)
	sub := func(claims map[string]any) string { s, _ := claims["sub"].(string); return s }
	all := map[string]string{
		"ID token from the authorization endpoint": sub(h.verified(got.Get("id_token"), "").claims),
		"ID token from the token endpoint":         sub(h.verified(tokens.IDToken, "").claims),
		"refreshed ID token":                       sub(h.verified(refreshed.IDToken, "").claims),
	}
	resp, err := h.engine.UserInfoIssue(h.Context(), h.service.ID, engine.UserInfoIssueRequest{Token: refreshed.AccessToken})
	if err != nil {
		h.Fatal(err)
	}
	if resp.Action == model.ActionJWT {
		all["userinfo"] = sub(h.verified(resp.ResponseContent, "").claims)
	} else {
		var answer struct{ Sub string }
		_ = json.Unmarshal([]byte(resp.ResponseContent), &answer)
		all["userinfo"] = answer.Sub
	}
	if h.service.AccessTokenSignAlg != "" {
		all["JWT access token"] = sub(h.verified(refreshed.AccessToken, "").claims)
	}
	for what, token := range map[string]string{"access token": refreshed.AccessToken, "refresh token": refreshed.RefreshToken} {
		all["introspection of its own "+what] = h.introspectedBy(client, token)["sub"].(string)
	}
	password := h.token(client, "grant_type", "password", "username", "a", "password", "b", "scope", "openid")
	issued, err := h.engine.TokenIssue(h.Context(), h.service.ID, engine.TokenIssueRequest{Ticket: password.Ticket, Subject: "alice"})
	if err != nil {
		h.Fatal(err)
	}
	all["password grant"] = sub(h.verified(issued.IDToken, "").claims)
	return all
}

// introspectedBy is what a client is answered at the introspection endpoint.
func (h *house) introspectedBy(client, token string) map[string]any {
	h.Helper()
	parameters, credentials := h.as(client, "token", token)
	return h.introspected(parameters, credentials)
}

func (h *house) introspected(parameters string, credentials engine.ClientCredentials) map[string]any {
	h.Helper()
	resp, err := h.engine.StandardIntrospection(h.Context(), h.service.ID, engine.StandardIntrospectionRequest{Parameters: parameters, Basic: credentials})
	if err != nil {
		h.Fatal(err)
	}
	got := map[string]any{}
	if err := json.Unmarshal([]byte(resp.ResponseContent), &got); err != nil || resp.Action != model.ActionOK {
		h.Fatalf("introspection: %s %s", resp.Action, resp.ResponseContent)
	}
	return got
}

// OpenID Connect Core §8.1: a client is told a subject of its sector's own, the
// same at every place and for ever, from which nobody finds the user or what
// another sector is told.
func TestPairwiseSubjects(t *testing.T) {
	t.Parallel()
	settings := with(everyFlow, "accessTokenSignAlg", "EdDSA", "apiKey", "api", "apiSecret", "api-secret")
	h := openWith(t, settings, pairwise())
	uris := map[string]string{"a1": "https://a.example/cb", "a2": "https://a.example:8443/other", "b": "https://b.example/cb", "s": "https://c.example/cb", "public": "https://a.example/cb"}
	seen := map[string]string{}
	for client, uri := range uris {
		for place, subject := range h.subjects(client, uri) {
			if seen[client] == "" {
				seen[client] = subject
			}
			if subject != seen[client] || subject == "" {
				t.Errorf("%s is told %q by its %s, and %q elsewhere", client, subject, place, seen[client])
			}
		}
		known, err := h.engine.ClientByAlias(t.Context(), h.service.ID, client)
		if err != nil || h.engine.ClientSubject(h.service.ID, known, "alice") != seen[client] {
			t.Errorf("ClientSubject differs: %v", err)
		}
		if h.engine.ClientSubject(h.service.ID, known, "bob") == seen[client] {
			t.Errorf("%s cannot tell alice from bob", client)
		}
	}
	if seen["a1"] != seen["a2"] || seen["a1"] != seen["s"] {
		t.Errorf("one sector is told two subjects: %v", seen)
	}
	if seen["a1"] == seen["b"] || seen["public"] != "alice" || seen["a1"] == "alice" {
		t.Errorf("sectors are not apart: %v", seen)
	}
	if len(seen["a1"]) > 255 {
		t.Error("sub is longer than 255 characters (§2)")
	}
	// Another node, and another day: the same subject. Another service: another.
	later := openWith(t, settings, pairwise())
	a1, _ := later.engine.ClientByAlias(t.Context(), later.service.ID, "a1")
	if got := later.engine.ClientSubject(later.service.ID, a1, "alice"); got != seen["a1"] {
		t.Errorf("another store, the same master key: %q, before %q", got, seen["a1"])
	}
	elsewhere := openOn(t, h.store, declareWith(t, "https://other.example.com", nil, pairwise()))
	a1, _ = elsewhere.engine.ClientByAlias(t.Context(), elsewhere.service.ID, "a1")
	if got := elsewhere.engine.ClientSubject(elsewhere.service.ID, a1, "alice"); got == seen["a1"] {
		t.Error("two services tell a sector the same subject")
	}
}

// OpenID Connect Core §8.1: the service's own resource servers, which have its API
// key, and its gateways are told who the user is; a client is not.
func TestPairwiseSubjectsAtTheServicesOwnSide(t *testing.T) {
	t.Parallel()
	h := openWith(t, with(everyFlow, "apiKey", "api", "apiSecret", "api-secret"), pairwise())
	got := h.consented(request("b", "redirect_uri", "https://b.example/cb", "response_type", "token"))
	token := got.Get("access_token")
	if subject := h.introspect(token).Subject; subject != "alice" {
		t.Errorf("the gateway is told %q", subject)
	}
	own := h.introspected("token="+token, engine.ClientCredentials{ClientID: "api", ClientSecret: "api-secret", Present: true})
	if own["sub"] != "alice" {
		t.Errorf("the API key is told %v", own["sub"])
	}
	for _, client := range []string{"a1", "public", "service"} {
		if sub := h.introspectedBy(client, token)["sub"]; sub == "alice" {
			t.Errorf("%s finds out who the users of b are", client)
		}
	}
}
