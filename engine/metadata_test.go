package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// discovery is the service's discovery document.
func (h *house) discovery() map[string]any {
	h.Helper()
	body, err := h.engine.ServiceConfiguration(h.Context(), h.service.ID)
	if err != nil {
		h.Fatal(err)
	}
	document := map[string]any{}
	if err := json.Unmarshal(body, &document); err != nil {
		h.Fatal(err)
	}
	return document
}

// lists reports whether a member of the discovery document has a value.
func lists(document map[string]any, member string, value any) bool {
	list, _ := document[member].([]any)
	return slices.Contains(list, value)
}

// OpenID Connect Discovery §3, RFC 8414 §2, RFC 9207 §3: what the document of a
// service with nothing but its issuer says.
func TestServiceConfiguration(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"tokenEndpoint": raw("/oauth/token"), "tosUri": raw("https://as.example.com/tos")})
	got := h.discovery()
	want := map[string]any{
		"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/oauth/token",
		"revocation_endpoint": issuer + "/revoke", "introspection_endpoint": issuer + "/introspect",
		"gatehouse_revocation_stream_endpoint": issuer + "/revocations",
		"jwks_uri":                             issuer + "/jwks", "userinfo_endpoint": issuer + "/userinfo", "op_tos_uri": "https://as.example.com/tos",
		"authorization_response_iss_parameter_supported": true, "claims_parameter_supported": true,
		"request_parameter_supported": true, "request_uri_parameter_supported": true, "require_request_uri_registration": true,
		"response_types_supported":                      []any{"code"},
		"response_modes_supported":                      []any{"query", "fragment", "form_post"},
		"grant_types_supported":                         []any{"authorization_code", "refresh_token", "client_credentials"},
		"code_challenge_methods_supported":              []any{"S256"},
		"subject_types_supported":                       []any{"public", "pairwise"},
		"id_token_signing_alg_values_supported":         []any{"none", "RS256", "ES256", "EdDSA", "HS256", "HS384", "HS512"},
		"acr_values_supported":                          []any{"1"},
		"claim_types_supported":                         []any{"normal"},
		"display_values_supported":                      []any{"page", "popup", "touch", "wap"},
		"scopes_supported":                              []any{"openid", "profile", "email", "offline_access", "orders:read", "orders:write"},
		"token_endpoint_auth_methods_supported":         []any{"none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"},
		"introspection_endpoint_auth_methods_supported": []any{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"},
	}
	for name, value := range want {
		if diff := cmp.Diff(value, got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, value := range got {
		if value == nil || value == "" || fmt.Sprint(value) == "[]" || strings.HasSuffix(name, "#") {
			t.Errorf("%s is %v: what is not there is left out (Discovery §4.2)", name, value)
		}
		if address, ok := value.(string); ok && !strings.HasPrefix(address, "https://") {
			t.Errorf("%s is %v", name, value)
		}
	}
	for _, name := range []string{"op_policy_uri", "registration_endpoint", "require_signed_request_object"} {
		if _, there := got[name]; there {
			t.Errorf("%s is named although there is none", name)
		}
	}
	// RFC 8414 §2, OpenID Connect Core §9: none is no algorithm for assertions.
	if lists(got, "token_endpoint_auth_signing_alg_values_supported", "none") || !lists(got, "token_endpoint_auth_signing_alg_values_supported", "ES256K") {
		t.Errorf("%v", got["token_endpoint_auth_signing_alg_values_supported"])
	}
}

// A plain OAuth service says nothing of OpenID Connect, and one without an
// authorization endpoint nothing of that.
func TestServiceConfigurationSaysNoMore(t *testing.T) {
	t.Parallel()
	plain := open(t, model.Settings{"supportedScopes": raw([]model.Scope{{Name: "x"}}), "supportedGrantTypes": raw([]string{"CLIENT_CREDENTIALS"})}).discovery()
	for _, name := range []string{
		"userinfo_endpoint", "id_token_signing_alg_values_supported", "claims_supported", "claims_parameter_supported", "subject_types_supported",
		"acr_values_supported", "end_session_endpoint", "check_session_iframe", "backchannel_logout_supported", "userinfo_signing_alg_values_supported",
		"authorization_endpoint", "code_challenge_methods_supported", "response_modes_supported", "request_parameter_supported",
	} {
		if _, there := plain[name]; there {
			t.Errorf("%s is there although the service does not do that", name)
		}
	}
	if diff := cmp.Diff([]any{}, plain["response_types_supported"]); diff != "" { // RFC 8414 §2: required
		t.Error(diff)
	}
	secrets := model.Settings{
		"apiKey": raw("api"), "apiSecret": raw("secret-1-of-this"), "authenticationCallbackApiSecret": raw("secret-2-of-this"),
		"snsCredentials": raw([]model.SNSCredentials{{SNS: model.SNSFacebook, APIKey: "k", APISecret: "secret-3-of-this"}}), "dynamicRegistrationSupported": raw(true),
		"initialAccessTokens": raw([]model.InitialAccessToken{{Developer: "d", Token: "secret-4-of-this"}}), "jwks": raw(privateJWKS("rsa", "p256", "ed25519")),
	}
	h := open(t, secrets)
	body, err := h.engine.ServiceConfiguration(t.Context(), h.service.ID)
	if err != nil || strings.Contains(string(body), "of-this") || strings.Contains(string(body), `"d"`) {
		t.Errorf("a secret is in the document: %s %v", body, err)
	}
	if h.discovery()["registration_endpoint"] != issuer+"/register" {
		t.Error("the registration endpoint is not named")
	}
}

// What the document says, the endpoints do, and nothing else: each value that it
// may have is tried.
func TestDiscoveryIsWhatWorks(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]model.Settings{
		"by default": nil, "everything": everyFlow,
		"lax":                {"pkceRequired": raw(false), "pkceS256Required": raw(false)},
		"implicit alone":     {"supportedGrantTypes": raw([]string{"IMPLICIT"}), "supportedResponseTypes": allResponses},
		"some":               {"supportedResponseTypes": raw([]string{"CODE_ID_TOKEN", "NONE"}), "supportedGrantTypes": raw([]string{"AUTHORIZATION_CODE", "IMPLICIT", "PASSWORD"})},
		"one method":         {"supportedTokenAuthMethods": raw([]string{"PRIVATE_KEY_JWT"}), "supportedDisplays": raw([]string{"PAGE"})},
		"for client secrets": {"supportedTokenAuthMethods": raw([]string{"CLIENT_SECRET_BASIC", "CLIENT_SECRET_JWT", "NONE"})},
		"plain OAuth":        with(everyFlow, "supportedScopes", []model.Scope{{Name: "profile"}, {Name: "orders:read"}}),
		"signed requests":    {"requestObjectRequired": raw(true)},
		"without iss":        {"issSuppressed": raw(true)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tryDiscovery(t, settings)
		})
	}
}

