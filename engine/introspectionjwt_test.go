package engine_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// introspectionJWT asks about a token as a client, or with the API key, for a JWT.
func (h *house) introspectionJWT(client, token string) string {
	h.Helper()
	req := engine.StandardIntrospectionRequest{JWT: true}
	req.Parameters, req.Basic = h.as(client, "token", token)
	if client == "api" {
		req.Basic = engine.ClientCredentials{ClientID: "api", ClientSecret: "api-secret", Present: true}
	}
	resp, err := h.engine.StandardIntrospection(h.Context(), h.service.ID, req)
	if err != nil || resp.Action != model.ActionJWT {
		h.Fatalf("%s: %v %v", client, resp, err)
	}
	return resp.ResponseContent
}

// RFC 7662 §2.2: the whole answer, with what the revocation stream calls the
// token; a property of that name does not take its place.
func TestIntrospectionAnswer(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, pairwise())
	tokens := h.tokens("spa", "scope", "openid orders:read offline_access")
	row := h.introspect(tokens.AccessToken)
	decimal := func(id model.ID) string { return strconv.FormatInt(int64(id), 10) }
	got := h.introspectedBy("service", tokens.AccessToken)
	reference, _ := got["gatehouse"].(map[string]any)
	subject, _ := reference["subject"].(string)
	want := map[string]any{
		"active": true, "scope": "openid orders:read offline_access", "client_id": "spa", "token_type": "Bearer", "sub": "alice", "aud": issuer, "iss": issuer,
		"exp": float64(row.ExpiresAt), "iat": float64(row.IssuedAt), "jti": strconv.FormatInt(int64(row.Token), 36), "auth_time": got["auth_time"], "amr": []any{"pwd"},
		"gatehouse": map[string]any{"service": decimal(h.service.ID), "token": decimal(row.Token), "grant": decimal(row.Grant), "client": decimal(row.Client), "subject": subject},
	}
	if diff := cmp.Diff(want, got); diff != "" || len(subject) != 16 {
		t.Errorf("subject %q (-want +got):\n%s", subject, diff)
	}
	if own := h.introspectedBy("service", h.own("service", "orders:read").AccessToken)["gatehouse"].(map[string]any); own["subject"] != nil {
		t.Errorf("a client's own token has the subject %v", own["subject"])
	}
	if refresh := h.introspectedBy("service", tokens.RefreshToken); refresh["gatehouse"] != nil {
		t.Errorf("a refresh token is no gateway's: %v", refresh)
	}
	issued := h.issue(h.authorize(request("spa")).Ticket, func(r *engine.AuthorizationIssueRequest) {
		r.Properties = []model.Property{{Key: "gatehouse", Value: "mine"}, {Key: "plan", Value: "gold"}}
	})
	code := h.read(issued.Action, issued.ResponseContent).Get("code")
	extra := h.redeem("spa", code)
	for _, token := range []string{extra.AccessToken, extra.RefreshToken} {
		if answer := h.introspectedBy("service", token); answer["gatehouse"] == "mine" || answer["plan"] != "gold" {
			t.Errorf("with properties: %v", answer)
		}
	}
}

