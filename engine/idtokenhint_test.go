package engine_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// hinted are clients whose ID tokens are signed in different ways.
func hinted() map[string]model.Settings {
	return map[string]model.Settings{
		"any": anyFlow["any"], "unsigned": {"clientSecret": raw(longSecret), "idTokenSignAlg": raw("NONE")},
		"symmetric": {"clientSecret": raw(longSecret), "idTokenSignAlg": raw("HS256")},
		"pairwise":  {"clientSecret": raw(longSecret), "subjectType": raw("PAIRWISE")},
		"signed":    {"clientSecret": raw(longSecret), "userInfoSignAlg": raw("RS256")},
	}
}

// OpenID Connect Core §3.1.2.1, §3.1.2.2: id_token_hint says who must sign in,
// and is an ID token of this issuer, though it may have expired.
func TestIDTokenHint(t *testing.T) {
	t.Parallel()
	h := openWith(t, model.Settings{"accessTokenSignAlg": raw("RS256")}, hinted())
	for client := range hinted() {
		tokens := h.tokens(client)
		sub, _ := h.verified(tokens.IDToken, longSecret).claims["sub"].(string)
		resp := h.authorize(request(client, "id_token_hint", tokens.IDToken))
		if resp.Subject != sub || sub == "" {
			t.Errorf("%s: subject %q, want %q", client, resp.Subject, sub)
		}
		if h.issue(resp.Ticket).AuthorizationCode == "" {
			t.Errorf("%s: alice is refused", client)
		}
		other := h.issue(h.authorize(request(client, "id_token_hint", tokens.IDToken)).Ticket, func(r *engine.AuthorizationIssueRequest) { r.Subject = "bob" })
		if got := h.read(other.Action, other.ResponseContent); got.Get("error") != "login_required" {
			t.Errorf("%s: bob answers for alice: %v", client, got.Values)
		}
		h.pass(2 * time.Hour)
		if resp := h.authorize(request(client, "id_token_hint", tokens.IDToken)); resp.Subject != sub {
			t.Errorf("%s: an expired ID token is no hint: %s", client, resp.ResponseContent)
		}
	}
	tokens := h.tokens("any")
	userInfo, err := h.engine.UserInfoIssue(t.Context(), h.service.ID, engine.UserInfoIssueRequest{Token: h.tokens("signed").AccessToken})
	if err != nil || userInfo.Action != model.ActionJWT {
		t.Fatal(userInfo, err)
	}
	elsewhere := openOn(t, h.store, declareWith(t, "https://other.example.com", nil, anyFlow)).tokens("any")
	claims := h.verified(tokens.IDToken, "").claims
	unsigned := h.verified(h.tokens("unsigned").IDToken, "").claims
	for name, hint := range map[string]string{
		"an access token":               tokens.AccessToken,
		"a userinfo answer":             userInfo.ResponseContent,
		"another issuer's":              elsewhere.IDToken,
		"altered":                       alter(tokens.IDToken),
		"unsigned":                      signed("none", nil, map[string]any{"typ": "JWT"}, claims),
		"by a client's key":             signed("ES256", clientKeys()["p256"], map[string]any{"typ": "JWT"}, claims),
		"by a secret":                   signed("HS256", longSecret, map[string]any{"typ": "JWT"}, claims),
		"unsigned, with a signature":    signed("none", nil, map[string]any{"typ": "JWT"}, unsigned) + "AAAA",
		"unsigned, of an unknown aud":   signed("none", nil, map[string]any{"typ": "JWT"}, changed(unsigned, "aud", "nobody")),
		"unsigned, for several":         signed("none", nil, map[string]any{"typ": "JWT"}, changed(unsigned, "aud", []string{"unsigned", "any"})),
		"unsigned, without sub":         signed("none", nil, map[string]any{"typ": "JWT"}, changed(unsigned, "sub", "")),
		"a logout token":                signed("none", nil, map[string]any{"typ": "JWT"}, changed(unsigned, "events", map[string]any{})),
		"a secret that is another's":    signed("HS256", "x"+longSecret, map[string]any{"typ": "JWT"}, changed(claims, "aud", "symmetric")),
		"a symmetric one, but unsigned": signed("none", nil, map[string]any{"typ": "JWT"}, changed(claims, "aud", "symmetric")),
		"no JWT":                        "x.y.z",
	} {
		t.Run(name, func(t *testing.T) {
			h.on(t).wantRefusal("invalid_request", request("any", "id_token_hint", hint))
		})
	}
}