func tryDiscovery(t *testing.T, settings model.Settings) {
	clients := requesters()
	clients["any"] = with(anyFlow["any"], "jwks", jwksOf(), "requestSignAlg", "ES256")
	own := model.Settings{"grantTypes": raw([]string{"CLIENT_CREDENTIALS", "PASSWORD"})}
	clients["by-client_secret_basic"] = with(own, "clientSecret", longSecret)
	clients["by-client_secret_post"] = with(own, "clientSecret", longSecret, "tokenAuthMethod", "CLIENT_SECRET_POST")
	clients["by-client_secret_jwt"] = with(own, "clientSecret", longSecret, "tokenAuthMethod", "CLIENT_SECRET_JWT")
	clients["by-private_key_jwt"] = with(own, "jwks", jwksOf(), "tokenAuthMethod", "PRIVATE_KEY_JWT")
	clients["by-none"] = model.Settings{"grantTypes": raw([]string{"PASSWORD"})}
	h := openWith(t, settings, clients)
	document := h.discovery()
	check := func(member, value string, works bool) {
		t.Helper()
		if lists(document, member, value) != works {
			t.Errorf("%s has %s: %v, but it works: %v", member, value, !works, works)
		}
	}
	// With a request object, in case that it is required.
	accepted := func(pairs ...any) bool {
		claims := object("any", append([]any{"scope", "openid profile"}, pairs...)...)
		return h.authorize("client_id=any&request="+signedBy("ES256", claims)).Ticket != ""
	}
	types, _ := document["response_types_supported"].([]any)
	for text := range responseTypes {
		check("response_types_supported", text, accepted("response_type", text))
	}
	for _, display := range []string{"page", "popup", "touch", "wap"} {
		if len(types) > 0 && h.service.OpenID() {
			check("display_values_supported", display, accepted("response_type", types[0], "display", display))
		}
	}
	if h.service.SupportsResponse(model.ResponseCode) {
		check("code_challenge_methods_supported", "S256", accepted())
		check("code_challenge_methods_supported", "plain", accepted("code_challenge_method", "plain"))
		for _, alg := range append([]string{"none"}, signing...) {
			works := h.authorize("client_id=jar-"+alg+"&request="+signedBy(alg, object("jar-"+alg, "scope", "profile"))).Ticket != ""
			check("request_object_signing_alg_values_supported", alg, works)
		}
		resp := h.issue(h.authorize("client_id=any&request=" + signedBy("ES256", object("any", "scope", "profile"))).Ticket)
		says := document["authorization_response_iss_parameter_supported"] == true
		if got := h.read(resp.Action, resp.ResponseContent); got.Has("iss") != says {
			t.Errorf("iss in the answer: %v, the document says %v", got.Has("iss"), says)
		}
	}
	for _, grant := range []string{"authorization_code", "refresh_token", "client_credentials", "password"} {
		var code string
		if parameters, credentials := h.as("any", "grant_type", grant); h.service.Supports(model.GrantType(grant)) || slices.Contains(h.service.SupportedTokenAuthMethods, model.AuthClientSecretBasic) {
			code = errorCode(h.direct(parameters, credentials).ResponseContent)
		}
		if slices.Contains(h.service.SupportedTokenAuthMethods, model.AuthClientSecretBasic) {
			check("grant_types_supported", grant, code != "unsupported_grant_type")
		}
	}
	for method, authenticate := range map[string]func(client string) *engine.TokenResponse{
		"client_secret_basic": func(client string) *engine.TokenResponse { return h.token(client, "grant_type", "x") },
		"client_secret_post": func(client string) *engine.TokenResponse {
			return h.token(client, "grant_type", "x", "client_secret", longSecret)
		},
		"client_secret_jwt": func(client string) *engine.TokenResponse {
			return h.present(signedBy("HS256", h.assertion(client)), "grant_type", "x")
		},
		"private_key_jwt": func(client string) *engine.TokenResponse {
			return h.present(signedBy("ES256", h.assertion(client)), "grant_type", "x")
		},
		"none": func(client string) *engine.TokenResponse { return h.token(client, "grant_type", "x") },
	} {
		check("token_endpoint_auth_methods_supported", method, authenticate("by-"+method).Action != model.ActionInvalidClient)
	}
}