// RFC 9701 §5: answers signed by each algorithm, for their caller alone, with the
// answer of RFC 7662 inside; the default is RS256 (§6).
func TestIntrospectionSigned(t *testing.T) {
	t.Parallel()
	clients := map[string]model.Settings{}
	own := model.Settings{"clientSecret": raw(longSecret), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"})}
	for _, alg := range signing {
		clients["rs-"+alg] = with(own, "introspectionSignAlg", alg)
	}
	h := openWith(t, model.Settings{"apiKey": raw("api"), "apiSecret": raw("api-secret")}, clients)
	clients["service"], clients["api"] = nil, nil
	token := h.tokens("spa").AccessToken
	for client := range clients {
		alg, set := strings.CutPrefix(client, "rs-")
		if !set {
			alg = "RS256"
		}
		content := h.introspectionJWT(client, token)
		got := h.verified(content, longSecret)
		inside := h.introspectedBy("service", token)
		want := map[string]any{"iss": issuer, "aud": client, "iat": float64(h.clock().Unix()), "token_introspection": inside}
		if diff := cmp.Diff(want, got.claims); diff != "" || got.header["alg"] != alg || got.header["typ"] != "token-introspection+jwt" {
			t.Errorf("%s: %v %s", client, got.header, diff)
		}
		if h.usable(content) { // RFC 9701 §8.1
			t.Errorf("%s: the answer passes for an access token", client)
		}
		inactive := h.verified(h.introspectionJWT(client, "x"), longSecret).claims["token_introspection"]
		if diff := cmp.Diff(map[string]any{"active": false}, inactive); diff != "" {
			t.Errorf("%s, of no token: %s", client, diff)
		}
		if !lists(h.discovery(), "introspection_signing_alg_values_supported", alg) { // §7
			t.Errorf("discovery does not name %s", alg)
		}
	}
	if lists(h.discovery(), "introspection_signing_alg_values_supported", "none") {
		t.Error("discovery names none")
	}
	// What is asked for as JSON is JSON, and what is refused is no JWT (§4).
	resp, err := h.engine.StandardIntrospection(t.Context(), h.service.ID, engine.StandardIntrospectionRequest{JWT: true, Basic: basic("service")})
	if err != nil || resp.Action != model.ActionBadRequest || errorCode(resp.ResponseContent) != "invalid_request" {
		t.Errorf("without a token: %v %v", resp, err)
	}
}

// RFC 9701 §5, §6: a nested JWT for those that are registered for one, whose
// content encryption is A128CBC-HS256 when they do not say.
func TestIntrospectionEncrypted(t *testing.T) {
	t.Parallel()
	clients := map[string]model.Settings{}
	own := model.Settings{"clientSecret": raw(longSecret), "jwks": raw(jwksOf()), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"}), "tokenAuthMethod": raw("CLIENT_SECRET_BASIC")}
	for _, alg := range model.EncAlgs {
		clients["rs-"+string(alg)] = with(own, "introspectionEncryptionAlg", apiName(string(alg)))
	}
	h := openWith(t, nil, clients)
	token := h.tokens("spa").AccessToken
	for _, alg := range model.EncAlgs {
		_, key := openerOf(alg, model.A128CBCHS256)
		header, plain := decrypted(t, h.introspectionJWT("rs-"+string(alg), token), alg, key)
		got := h.verified(plain, "")
		if got.claims["aud"] != "rs-"+string(alg) || got.header["alg"] != "RS256" || header.ContentType() != "JWT" || header.ContentEncryption().String() != string(model.A128CBCHS256) {
			t.Errorf("%s: %v %v %v", alg, header, got.header, got.claims)
		}
		if !lists(h.discovery(), "introspection_encryption_alg_values_supported", string(alg)) || !lists(h.discovery(), "introspection_encryption_enc_values_supported", "A256GCM") {
			t.Errorf("discovery does not name %s", alg)
		}
	}
}

// RFC 9701 §6: clients register for signed and encrypted answers; a service whose
// keys are given signs by what it has.
func TestIntrospectionRegistration(t *testing.T) {
	t.Parallel()
	h := open(t, openRegistration)
	client := h.enroll(map[string]any{"introspection_signed_response_alg": "ES256", "introspection_encrypted_response_alg": "A128KW"})
	if client["introspection_signed_response_alg"] != "ES256" || client["introspection_encrypted_response_enc"] != "A128CBC-HS256" {
		t.Errorf("%v", client)
	}
	refused := h.manage(h.engine.ClientRegistration, engine.ClientRegistrationRequest{
		JSON: `{"redirect_uris":["https://app.example.com/cb"],"introspection_signed_response_alg":"ES512"}`}, model.ActionBadRequest)
	if refused["error"] != "invalid_client_metadata" {
		t.Errorf("%v", refused)
	}
	settings := model.Settings{"jwks": raw(privateJWKS("p256")), "supportedScopes": raw([]model.Scope{{Name: "orders:read"}})}
	given := open(t, settings)
	if got := given.verified(given.introspectionJWT("service", "x"), ""); got.header["alg"] != "ES256" {
		t.Errorf("signed by %v", got.header)
	}
	d := declareWith(t, issuer, settings, map[string]model.Settings{
		"rs": {"clientSecret": raw(longSecret), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"}), "introspectionSignAlg": raw("ES384")}})
	if _, err := engine.New(t.Context(), engine.Options{Store: newStore(t), MasterKey: masterKey, Services: []engine.Declaration{d}}); err == nil || !strings.Contains(err.Error(), "introspection_sign_alg is ES384") {
		t.Errorf("threat 25: an algorithm without a key: %v", err)
	}
}
