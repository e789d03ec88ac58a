package engine_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// aliceClaims are what the authentication server knows of alice.
var aliceClaims = map[string]json.RawMessage{
	"name": raw("Alice"), "name#ja": raw("アリス"), "name#de-CH": raw("Alice aus Zürich"), "family_name": raw("Liddell"), "family_name#ja": raw("リデル"),
	"email": raw("alice@example.com"), "email_verified": raw(true), "phone_number": raw("+1"), "updated_at": raw(1700000000),
	"address": raw(map[string]any{"country": "GB"}), "secret": raw("never asked for"),
}

func supplying(claims map[string]json.RawMessage) func(*engine.AuthorizationIssueRequest) {
	return func(r *engine.AuthorizationIssueRequest) { r.Claims = claims }
}

// everyScope is a service with the scopes that stand for claims.
var everyScope = with(everyFlow, "supportedScopes", []model.Scope{{Name: "openid"}, {Name: "profile"}, {Name: "email"}, {Name: "address"}, {Name: "phone"}, {Name: "offline_access"}, {Name: "orders:read"}},
	"supportedClaimLocales", []string{"ja", "de-CH"}, "supportedClaimTypes", []string{"NORMAL", "AGGREGATED", "DISTRIBUTED"},
	"supportedAcrs", []string{"1", "2", "3"})

// userInfo asks the userinfo endpoint, which knows what aliceClaims are.
func (h *house) userInfo(accessToken string, claims map[string]json.RawMessage) map[string]any {
	h.Helper()
	resp, err := h.engine.UserInfoIssue(h.Context(), h.service.ID, engine.UserInfoIssueRequest{Token: accessToken, Claims: claims})
	if err != nil {
		h.Fatal(err)
	}
	if resp.Action != model.ActionJSON {
		h.Fatalf("userinfo: %s %s", resp.Action, resp.ResponseContent)
	}
	got := map[string]any{}
	if err := json.Unmarshal([]byte(resp.ResponseContent), &got); err != nil {
		h.Fatal(err)
	}
	return got
}

// without are claims but those of some names, and those that every ID token has.
func without(claims map[string]any, names ...string) map[string]any {
	got := map[string]any{}
	for name, value := range claims {
		got[name] = value
	}
	for _, name := range append(names, "iss", "aud", "azp", "exp", "iat", "nonce", "at_hash", "c_hash", "s_hash", "amr", "sub") {
		delete(got, name)
	}
	return got
}

// delivered goes through the code flow and returns what the ID token and
// userinfo say beyond what they always say.
func (h *house) delivered(claims map[string]json.RawMessage, pairs ...string) (idToken, userInfo map[string]any) {
	h.Helper()
	got := h.consented(request("any", pairs...), supplying(claims))
	tokens := h.redeem("any", got.Get("code"))
	h.want(tokens, model.ActionOK)
	return without(h.verified(tokens.IDToken, "").claims), without(h.userInfo(tokens.AccessToken, claims))
}

// OpenID Connect Core §5.4: scopes stand for claims, which are delivered at the
// userinfo endpoint, or in the ID token when there is no access token.
func TestScopesStandForClaims(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyScope, anyFlow)
	for scope, want := range map[string]map[string]any{
		"profile": {"name": "Alice", "family_name": "Liddell", "updated_at": 1700000000.0}, "email": {"email": "alice@example.com", "email_verified": true},
		"address": {"address": map[string]any{"country": "GB"}}, "phone": {"phone_number": "+1"}, "orders:read": {},
	} {
		idToken, userInfo := h.delivered(aliceClaims, "scope", "openid "+scope)
		if diff := cmp.Diff(want, userInfo); diff != "" {
			t.Errorf("%s at userinfo: %s", scope, diff)
		}
		if diff := cmp.Diff(map[string]any{}, idToken); diff != "" {
			t.Errorf("%s in the ID token: %s", scope, diff)
		}
		got := h.consented(request("any", "scope", "openid "+scope, "response_type", "id_token"), supplying(aliceClaims))
		if diff := cmp.Diff(want, without(h.verified(got.Get("id_token"), "").claims)); diff != "" {
			t.Errorf("%s without an access token: %s", scope, diff)
		}
	}
}

