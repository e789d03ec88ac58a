package engine_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// compact is what somebody puts together as a JWT.
func compact(header, payload, signature string) string {
	return b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload)) + "." + signature
}

// genuine reports whether a compact JWS is really one of a client's keys, or of
// its secret, by this test's own reading.
func genuine(token string, secret bool) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	header, err := b64.DecodeString(parts[0])
	made, signatureErr := b64.DecodeString(parts[2])
	var h map[string]any
	if err != nil || signatureErr != nil || json.Unmarshal(header, &h) != nil {
		return false
	}
	alg, _ := h["alg"].(string)
	if !slices.Contains(signing, alg) || strings.HasPrefix(alg, "HS") != secret {
		return false
	}
	var key any = longSecret
	if !secret {
		key = jwkOf(keyFor(alg)).key()
	}
	return verifies(alg, key, []byte(parts[0]+"."+parts[1]), made)
}

// says are the claims of a JWT, as far as they are a JSON object.
func says(token string) map[string]any {
	claims := map[string]any{}
	if parts := strings.Split(token, "."); len(parts) == 3 {
		payload, _ := b64.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &claims)
	}
	return claims
}

func addHeaders(f *testing.F, payload string) {
	good := strings.Split(signedBy("ES256", []byte(payload)), ".")
	header, _ := b64.DecodeString(good[0])
	f.Add(string(header), payload, good[2], false)
	f.Add(string(header), payload, good[2], true)
	for _, h := range []string{
		`{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"ES256"}`, `{"alg":"ES256","kid":"p256"}`, `{"alg":"ES256","crit":["exp"]}`, `{"alg":"ES256","jwk":{}}`,
		`{"alg":"dir","enc":"A128GCM"}`, `{"alg":"RS256","kid":"../x"}`, `{`, `[]`, `null`, `{"alg":null}`, `{"ALG":"ES256"}`, `{"alg":"ES256","alg":"none"}`,
	} {
		f.Add(h, payload, good[2], false)
		f.Add(h, payload, "", false)
		f.Add(h, payload, "AAAA.AAAA.AAAA", false)
	}
}

// threats.md 7, 11, 13: whatever comes as a request object of a client that is
// registered to sign them, nothing that it did not sign is accepted, and nothing
// redirects elsewhere. When sign is set, the client signs the payload before.
func FuzzRequestObject(f *testing.F) {
	h := openConsumers(f)
	addHeaders(f, string(raw(object("jar-ES256"))))
	for _, payload := range []string{
		`{}`, `[]`, `null`, `{"redirect_uri":"https://evil.example/"}`, `{"redirect_uri":["https://evil.example/"]}`, `{"response_type":"token"}`, `{"client_id":"web"}`,
		`{"iss":"jar-ES256","iss":"web"}`, `{"scope":7}`, `{"claims":{"id_token":{"sub":{"value":7}}}}`, `{"max_age":1e3}`, `{"resource":[1]}`, `{"resource":["a",null]}`,
		`{"exp":1e400}`, `{"aud":null}`, `{"state":"\u0000"}`, `{"registration":{}}`, `{"request_uri":null}`, `{"":""}`, "{\"\xff\":1}", `{"prompt":{"a":[]}}`,
	} {
		f.Add("", payload, "", true)
	}
	f.Fuzz(func(t *testing.T, header, payload, signature string, sign bool) {
		h := h.on(t)
		token := compact(header, payload, signature)
		if sign {
			token = signedBy("ES256", []byte(payload))
		}
		resp := h.authorize(request("jar-ES256", "request", token))
		switch resp.Action {
		case model.ActionInteraction, model.ActionNoInteraction:
		case model.ActionLocation, model.ActionForm:
			if got := h.read(resp.Action, resp.ResponseContent); got.address != redirect || got.Get("error") == "" || resp.Ticket != "" {
				t.Fatalf("answered to %s: %v", got.address, got.Values)
			}
			return
		default:
			if resp.Action != model.ActionBadRequest || resp.Ticket != "" {
				t.Fatalf("%s %s", resp.Action, resp.ResponseContent)
			}
			return
		}
		claims := says(token)
		if token != "" && !genuine(token, false) {
			t.Fatalf("accepted, though nobody signed it: %s", token)
		}
		for name, want := range map[string]string{"iss": "jar-ES256", "client_id": "jar-ES256", "redirect_uri": redirect, "response_type": "code"} {
			if value, there := claims[name]; there && value != want && value != nil {
				t.Errorf("accepted with %s = %v", name, value)
			}
		}
		issued := h.issue(resp.Ticket)
		if got := h.read(issued.Action, issued.ResponseContent); got.address != redirect {
			t.Errorf("answered to %s", got.address)
		}
	})
}

