package engine_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// thumbprint is a certificate's x5t#S256 (RFC 8705 §3.1).
func thumbprint(s engine.Sender) string {
	sum := sha256.Sum256(s.ClientCertificate)
	return b64.EncodeToString(sum[:])
}

// RFC 8705 §3: the access tokens of clients that are registered for it are bound
// to their certificates, at each grant type, and without one there are none;
// those of others are not, whatever certificate there is.
func TestCertificateBindsAccessTokens(t *testing.T) {
	t.Parallel()
	for format, alg := range formats {
		t.Run(format, func(t *testing.T) {
			h := openSenders(t, alg)
			a := certified("a")
			x5t := thumbprint(a)
			for _, client := range []string{"cert", "certweb"} {
				code := h.code(client)
				h.wantError(h.redeem(client, code), "invalid_request")
				h.wantError(h.from(h.holder(dpoptest.NewKey(t, "ES256")), client, redeemWith(code)...), "invalid_request")
				tokens := h.from(a, client, redeemWith(code)...)
				h.wantBound(tokens, "", x5t)
				h.wantBound(h.from(a, client, refreshWith(tokens.RefreshToken)...), "", x5t)
			}
			h.wantBound(h.from(a, "certown", "grant_type", "client_credentials", "scope", "orders:read"), "", x5t)
			h.wantBound(h.tokensFrom(a, "spa"), "", "")
			h.wantBound(h.passwordFrom(a, "any"), "", "")
		})
	}
	off := openSenders(t, "", "tlsClientCertificateBoundAccessTokens", false)
	off.wantError(off.from(certified("a"), "cert", redeemWith(off.code("cert"))...), "unauthorized_client")
}

// RFC 8705 §7.1: a public client's refresh token is bound to the certificate
// too, others' to their credentials.
func TestCertificateBindsRefreshTokens(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "")
	a, b := certified("a"), certified("b")
	public := h.tokensFrom(a, "cert").RefreshToken
	h.wantError(h.from(b, "cert", refreshWith(public)...), "invalid_grant")
	h.wantError(h.refresh("cert", public), "invalid_request")
	again := h.from(a, "cert", refreshWith(public)...)
	h.wantBound(again, "", thumbprint(a))
	if again.RefreshToken != public {
		t.Error("a bound refresh token was replaced")
	}
	confidential := h.tokensFrom(a, "certweb").RefreshToken
	h.wantBound(h.from(b, "certweb", refreshWith(confidential)...), "", thumbprint(b))
}

// A token may be bound to a key and to a certificate; then it takes both.
func TestBoundToKeyAndCertificate(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "ES256")
	k := dpoptest.NewKey(t, "ES256")
	both := func() engine.Sender {
		s := h.holder(k)
		s.ClientCertificate = certified("a").ClientCertificate
		return s
	}
	tokens := h.tokensFrom(both(), "cert")
	h.wantBound(tokens, k.Thumbprint(t), thumbprint(certified("a")))
	h.wantError(h.from(certified("a"), "cert", refreshWith(tokens.RefreshToken)...), "invalid_grant")
	h.wantBound(h.from(both(), "cert", refreshWith(tokens.RefreshToken)...), k.Thumbprint(t), thumbprint(certified("a")))
}

