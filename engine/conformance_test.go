package engine_test

import (
	"maps"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// These tests make the requests of single modules of the OpenID Foundation's
// conformance suite, by whose names they go.

// outside is what accompanies a request object: what OAuth 2.0 requires
// (OpenID Connect Core §6.1), and no state, which is inside only.
func outside(client string, pairs ...string) string {
	return request(client, append([]string{"state", "", "nonce", "", "code_challenge", "", "code_challenge_method", "", "scope", "openid email"}, pairs...)...)
}

// oidcc-request-uri-unsigned, oidcc-request-uri-signed-rs256,
// oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported: the
// registered address ends in a hash, which is not that of what is served there,
// for it was chosen before (OpenID Connect Core §6.2).
func TestConformanceRequestURI(t *testing.T) {
	h := open(t, openRegistration)
	address := requestURI + "#" + b64.EncodeToString(make([]byte, 32))
	for _, alg := range []string{"none", "RS256"} {
		metadata := map[string]any{"request_uris": []string{address}, "jwks": map[string]any{"keys": []any{jwkOf("rsa")}}}
		if alg != "none" {
			metadata["request_object_signing_alg"] = alg
		}
		client := h.enroll(metadata)["client_id"].(string)
		h.web.serve(requestURI, signedBy(alg, object(client)))
		issued := h.issue(h.wantAccepted(alg, outside(client, "request_uri", address)))
		if got := h.read(issued.Action, issued.ResponseContent); got.Get("state") != "s" || got.Get("code") == "" {
			t.Errorf("%s: %v", alg, got.Values)
		}
	}
}

// oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported,
// oidcc-ensure-request-object-with-redirect-uri: a client that is registered for
// no algorithm sends a request object that nobody has signed, whose redirect_uri
// takes the place of one that is not registered (OpenID Connect Core §6.1).
func TestConformanceUnsignedRequestObject(t *testing.T) {
	h := open(t, openRegistration)
	client := h.enroll(nil)["client_id"].(string)
	for name, pairs := range map[string][]any{"with iss and aud": nil, "without": {"iss", nil, "aud", nil, "client_id", client}} {
		token := signedBy("none", object(client, pairs...))
		for _, redirectURI := range []string{redirect, redirect + "_invalid"} {
			issued := h.issue(h.wantAccepted(name, outside(client, "request", token, "redirect_uri", redirectURI)))
			if got := h.read(issued.Action, issued.ResponseContent); got.address != redirect || got.Get("state") != "s" {
				t.Errorf("%s: %s %v", name, got.address, got.Values)
			}
		}
	}
}

// oidcc-3rd_party-init-login, oidcc-3rd_party-init-login-nohttps: where others
// start a sign-in is on https, also when all of it is on one machine (OpenID
// Connect Core §4).
func TestConformanceInitiateLoginURI(t *testing.T) {
	for _, at := range []string{issuer, "https://localhost:8140"} {
		h := openOn(t, newStore(t), declareWith(t, at, openRegistration, nil))
		metadata := map[string]any{"redirect_uris": []string{"https://localhost:8443/cb"}, "initiate_login_uri": "https://localhost:8443/login"}
		client := h.enroll(metadata)
		read := h.manage(h.engine.ClientRegistrationGet, ownRequest(client, nil), model.ActionOK)
		if want := metadata["initiate_login_uri"]; client["initiate_login_uri"] != want || read["initiate_login_uri"] != want {
			t.Errorf("%s: %v, then %v", at, client["initiate_login_uri"], read["initiate_login_uri"])
		}
		plain := maps.Clone(metadata)
		plain["initiate_login_uri"] = "http://localhost:8443/login"
		refused := h.manage(h.engine.ClientRegistration, engine.ClientRegistrationRequest{JSON: string(raw(plain))}, model.ActionBadRequest)
		if refused["error"] != "invalid_client_metadata" {
			t.Errorf("%s: %v", at, refused)
		}
	}
}