// threats.md 12, 13: whatever comes as a client assertion, nothing authenticates
// a client that the client did not sign, for this server, and for now.
func FuzzClientAssertion(f *testing.F) {
	h := openConsumers(f)
	addHeaders(f, string(raw(h.assertion("keys"))))
	for _, pairs := range [][]any{
		{"iss", "secret"}, {"sub", nil}, {"aud", 7}, {"aud", []any{issuer, 7}}, {"aud", map[string]any{}}, {"exp", json.RawMessage("1e400")}, {"exp", "x"}, {"iat", nil},
		{"nbf", true}, {"jti", nil}, {"jti", 7}, {"jti", ""}, {"exp", json.RawMessage("-1")}, {"aud", nil},
	} {
		f.Add("", string(raw(h.assertion("keys", pairs...))), "", true)
	}
	f.Fuzz(func(t *testing.T, header, payload, signature string, sign bool) {
		h := h.on(t)
		token := compact(header, payload, signature)
		if sign {
			token = signedBy("ES256", []byte(payload))
		}
		resp := h.present(token)
		if resp.Action != model.ActionOK {
			if resp.Action != model.ActionInvalidClient && resp.Action != model.ActionBadRequest || resp.AccessToken != "" {
				t.Fatalf("%s %s", resp.Action, resp.ResponseContent)
			}
			return
		}
		claims := says(token)
		client, _ := claims["sub"].(string)
		exp, _ := claims["exp"].(float64)
		jti, _ := claims["jti"].(string)
		if !genuine(token, strings.HasPrefix(client, "secret") || strings.HasPrefix(client, "by-HS")) || claims["iss"] != client || claims["aud"] == nil || jti == "" || exp < float64(h.clock().Unix()-10) {
			t.Fatalf("accepted: %s", token)
		}
		h.on(t).wantError(h.present(token), "invalid_client") // once is enough
	})
}

// OpenID Connect Core §5.5: whatever comes as the claims parameter, no claim is
// delivered that was not asked for, that the service does not supply, or that the
// engine alone may set.
func FuzzClaims(f *testing.F) {
	h := openWith(f, everyScope, anyFlow)
	for _, seed := range []string{
		`{}`, `{"id_token":{"email":null}}`, `{"userinfo":{"email":{"essential":true}}}`, `{"id_token":{"sub":{"value":"bob"}}}`, `{"id_token":{"acr":{"essential":true,"values":["2"]}}}`,
		`{"id_token":{"email":{"value":{"a":[1,2,{}]}}}}`, `{"id_token":{"name#ja":null,"name#":null,"#ja":null}}`, `{"id_token":{"_claim_names":null,"nonce":null,"iss":{"value":"x"}}}`,
		`{"id_token":null,"userinfo":null}`, `{"id_token":{"":null}}`, `{"id_token":{"email":{"values":[]}}}`, `{"id_token":{"email":{"values":null,"value":null}}}`, `{"userinfo":{"email":{"essential":null}}}`,
		`[`, ``, `null`, `{"id_token":{"email":null},"id_token":{"secret":null}}`, "{\"id_token\":{\"\xff\":null}}",
	} {
		f.Add(seed, "ja de-CH")
	}
	supplied := map[string]json.RawMessage{"nonce": raw("forged"), "iss": raw("forged"), "acr": raw("forged"), "_claim_names": raw(map[string]string{"secret": "x"}), "_claim_sources": raw(map[string]any{"x": map[string]string{"JWT": "a"}})}
	for name, value := range aliceClaims {
		supplied[name] = value
	}
	f.Fuzz(func(t *testing.T, claims, locales string) {
		h := h.on(t)
		parameters := request("any", "response_type", "id_token token", "scope", "openid", "claims", claims, "claims_locales", locales)
		resp := h.authorize(parameters)
		if resp.Ticket == "" {
			if resp.Action == model.ActionBadRequest {
				return // not even the client can be told: it is no UTF-8, or too long
			}
			if got := h.read(resp.Action, resp.ResponseContent); got.Get("error") == "" || got.address != redirect {
				t.Fatalf("%v", got.Values)
			}
			return
		}
		issued := h.issue(resp.Ticket, supplying(supplied))
		got := h.read(issued.Action, issued.ResponseContent)
		if got.Get("error") != "" {
			return // somebody else was asked for, or a better sign-in
		}
		delivered := without(h.verified(got.Get("id_token"), "").claims, "auth_time", "acr")
		for name, value := range h.userInfo(got.Get("access_token"), supplied) {
			delivered[name] = value
		}
		for name, value := range delivered {
			base, _, _ := mint.CutTag(name)
			if name != "sub" && (!slices.Contains(h.service.SupportedClaims, base) || !strings.Contains(claims, base) && !strings.Contains(claims, `\u`)) || value == "forged" || value == "never asked for" {
				t.Errorf("%s = %v was delivered for %s", name, value, claims)
			}
		}
	})
}