// OpenID Connect Core §5.5, §5.5.1: claims are asked for one by one, at each
// place, and delivered when they have the value asked for, if any.
func TestClaimsParameter(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyScope, anyFlow)
	for claims, want := range map[string][2]map[string]any{
		`{"id_token":{"email":null}}`: {{"email": "alice@example.com"}, {}},
		`{"userinfo":{"email":null}}`: {{}, {"email": "alice@example.com"}},
		`{"userinfo":{"email":{"essential":true}},"id_token":{"name":{"essential":false}}}`:                  {{"name": "Alice"}, {"email": "alice@example.com"}},
		`{"id_token":{"email":{"value":"alice@example.com"},"name":{"value":"Bob"}}}`:                        {{"email": "alice@example.com"}, {}},
		`{"userinfo":{"name":{"values":["Bob","Alice"]},"email":{"values":["bob@example.com"]}}}`:            {{}, {"name": "Alice"}},
		`{"userinfo":{"address":{"value":{ "country" : "GB" }},"updated_at":{"value":1}}}`:                   {{}, {"address": map[string]any{"country": "GB"}}},
		`{"id_token":{"secret":null,"sub":null,"iss":null},"userinfo":{"secret":null}}`:                      {{}, {}},
		`{"other":{"email":null},"id_token":null,"userinfo":{}}`:                                             {{}, {}},
		`{"id_token":{"email":{"essential":true,"purpose":"x","http://example.com/x":[1]}}}`:                 {{"email": "alice@example.com"}, {}},
		`{"ID_TOKEN":{"email":null},"UserInfo":{"email":null}}`:                                              {{}, {}},
		`{"id_token":{"auth_time":{"essential":true}}}`:                                                      {{"auth_time": float64(h.clock().Unix() - 5)}, {}},
		fmt.Sprintf(`{"userinfo":{"email":{"values":[%s"alice@example.com"]}}}`, strings.Repeat(`"x",`, 49)): {{}, {"email": "alice@example.com"}},
	} {
		idToken, userInfo := h.delivered(aliceClaims, "scope", "openid", "claims", claims)
		if diff := cmp.Diff(want, [2]map[string]any{idToken, userInfo}); diff != "" {
			t.Errorf("%s: %s", claims, diff)
		}
	}
	for _, claims := range []string{
		`[]`, `"x"`, `7`, `{"id_token":[]}`, `{"id_token":"email"}`, `{"id_token":{"email":true}}`, `{"id_token":{"email":"x"}}`,
		`{"id_token":{"email":{"essential":"yes"}}}`, `{"id_token":{"email":{"values":"x"}}}`, `{"id_token":{"email":{"values":[` + strings.Repeat(`"x",`, 50) + `"x"]}}}`,
		`{"id_token":{` + manyClaims(65) + `}}`, `{"userinfo":{` + manyClaims(65) + `}}`, `{"x":"` + strings.Repeat("x", 8<<10) + `"}`,
		`{"id_token":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
	} {
		h.wantRefusal("invalid_request", request("any", "claims", claims))
	}
	// Without openid the parameter means nothing (§5.5).
	if resp := h.authorize(request("any", "scope", "orders:read", "claims", `{"id_token":{"email":null}}`)); resp.Claims != nil {
		t.Errorf("claims for a plain OAuth request: %v", resp.Claims)
	}
}

func manyClaims(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"c%d":null`, i)
	}
	return strings.Join(list, ",")
}

// OpenID Connect Core §5.2: claims in other languages, as far as the service has
// them. Language tags are the same in any case.
func TestClaimsInOtherLanguages(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyScope, anyFlow)
	for _, c := range []struct {
		pairs []string
		want  map[string]any
	}{
		{[]string{"claims_locales", "ja"}, map[string]any{"name": "Alice", "name#ja": "アリス"}},
		{[]string{"claims_locales", "fr ja de-CH"}, map[string]any{"name": "Alice", "name#ja": "アリス", "name#de-CH": "Alice aus Zürich"}},
		{[]string{"claims_locales", "JA DE-ch"}, map[string]any{"name": "Alice", "name#ja": "アリス", "name#de-CH": "Alice aus Zürich"}},
		{[]string{"claims_locales", "fr de"}, map[string]any{"name": "Alice"}},
		{[]string{"claims_locales", "not_a_tag é"}, map[string]any{"name": "Alice"}},
	} {
		_, userInfo := h.delivered(aliceClaims, append(c.pairs, "scope", "openid", "claims", `{"userinfo":{"name":null}}`)...)
		if diff := cmp.Diff(c.want, userInfo); diff != "" {
			t.Errorf("%v: %s", c.pairs, diff)
		}
	}
	idToken, _ := h.delivered(aliceClaims, "scope", "openid", "claims", `{"id_token":{"name#ja":null,"name#fr":null,"secret#ja":null,"family_name#ja":{"value":"x"}}}`)
	if diff := cmp.Diff(map[string]any{"name#ja": "アリス"}, idToken); diff != "" {
		t.Errorf("asked for by name: %s", diff)
	}
}

