package engine_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// RFC 9449 §5: a public client's refresh token is good for the holder of its key
// alone, and stays as it is; threats.md 2, 3, 17.
func TestDPoPRefreshTokenOfPublicClient(t *testing.T) {
	t.Parallel()
	for format, alg := range formats {
		t.Run(format, func(t *testing.T) {
			h := openSenders(t, alg)
			k, thief := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
			first := h.tokensFrom(h.holder(k), "spa")
			for name, sender := range map[string]engine.Sender{
				"no proof": {HTM: "POST"}, "another's key": h.holder(thief), "a certificate": certified("a"),
			} {
				resp := h.from(sender, "spa", refreshWith(first.RefreshToken)...)
				if errorCode(resp.ResponseContent) != "invalid_grant" || resp.AccessToken != "" {
					t.Errorf("%s: %s", name, resp.ResponseContent)
				}
			}
			h.wantBound(first, k.Thumbprint(t), "") // and still good
			for range 2 {
				again := h.from(h.holder(k), "spa", refreshWith(first.RefreshToken)...)
				h.wantBound(again, k.Thumbprint(t), "")
				if again.RefreshToken != first.RefreshToken || h.usable(first.AccessToken) {
					t.Error("a bound refresh token was replaced, or the access token before lives on")
				}
			}
			if cnf := h.introspectedBy("service", first.RefreshToken)["cnf"]; cnf != nil {
				t.Errorf("the refresh token is said to be an access token of %v", cnf)
			}
		})
	}
}

// RFC 9449 §5: other clients' refresh tokens are bound to their credentials; the
// key may change from one access token to the next.
func TestDPoPRefreshTokenOfConfidentialClient(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "")
	k, next := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "EdDSA")
	tokens := h.tokensFrom(h.holder(k), "web")
	h.wantBound(h.from(h.holder(next), "web", refreshWith(tokens.RefreshToken)...), next.Thumbprint(t), "")
	h.wantBound(h.refresh("web", tokens.RefreshToken), "", "")
	h.wantBound(h.from(h.holder(k), "web", refreshWith(tokens.RefreshToken)...), k.Thumbprint(t), "")
}

// A public client that begins to make proofs gets a refresh token that is bound
// from then on.
func TestDPoPRefreshTokenBecomesBound(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "")
	k := dpoptest.NewKey(t, "ES256")
	plain := h.tokens("spa")
	bound := h.from(h.holder(k), "spa", refreshWith(plain.RefreshToken)...)
	h.wantBound(bound, k.Thumbprint(t), "")
	if bound.RefreshToken == plain.RefreshToken {
		t.Error("one that is bound to nothing was kept")
	}
	h.wantError(h.refresh("spa", bound.RefreshToken), "invalid_grant")
	h.want(h.from(h.holder(k), "spa", refreshWith(bound.RefreshToken)...), model.ActionOK)
}

// The design's idempotent rotation, where a service replaces all refresh tokens:
// the same pair for the same key, nothing for another, and the family ends when
// the key's own holder comes with one whose successor was used.
func TestDPoPRotationIsIdempotent(t *testing.T) {
	t.Parallel()
	for format, alg := range formats {
		for _, client := range []string{"spa", "web"} {
			t.Run(format+" "+client, func(t *testing.T) {
				h := openSenders(t, alg, "refreshTokenKept", false)
				k, other := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
				first := h.tokensFrom(h.holder(k), client)
				second := h.from(h.holder(k), client, refreshWith(first.RefreshToken)...)
				h.wantBound(second, k.Thumbprint(t), "")
				h.pass(10 * time.Minute)
				for name, sender := range map[string]engine.Sender{"another key": h.holder(other), "no key": {HTM: "POST"}} {
					resp := h.from(sender, client, refreshWith(first.RefreshToken)...)
					if errorCode(resp.ResponseContent) != "invalid_grant" || strings.Contains(resp.ResponseContent, "token_type") {
						t.Errorf("%s: %s", name, resp.ResponseContent)
					}
				}
				again := h.from(h.holder(k), client, refreshWith(first.RefreshToken)...)
				h.wantBound(again, k.Thumbprint(t), "")
				if again.AccessToken != second.AccessToken || again.RefreshToken != second.RefreshToken {
					t.Error("another pair was given to the same key")
				}
				third := h.from(h.holder(k), client, refreshWith(second.RefreshToken)...)
				h.wantBound(third, k.Thumbprint(t), "")
				h.wantError(h.from(h.holder(k), client, refreshWith(first.RefreshToken)...), "invalid_grant")
				if h.usable(third.AccessToken) || h.seen(model.EventReuseDetected) != 1 {
					t.Error("reuse did not end the family")
				}
			})
		}
	}
}