// threats.md 17 (CVE-2024-49755): what a token is bound to holds at the userinfo
// endpoint: no downgrade to Bearer (RFC 9449 §7.2), no other key, certificate,
// token, method or address, no proof used before; and a plain token is no more
// under the DPoP scheme.
func TestThreat17UserInfo(t *testing.T) {
	t.Parallel()
	for format, alg := range formats {
		h := openSenders(t, alg)
		k, thief := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
		a, holder := certified("a"), h.holder(k)
		holder.ClientCertificate = a.ClientCertificate
		plain, byKey := h.tokens("spa").AccessToken, h.tokensFrom(h.holder(k), "spa").AccessToken
		byCert, byBoth := h.tokensFrom(a, "cert").AccessToken, h.tokensFrom(holder, "cert").AccessToken
		proof := func(by *dpoptest.Key, token string, changes dpoptest.Members) engine.Sender {
			s := h.atUserInfo(by, token, changes)
			s.ClientCertificate = a.ClientCertificate
			return s
		}
		once := proof(k, byKey, nil)
		for _, c := range []struct {
			name, scheme, token string
			sender              engine.Sender
			code                string
		}{
			{"plain", "Bearer", plain, engine.Sender{HTM: "GET"}, ""},
			{"plain with a proof and a certificate", "Bearer", plain, proof(k, plain, nil), ""},
			{"plain as DPoP", "DPoP", plain, proof(k, plain, nil), "invalid_token"},
			{"key", "DPoP", byKey, once, ""},
			{"key, the same proof again", "DPoP", byKey, once, "invalid_dpop_proof"},
			{"key, by POST", "DPoP", byKey, engine.Sender{DPoP: proof(k, byKey, dpoptest.Members{"htm": "POST"}).DPoP, HTM: "POST"}, ""},
			{"key, downgrade", "Bearer", byKey, engine.Sender{HTM: "GET"}, "invalid_token"},
			{"key, downgrade with a proof", "Bearer", byKey, proof(k, byKey, nil), "invalid_token"},
			{"key, no proof", "DPoP", byKey, engine.Sender{HTM: "GET"}, "invalid_dpop_proof"},
			{"key, two proofs", "DPoP", byKey, engine.Sender{HTM: "GET", DPoP: append(proof(k, byKey, nil).DPoP, proof(k, byKey, nil).DPoP...)}, "invalid_dpop_proof"},
			{"key, another's", "DPoP", byKey, proof(thief, byKey, nil), "invalid_token"},
			{"key, another token's proof", "DPoP", byKey, proof(k, plain, nil), "invalid_dpop_proof"},
			{"key, a token request's proof", "DPoP", byKey, proof(k, byKey, dpoptest.Members{"ath": nil}), "invalid_dpop_proof"},
			{"key, another method's", "DPoP", byKey, proof(k, byKey, dpoptest.Members{"htm": "POST"}), "invalid_dpop_proof"},
			{"key, another address's", "DPoP", byKey, proof(k, byKey, dpoptest.Members{"htu": "https://api.example.com/userinfo"}), "invalid_dpop_proof"},
			{"key, old", "DPoP", byKey, proof(k, byKey, dpoptest.Members{"iat": h.clock().Unix() - 100}), "invalid_dpop_proof"},
			{"certificate", "Bearer", byCert, a, ""},
			{"certificate, none", "Bearer", byCert, engine.Sender{HTM: "GET"}, "invalid_token"},
			{"certificate, another's", "Bearer", byCert, certified("b"), "invalid_token"},
			{"certificate, as DPoP", "DPoP", byCert, proof(k, byCert, nil), "invalid_token"},
			{"both", "DPoP", byBoth, proof(k, byBoth, nil), ""},
			{"both, key alone", "DPoP", byBoth, h.atUserInfo(k, byBoth, nil), "invalid_token"},
			{"both, certificate alone", "Bearer", byBoth, a, "invalid_token"},
			{"both, certificate and another's key", "DPoP", byBoth, proof(thief, byBoth, nil), "invalid_token"},
			{"unknown", "DPoP", "x", proof(k, "x", nil), "invalid_token"},
		} {
			t.Run(format+" "+c.name, func(t *testing.T) {
				resp := h.on(t).userInfoFrom(c.sender, c.scheme, c.token)
				if c.code == "" {
					if resp.Action != model.ActionOK || resp.Subject != "alice" || resp.ResponseContent != "" {
						t.Errorf("%+v", resp)
					}
					return
				}
				mine, other := `DPoP error="`+c.code+`"`, `, Bearer`
				if c.scheme == "Bearer" {
					mine, other = `Bearer error="`+c.code+`"`, `, DPoP algs="ES256 Ed25519 EdDSA PS256"`
				}
				if resp.Action != model.ActionUnauthorized || resp.Subject != "" || !strings.HasPrefix(resp.ResponseContent, mine) ||
					!strings.HasSuffix(resp.ResponseContent, other) || strings.Count(resp.ResponseContent, "algs=") != 1 {
					t.Errorf("%s %q, want %q … %q", resp.Action, resp.ResponseContent, mine, other)
				}
			})
		}
	}
}

// RFC 9449 §9: the userinfo endpoint demands the same nonces; what is judged
// before that, the scope's error after.
func TestUserInfoNonce(t *testing.T) {
	t.Parallel()
	h := openSenders(t, "", "dpopNonceRequired", true)
	k := dpoptest.NewKey(t, "ES256")
	nonce := h.from(h.holder(k), "spa", redeemWith("x")...).DPoPNonce
	at := func(members dpoptest.Members) engine.Sender {
		return engine.Sender{DPoP: []string{h.proof(k, members)}, HTM: "POST"}
	}
	tokens := h.tokensFrom(at(dpoptest.Members{"nonce": nonce}), "spa")
	narrow := h.from(at(dpoptest.Members{"nonce": nonce}), "spa", append(refreshWith(tokens.RefreshToken), "scope", "orders:read")...).AccessToken
	for _, c := range []struct {
		nonce  any
		action model.Action
		code   string
	}{
		{nil, model.ActionUnauthorized, `error="use_dpop_nonce"`},
		{"guess", model.ActionUnauthorized, `error="use_dpop_nonce"`},
		{nonce, model.ActionForbidden, `error="insufficient_scope"`},
	} {
		resp := h.userInfoFrom(h.atUserInfo(k, narrow, dpoptest.Members{"nonce": c.nonce}), "DPoP", narrow)
		if resp.Action != c.action || !strings.HasPrefix(resp.ResponseContent, "DPoP "+c.code) || resp.DPoPNonce != nonce {
			t.Errorf("%v: %+v", c.nonce, resp)
		}
	}
	whole := h.from(at(dpoptest.Members{"nonce": nonce}), "spa", refreshWith(tokens.RefreshToken)...).AccessToken
	if resp := h.userInfoFrom(h.atUserInfo(k, whole, dpoptest.Members{"nonce": nonce}), "DPoP", whole); resp.Action != model.ActionOK || resp.DPoPNonce != nonce {
		t.Errorf("%+v", resp)
	}
}

// Nobody but the engine says what a token is bound to: a property of that name is
// left out, and a client's own tokens do not inherit each other's keys.
func TestConfirmationIsTheEngines(t *testing.T) {
	t.Parallel()
	for _, alg := range formats {
		h := openSenders(t, alg)
		forged := []model.Property{{Key: "cnf", Value: `{"jkt":"x"}`}}
		parameters, credentials := h.as("service", "grant_type", "client_credentials", "scope", "orders:read")
		resp, err := h.engine.Token(t.Context(), h.service.ID, engine.TokenRequest{Parameters: parameters, Basic: credentials, Properties: forged})
		if err != nil {
			t.Fatal(err)
		}
		h.wantBound(resp, "", "")
		if strings.Contains(resp.ResponseContent, `"cnf"`) {
			t.Errorf("the answer has a cnf: %s", resp.ResponseContent)
		}
		k, other := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
		for _, holder := range []*dpoptest.Key{k, other, k} {
			own := h.from(h.holder(holder), "service", "grant_type", "client_credentials", "scope", "orders:read")
			h.wantBound(own, holder.Thumbprint(t), "")
		}
		h.wantBound(h.own("service", "orders:read"), "", "")
	}
}