// OpenID Connect Core §5.6.2: aggregated and distributed claims are passed on,
// those that were asked for, as far as the service supports each kind.
func TestClaimsOfOtherProviders(t *testing.T) {
	t.Parallel()
	supplied := map[string]json.RawMessage{
		"_claim_names":   raw(map[string]string{"name": "bank", "email": "mail", "phone_number": "mail", "secret": "mail", "birthdate": "nowhere"}),
		"_claim_sources": raw(map[string]any{"bank": map[string]string{"JWT": "a.b.c"}, "mail": map[string]string{"endpoint": "https://mail.example/claims", "access_token": "x"}, "more": map[string]string{"JWT": "d"}}),
		"gender":         raw("f"),
	}
	bank := map[string]any{"JWT": "a.b.c"}
	mail := map[string]any{"endpoint": "https://mail.example/claims", "access_token": "x"}
	for kinds, want := range map[string]map[string]any{
		"NORMAL":             {"gender": "f"},
		"NORMAL AGGREGATED":  {"gender": "f", "_claim_names": map[string]any{"name": "bank"}, "_claim_sources": map[string]any{"bank": bank}},
		"NORMAL DISTRIBUTED": {"gender": "f", "_claim_names": map[string]any{"email": "mail"}, "_claim_sources": map[string]any{"mail": mail}},
		"NORMAL AGGREGATED DISTRIBUTED": {"gender": "f", "_claim_names": map[string]any{"name": "bank", "email": "mail"},
			"_claim_sources": map[string]any{"bank": bank, "mail": mail}},
	} {
		h := openWith(t, with(everyScope, "supportedClaimTypes", strings.Fields(kinds)), anyFlow)
		asked := `{"name":null,"email":null,"gender":null,"birthdate":null,"secret":null}`
		idToken, userInfo := h.delivered(supplied, "scope", "openid", "claims", `{"userinfo":`+asked+`,"id_token":`+asked+`}`)
		if diff := cmp.Diff([]map[string]any{want, want}, []map[string]any{idToken, userInfo}); diff != "" {
			t.Errorf("%s: %s", kinds, diff)
		}
	}
}

// RFC 6749 §3.3, OpenID Connect Core §3.1.2.4: what the user did not grant is not
// delivered, neither by another name nor later.
func TestClaimsFollowConsent(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyScope, anyFlow)
	got := h.consented(request("any", "scope", "openid profile email offline_access", "claims", `{"userinfo":{"phone_number":null}}`),
		supplying(aliceClaims), func(r *engine.AuthorizationIssueRequest) { r.Scopes = []string{"openid", "profile", "offline_access"} })
	tokens := h.redeem("any", got.Get("code"))
	want := map[string]any{"name": "Alice", "family_name": "Liddell", "updated_at": 1700000000.0, "phone_number": "+1"}
	if diff := cmp.Diff(want, without(h.userInfo(tokens.AccessToken, aliceClaims))); diff != "" {
		t.Errorf("the scope email was not granted: %s", diff)
	}
	// RFC 6749 §6: a token that was asked for with less says less.
	less := h.refresh("any", tokens.RefreshToken, "scope", "openid")
	h.want(less, model.ActionOK)
	if diff := cmp.Diff(map[string]any{"phone_number": "+1"}, without(h.userInfo(less.AccessToken, aliceClaims))); diff != "" {
		t.Errorf("the token does not cover profile: %s", diff)
	}
	resp, err := h.engine.UserInfo(t.Context(), h.service.ID, engine.UserInfoRequest{Token: less.AccessToken})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"phone_number"}, resp.Claims); diff != "" {
		t.Errorf("the authentication server is asked for more: %s", diff)
	}
	// And in an ID token from the authorization endpoint.
	answer := h.consented(request("any", "scope", "openid profile email", "response_type", "id_token"),
		supplying(aliceClaims), func(r *engine.AuthorizationIssueRequest) { r.Scopes = []string{"openid", "email"} })
	if diff := cmp.Diff(map[string]any{"email": "alice@example.com", "email_verified": true}, without(h.verified(answer.Get("id_token"), "").claims)); diff != "" {
		t.Errorf("the scope profile was not granted: %s", diff)
	}
}