func changed(claims map[string]any, name string, value any) map[string]any {
	all := map[string]any{}
	for k, v := range claims {
		all[k] = v
	}
	all[name] = value
	return all
}

// The longest duration that the service page allows does not spoil the hint.
func TestIDTokenHintOfTheLongestDuration(t *testing.T) {
	t.Parallel()
	h := openWith(t, model.Settings{"idTokenDuration": raw(int64(model.MaxDuration))}, hinted())
	tokens := h.tokens("any")
	if resp := h.authorize(request("any", "id_token_hint", tokens.IDToken)); resp.Subject != "alice" {
		t.Errorf("%s %s", resp.Action, resp.ResponseContent)
	}
}

// OpenID Connect Core §3.1.2.2, §5.5.1: a value for the claim sub says who must
// sign in; nobody can be two.
func TestSubjectThatIsAskedFor(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, hinted())
	ofAlice := h.tokens("any").IDToken
	wants := func(place, subject string) string { return `{"` + place + `":{"sub":{"value":"` + subject + `"}}}` }
	for name, c := range map[string]struct {
		pairs         []string
		alice, nobody bool // whom alice may answer for; nobody may
	}{
		"in the ID token":             {[]string{"claims", wants("id_token", "alice")}, true, false},
		"at userinfo":                 {[]string{"claims", wants("userinfo", "alice")}, true, false},
		"somebody else":               {[]string{"claims", wants("id_token", "bob")}, false, false},
		"by the hint too":             {[]string{"claims", wants("id_token", "alice"), "id_token_hint", ofAlice}, true, false},
		"anybody":                     {[]string{"claims", `{"id_token":{"sub":null}}`}, true, false},
		"another than the hint's":     {[]string{"claims", wants("id_token", "bob"), "id_token_hint", ofAlice}, false, true},
		"one here, another there":     {[]string{"claims", `{"id_token":{"sub":{"value":"alice"}},"userinfo":{"sub":{"value":"bob"}}}`}, false, true},
		"one of two":                  {[]string{"claims", `{"id_token":{"sub":{"values":["bob","alice"]}}}`}, true, false},
		"two, neither of them":        {[]string{"claims", `{"id_token":{"sub":{"values":["bob","carol"]}}}`}, true, false}, // §3.1.2.2 speaks of one value
		"a value that is not a text":  {[]string{"claims", `{"id_token":{"sub":{"value":7}}}`}, true, false},
		"the same, twice in the list": {[]string{"claims", `{"id_token":{"sub":{"values":["alice"],"value":"alice"}}}`}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.on(t)
			if c.nobody {
				h.wantRefusal("login_required", request("any", c.pairs...))
				return
			}
			got := h.consented(request("any", c.pairs...))
			if c.alice != (got.Get("code") != "") || !c.alice && got.Get("error") != "login_required" {
				t.Errorf("%v", got.Values)
			}
		})
	}
}

// Rotation overlaps: a hint under a key that has been retired is good as long as
// the key is published.
func TestIDTokenHintAfterRotation(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, hinted())
	hint := h.tokens("any").IDToken
	if _, err := h.engine.RotateKeys(t.Context(), h.service.ID, []string{"RS256"}, engine.Rotation{Overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if resp := h.authorize(request("any", "id_token_hint", hint)); resp.Subject != "alice" {
		t.Errorf("%s %s", resp.Action, resp.ResponseContent)
	}
}