// A lost answer costs nothing, even when the access token in it has ended: what
// is given again is bound to the key that it was bound to, and good for nothing.
func TestDPoPRepeatAfterAccessTokenExpired(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "", "refreshTokenKept", false, "accessTokenDuration", 60)
	k := dpoptest.NewKey(t, "ES256")
	first := h.tokensFrom(h.holder(k), "spa")
	second := h.from(h.holder(k), "spa", refreshWith(first.RefreshToken)...)
	h.pass(2 * time.Minute)
	h.sweep()
	h.wantError(h.from(h.holder(dpoptest.NewKey(t, "ES256")), "spa", refreshWith(first.RefreshToken)...), "invalid_grant")
	again := h.from(h.holder(k), "spa", refreshWith(first.RefreshToken)...)
	h.want(again, model.ActionOK)
	if again.RefreshToken != second.RefreshToken || h.usable(again.AccessToken) || !strings.Contains(again.ResponseContent, `"token_type":"DPoP"`) {
		t.Errorf("%+v", again)
	}
}

// threats.md 2, 17: one refresh token by many requests at once, each with a proof
// of its own, yields one successor to the key's holder, and nothing to another.
func TestThreat02OneSuccessorForTheKey(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "", "refreshTokenKept", false)
	k, thief := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
	for _, n := range []int{2, 16, 64} {
		first := h.tokensFrom(h.holder(k), "spa")
		var mu sync.Mutex
		successors, stolen := map[string]bool{}, 0
		together(n, func(i int) {
			by := []*dpoptest.Key{k, thief}[i%2]
			resp := h.from(h.holder(by), "spa", refreshWith(first.RefreshToken)...)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case by == k && resp.Action == model.ActionOK:
				successors[resp.RefreshToken+resp.AccessToken] = true
			case by == thief && errorCode(resp.ResponseContent) != "invalid_grant":
				stolen++
			}
		})
		if len(successors) != 1 || stolen > 0 {
			t.Errorf("%d at once: %d pairs, %d stolen", n, len(successors), stolen)
		}
	}
}

// RFC 9449 §5.2: a client that always uses DPoP gets nothing without a proof, at
// any grant type, and no token from the authorization endpoint.
func TestDPoPRequired(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "")
	k := dpoptest.NewKey(t, "ES256")
	code := h.code("bound")
	for _, sender := range []engine.Sender{{HTM: "POST"}, certified("a")} {
		h.wantError(h.from(sender, "bound", redeemWith(code)...), "invalid_dpop_proof")
		h.wantError(h.from(sender, "boundown", "grant_type", "client_credentials", "scope", "orders:read"), "invalid_dpop_proof")
	}
	tokens := h.from(h.holder(k), "bound", redeemWith(code)...)
	h.wantBound(tokens, k.Thumbprint(t), "")
	h.wantError(h.from(engine.Sender{HTM: "POST"}, "bound", refreshWith(tokens.RefreshToken)...), "invalid_dpop_proof")
	for _, setting := range []string{"dpopRequired", "tlsClientCertificateBoundAccessTokens"} {
		if _, err := model.NewClient("front", with(anyFlow["any"], setting, true)); err == nil || !strings.Contains(err.Error(), "token") {
			t.Errorf("%s and a token from the authorization endpoint: %v", setting, err)
		}
	}
}

// RFC 9449 §5.2, RFC 8705 §3.4: clients register for what they will always do.
func TestSenderConstraintRegistration(t *testing.T) {
	t.Parallel()
	k := dpoptest.NewKey(t, "ES256")
	for _, certificates := range []bool{true, false} {
		h := open(t, with(openRegistration, "tlsClientCertificateBoundAccessTokens", certificates))
		client := h.enroll(map[string]any{"dpop_bound_access_tokens": true, "token_endpoint_auth_method": "none"})
		if client["dpop_bound_access_tokens"] != true || client["tls_client_certificate_bound_access_tokens"] != nil {
			t.Errorf("registered: %v", client)
		}
		alias := client["client_id"].(string)
		code := h.code(alias)
		h.wantError(h.redeem(alias, code), "invalid_dpop_proof")
		h.wantBound(h.from(h.holder(k), alias, redeemWith(code)...), k.Thumbprint(t), "")

		metadata := `{"redirect_uris":["` + redirect + `"],"tls_client_certificate_bound_access_tokens":true}`
		resp, err := h.engine.ClientRegistration(t.Context(), h.service.ID, engine.ClientRegistrationRequest{JSON: metadata})
		if err != nil || (resp.Action == model.ActionCreated) != certificates {
			t.Errorf("a service that binds to certificates, %v: %v %v", certificates, resp, err)
		}
		if document := h.discovery(); (document["tls_client_certificate_bound_access_tokens"] == true) != certificates || // RFC 8705 §3.3
			!lists(document, "dpop_signing_alg_values_supported", "ES256") || lists(document, "dpop_signing_alg_values_supported", "none") { // RFC 9449 §5.1
			t.Errorf("discovery: %v", document)
		}
	}
}

// What discovery lists is what proofs may be signed with, and nothing else.
func TestDPoPAlgorithms(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "")
	document := h.discovery()
	for _, alg := range []string{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "PS384", "RS256"} {
		resp := h.from(h.holder(dpoptest.NewKey(t, alg)), "service", "grant_type", "client_credentials", "scope", "orders:read")
		if (resp.Action == model.ActionOK) != lists(document, "dpop_signing_alg_values_supported", alg) {
			t.Errorf("%s: %s", alg, resp.ResponseContent)
		}
	}
}