// OpenID Connect Core §5.5.1.1, §3.1.2.1; OpenID Connect Core Unmet
// Authentication Requirements §2: which acr is wanted, and what happens without it.
func TestACR(t *testing.T) {
	t.Parallel()
	clients := map[string]model.Settings{"any": with(anyFlow["any"], "defaultAcrs", []string{"3", "9"})}
	h := openWith(t, everyScope, clients)
	essential := func(values string) string {
		return `{"id_token":{"acr":{"essential":true,` + values + `}}}`
	}
	for _, c := range []struct {
		name  string
		pairs []string
		want  []string
		must  bool
	}{
		{"the client's own", nil, []string{"3"}, false},
		{"acr_values before it", []string{"acr_values", "9 2 1"}, []string{"2", "1"}, false},
		{"the claim before both", []string{"acr_values", "2", "claims", `{"id_token":{"acr":{"values":["1"]}}}`}, []string{"1"}, false},
		{"the essential claim", []string{"claims", essential(`"values":["2","3"]`)}, []string{"2", "3"}, true},
		{"one essential value", []string{"claims", essential(`"value":"2"`)}, []string{"2"}, true},
		{"some of which there are", []string{"claims", essential(`"values":["9","2"]`)}, []string{"2"}, true},
		{"essential, but any", []string{"claims", `{"id_token":{"acr":{"essential":true}}}`}, []string{"3"}, false},
		{"none that there is", []string{"acr_values", "9"}, nil, false},
	} {
		resp := h.authorize(request("any", c.pairs...))
		if diff := cmp.Diff(c.want, append([]string(nil), resp.ACRs...)); diff != "" || resp.ACREssential != c.must {
			t.Errorf("%s: %v %s", c.name, resp.ACREssential, diff)
		}
	}
	h.wantRefusal("unmet_authentication_requirements", request("any", "claims", essential(`"values":["8","9"]`)))
	for acr, met := range map[string]bool{"": false, "1": false, "2": true, "3": true, "9": false} {
		got := h.consented(request("any", "claims", essential(`"values":["2","3"]`)), func(r *engine.AuthorizationIssueRequest) { r.ACR = acr })
		if met != (got.Get("code") != "") || !met && got.Get("error") != "unmet_authentication_requirements" {
			t.Errorf("acr %q: %v", acr, got.Values)
		}
		if met {
			if idToken := h.verified(h.redeem("any", got.Get("code")).IDToken, ""); idToken.claims["acr"] != acr {
				t.Errorf("acr %v in the ID token, want %s", idToken.claims["acr"], acr)
			}
		}
	}
	// A voluntary one is not an obstacle; what was reached is said.
	got := h.consented(request("any", "acr_values", "3"), func(r *engine.AuthorizationIssueRequest) { r.ACR = "1" })
	if idToken := h.verified(h.redeem("any", got.Get("code")).IDToken, ""); idToken.claims["acr"] != "1" {
		t.Errorf("acr %v", idToken.claims["acr"])
	}
	h.wantRefusal("invalid_request", request("any", "acr_values", "x "+manyScopes(20)))
}

// OpenID Connect Core §3.1.2.1, §2, §12.2; Dynamic Client Registration §2
// (default_max_age, require_auth_time): max_age=0 is a bound, and a bound brings
// auth_time, also when the ID token is refreshed.
func TestMaxAgeAndAuthTime(t *testing.T) {
	t.Parallel()
	clients := map[string]model.Settings{
		"any": anyFlow["any"], "aged": with(anyFlow["any"], "defaultMaxAge", 300), "timed": with(anyFlow["any"], "authTimeRequired", true),
	}
	h := openWith(t, everyScope, clients)
	for _, c := range []struct {
		client string
		maxAge string
		want   int64 // -1: none
		timed  bool
	}{
		{"any", "", -1, false}, {"any", "0", 0, true}, {"any", "60", 60, true}, {"aged", "", 300, true}, {"aged", "0", 0, true}, {"timed", "", -1, true},
	} {
		resp := h.authorize(request(c.client, "max_age", c.maxAge))
		if got := resp.MaxAge; (got == nil) != (c.want < 0) || got != nil && *got != c.want {
			t.Errorf("%s max_age=%s: %v", c.client, c.maxAge, got)
		}
		code := h.issue(resp.Ticket).AuthorizationCode
		tokens := h.redeem(c.client, code)
		refreshed := h.refresh(c.client, tokens.RefreshToken)
		for when, text := range map[string]string{"at first": tokens.IDToken, "refreshed": refreshed.IDToken} {
			got, there := h.verified(text, "").claims["auth_time"]
			if there != c.timed || there && got != float64(h.clock().Unix()-5) {
				t.Errorf("%s max_age=%s, %s: auth_time %v", c.client, c.maxAge, when, got)
			}
		}
	}
	for _, bad := range []string{"-1", "1.5", "1e3", "x", "99999999999", " 1", "+"} {
		h.wantRefusal("invalid_request", request("any")+"&max_age="+url.QueryEscape(bad))
	}
}
