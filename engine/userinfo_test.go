package engine_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// OpenID Connect Core §5.3, §5.4: userinfo gives what was asked for, and no more.
func TestUserInfo(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	tokens := h.tokens("spa", "scope", "openid email", "claims", `{"userinfo":{"name":null,"secret":null}}`)
	resp, err := h.engine.UserInfo(t.Context(), h.service.ID, engine.UserInfoRequest{Token: tokens.AccessToken})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"email", "email_verified", "name"}, resp.Claims); diff != "" {
		t.Error(diff)
	}
	issued, err := h.engine.UserInfoIssue(t.Context(), h.service.ID, engine.UserInfoIssueRequest{Token: tokens.AccessToken,
		Claims: map[string]json.RawMessage{"sub": raw("mallory"), "email": raw("a@example.com"), "phone_number": raw("1")}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"email":"a@example.com","sub":"alice"}`; issued.Action != model.ActionJSON || issued.ResponseContent != want {
		t.Errorf("got %s %s, want %s", issued.Action, issued.ResponseContent, want)
	}
	for name, c := range map[string]struct {
		token  string
		action model.Action
	}{
		"no token":       {"", model.ActionBadRequest},
		"unknown token":  {"x", model.ActionUnauthorized},
		"without openid": {h.tokens("spa", "scope", "orders:read").AccessToken, model.ActionForbidden},
		"refresh token":  {h.tokens("web").RefreshToken, model.ActionUnauthorized},
	} {
		resp, err := h.engine.UserInfo(t.Context(), h.service.ID, engine.UserInfoRequest{Token: c.token})
		if err != nil || resp.Action != c.action || resp.ResponseContent == "" {
			t.Errorf("%s: %v %v", name, resp, err)
		}
	}
}

// userInfoJWT asks the userinfo endpoint as a client that gets a JWT.
func (h *house) userInfoJWT(client string) (accessToken, content string) {
	h.Helper()
	accessToken = h.tokens(client, "scope", "openid email").AccessToken
	resp, err := h.engine.UserInfoIssue(h.Context(), h.service.ID, engine.UserInfoIssueRequest{Token: accessToken, Claims: aliceClaims})
	if err != nil || resp.Action != model.ActionJWT {
		h.Fatalf("%s: %v %v", client, resp, err)
	}
	return accessToken, resp.ResponseContent
}

// OpenID Connect Core §5.3.2: signed answers, by each algorithm, have the issuer
// and the client as their audience.
func TestUserInfoSigned(t *testing.T) {
	t.Parallel()
	clients := map[string]model.Settings{}
	for _, alg := range append([]string{"none"}, signing...) {
		clients["ui-"+alg] = model.Settings{"clientSecret": raw(longSecret), "userInfoSignAlg": raw(strings.Replace(alg, "none", "NONE", 1))}
	}
	h := openWith(t, nil, clients)
	for client := range clients {
		_, content := h.userInfoJWT(client)
		got := h.verified(content, longSecret)
		want := map[string]any{"iss": issuer, "aud": client, "sub": "alice", "email": "alice@example.com", "email_verified": true}
		if diff := cmp.Diff(want, got.claims); diff != "" || "ui-"+got.header["alg"].(string) != client {
			t.Errorf("%s by %v: %s", client, got.header["alg"], diff)
		}
		if h.usable(content) {
			t.Errorf("%s: the answer passes for an access token", client)
		}
	}
}

// OpenID Connect Core §5.3.2, §16.14; RFC 7519 §5.2, §11.2: encrypted answers,
// signed before or not; cty says so of a JWT inside, and of nothing else.
func TestUserInfoEncrypted(t *testing.T) {
	t.Parallel()
	client := func(pairs ...any) model.Settings {
		return with(model.Settings{"clientSecret": raw(longSecret), "jwks": raw(jwksOf())}, pairs...)
	}
	clients := map[string]model.Settings{}
	for _, alg := range model.EncAlgs {
		clients["only-"+string(alg)] = client("userInfoEncryptionAlg", apiName(string(alg)))
		clients["both-"+string(alg)] = client("userInfoEncryptionAlg", apiName(string(alg)), "userInfoEncryptionEnc", "A256GCM", "userInfoSignAlg", "ES256")
	}
	h := openWith(t, nil, clients)
	for _, alg := range model.EncAlgs {
		_, key := openerOf(alg, model.A128CBCHS256)
		_, content := h.userInfoJWT("only-" + string(alg))
		header, plain := decrypted(t, content, alg, key)
		claims := map[string]any{}
		if err := json.Unmarshal([]byte(plain), &claims); err != nil {
			t.Fatalf("%s: %s: %v", alg, plain, err)
		}
		if diff := cmp.Diff(map[string]any{"sub": "alice", "email": "alice@example.com", "email_verified": true}, claims); diff != "" {
			t.Errorf("%s: %s", alg, diff)
		}
		if header.ContentEncryption().String() != string(model.A128CBCHS256) || header.ContentType() != "" {
			t.Errorf("%s: enc %s, cty %q", alg, header.ContentEncryption(), header.ContentType())
		}
		_, key = openerOf(alg, "A256GCM")
		_, content = h.userInfoJWT("both-" + string(alg))
		header, plain = decrypted(t, content, alg, key)
		if got := h.verified(plain, ""); got.claims["aud"] != "both-"+string(alg) || got.header["alg"] != "ES256" || header.ContentType() != "JWT" {
			t.Errorf("%s: %v %v, cty %q", alg, got.header, got.claims, header.ContentType())
		}
	}
}

// OpenID Connect Core §5.3, §5.3.2: sub is the token's, and only what is a
// member of the request and of the service is delivered.
func TestUserInfoSaysWhoTheTokenIsFor(t *testing.T) {
	t.Parallel()
	h := openWith(t, everyScope, anyFlow)
	tokens := h.tokens("any", "scope", "openid email")
	got := h.userInfo(tokens.AccessToken, map[string]json.RawMessage{"sub": raw("mallory"), "iss": raw("x"), "aud": raw("x"), "email": raw("a@example.com"), "name": raw("x"), "is_admin": raw(true)})
	if diff := cmp.Diff(map[string]any{"sub": "alice", "email": "a@example.com"}, got); diff != "" {
		t.Error(diff)
	}
	// Between the two steps the token may have ended.
	h.revoke("any", tokens.AccessToken)
	resp, err := h.engine.UserInfoIssue(t.Context(), h.service.ID, engine.UserInfoIssueRequest{Token: tokens.AccessToken, Claims: aliceClaims})
	if err != nil || resp.Action != model.ActionUnauthorized || strings.Contains(resp.ResponseContent, "alice") {
		t.Errorf("%v %v", resp, err)
	}
}
