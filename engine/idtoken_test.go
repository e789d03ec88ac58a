package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// halfHash is at_hash, c_hash and s_hash by OpenID Connect Core §3.1.3.6: of
// SHA-512 for EdDSA (RFC 8032 §5.1 hashes so), of SHA-256 for none.
func halfHash(alg, value string) string {
	if alg == "EdDSA" {
		alg = "ES512"
	}
	sum := digest(alg, []byte(value))
	return b64.EncodeToString(sum[:len(sum)/2])
}

// OpenID Connect Core §2, §3.1.3.6, §3.2.2.10, §3.3.2.11, §10.1; RFC 7518 §3.1;
// RFC 8812 §3.2; Financial-grade API Security Profile 1.0 part 2 §5.1: ID tokens
// by each algorithm, with the hashes of what they come with.
func TestIDTokenAlgorithms(t *testing.T) {
	t.Parallel()
	clients := map[string]model.Settings{}
	for _, alg := range signing {
		clients["id-"+alg] = with(anyFlow["any"], "idTokenSignAlg", alg)
	}
	h := openWith(t, everyFlow, clients)
	for _, alg := range signing {
		t.Run(alg, func(t *testing.T) {
			h, client := h.on(t), "id-"+alg
			got := h.consented(request(client, "response_type", "code id_token token"))
			tokens := h.redeem(client, got.Get("code"))
			h.want(tokens, model.ActionOK)
			now := float64(h.clock().Unix())
			common := map[string]any{
				"iss": issuer, "sub": "alice", "aud": client, "azp": client, "iat": now, "exp": now + 3600, "nonce": "n", "amr": []any{"pwd"},
			}
			first := h.verified(got.Get("id_token"), longSecret)
			want := changed(common, "at_hash", halfHash(alg, got.Get("access_token")))
			want["c_hash"], want["s_hash"] = halfHash(alg, got.Get("code")), halfHash(alg, "s")
			if diff := cmp.Diff(want, first.claims); diff != "" {
				t.Errorf("from the authorization endpoint: %s", diff)
			}
			second := h.verified(tokens.IDToken, longSecret)
			if diff := cmp.Diff(changed(common, "at_hash", halfHash(alg, tokens.AccessToken)), second.claims); diff != "" {
				t.Errorf("from the token endpoint: %s", diff)
			}
			if first.header["alg"] != alg || second.header["alg"] != alg || second.header["typ"] != "JWT" {
				t.Errorf("headers %v %v", first.header, second.header)
			}
			alone := h.verified(h.consented(request(client, "response_type", "id_token")).Get("id_token"), longSecret)
			if diff := cmp.Diff(changed(common, "s_hash", halfHash(alg, "s")), alone.claims); diff != "" {
				t.Errorf("alone: %s", diff)
			}
		})
	}
	// Discovery names what works, and nothing else.
	want := []any{"none"}
	for _, alg := range slices.Concat(model.AsymmetricAlgs, model.SymmetricAlgs) {
		want = append(want, string(alg))
	}
	if diff := cmp.Diff(want, h.discovery()["id_token_signing_alg_values_supported"]); diff != "" {
		t.Error(diff)
	}
}

// OpenID Connect Core §2, Dynamic Client Registration §2: none is for those who
// asked for it, and in the code flow alone.
func TestIDTokenUnsigned(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, map[string]model.Settings{"unsigned": {"clientSecret": raw(longSecret), "idTokenSignAlg": raw("NONE")}})
	tokens := h.tokens("unsigned")
	got := h.verified(tokens.IDToken, "")
	if got.header["alg"] != "none" || got.header["kid"] != nil || got.claims["at_hash"] != halfHash("none", tokens.AccessToken) || got.claims["sub"] != "alice" {
		t.Errorf("%v %v", got.header, got.claims)
	}
	_, err := model.NewClient("x", with(anyFlow["any"], "idTokenSignAlg", "NONE"))
	if err == nil {
		t.Error("a client of the implicit flow may be registered for none")
	}
}

// decrypted opens a JWE with a client key or secret, and returns its header too.
func decrypted(t testing.TB, token string, alg model.EncAlg, key any) (jwe.Headers, string) {
	t.Helper()
	message, err := jwe.Parse([]byte(token))
	if err != nil {
		t.Fatalf("%v: %s", err, token)
	}
	content, err := jwe.Decrypt([]byte(token), jwe.WithKey(jwa.KeyEncryptionAlgorithm(alg), key))
	if err != nil {
		t.Fatalf("%s: %v", alg, err)
	}
	return message.ProtectedHeaders(), string(content)
}

// openerOf is the private key of a client for an encryption, and its id.
func openerOf(alg model.EncAlg, enc model.ContentEnc) (kid string, key any) {
	switch {
	case alg.RSA():
		return "rsa", clientKeys()["rsa"]
	case alg.EC():
		return "p256", clientKeys()["p256"]
	default:
		return "", secretKey(alg, enc)
	}
}

// OpenID Connect Core §2, §10.2; RFC 7518 §4.1, §5.1; RFC 7519 §5.2, §11.2: ID
// tokens that are signed and then encrypted, by every pair of algorithms.
func TestIDTokenEncryption(t *testing.T) {
	t.Parallel()
	clients := map[string]model.Settings{}
	name := func(alg model.EncAlg, enc model.ContentEnc) string {
		return strings.ReplaceAll(string(alg)+"_"+string(enc), "+", "_")
	}
	for _, alg := range model.EncAlgs {
		for _, enc := range model.ContentEncs {
			clients[name(alg, enc)] = with(anyFlow["any"], "jwks", jwksOf("ed25519", "k256", "p256", "rsa"),
				"idTokenEncryptionAlg", apiName(string(alg)), "idTokenEncryptionEnc", apiName(string(enc)))
		}
	}
	h := openWith(t, everyFlow, clients)
	for _, alg := range model.EncAlgs {
		for _, enc := range model.ContentEncs {
			client := name(alg, enc)
			kid, key := openerOf(alg, enc)
			header, content := decrypted(t, h.consented(request(client, "response_type", "id_token")).Get("id_token"), alg, key)
			if header.Algorithm().String() != string(alg) || header.ContentEncryption().String() != string(enc) || header.ContentType() != "JWT" || header.KeyID() != kid {
				t.Errorf("%s: header %v", client, header)
			}
			if got := h.verified(content, ""); got.claims["sub"] != "alice" || got.claims["aud"] != client {
				t.Errorf("%s: %v", client, got.claims)
			}
		}
	}
}

// RFC 7517 §4.2, §4.4; RFC 7518 §4.6, §6.2.1.1: what is for a client is written
// to a key of the right kind, for encryption, on any curve.
func TestIDTokenEncryptionKey(t *testing.T) {
	t.Parallel()
	set := func(keys ...publicJWK) string { return string(raw(map[string]any{"keys": keys})) }
	as := func(kid, use, alg string) publicJWK {
		k := jwkOf(kid)
		k.Use, k.Alg = use, alg
		return k
	}
	x25519, err := jwk.FromRaw(x25519Key())
	if err != nil {
		t.Fatal(err)
	}
	public, err := x25519.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	clients := map[string]model.Settings{}
	for client, jwks := range map[string]string{
		"p384": set(as("p384", "", "")), "p521": set(as("p521", "enc", "ECDH-ES")), "x25519": `{"keys":[` + string(raw(public)) + `]}`,
		"sig first": set(as("p256", "sig", ""), as("p384", "enc", "")), "other alg first": set(as("p256", "", "ECDH-ES+A128KW"), as("p384", "", "")),
		"secp256k1 first": set(as("k256", "", ""), as("p384", "", "")), "unusable first": `{"keys":[{"kty":"EC","crv":"P-999"},{"kty":"oct","k":"AAAA"},7,` + string(raw(as("p384", "", ""))) + `]}`,
	} {
		clients[strings.ReplaceAll(client, " ", "-")] = with(anyFlow["any"], "jwks", jwks, "idTokenEncryptionAlg", "ECDH_ES")
	}
	h := openWith(t, everyFlow, clients)
	for client := range clients {
		key := clientKeys()["p384"]
		switch client {
		case "p521":
			key = clientKeys()["p521"]
		case "x25519":
			key = x25519Key()
		}
		header, content := decrypted(t, h.consented(request(client, "response_type", "id_token")).Get("id_token"), "ECDH-ES", key)
		if got := h.verified(content, ""); got.claims["aud"] != client {
			t.Errorf("%s: %v %v", client, header, got.claims)
		}
	}
}

// OpenID Connect Core §2, §12.2: a refreshed ID token is about the same sign-in,
// and has no nonce.
func TestRefreshedIDToken(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	first := h.tokens("web", "claims", `{"id_token":{"email":null}}`)
	before := h.verified(first.IDToken, "").claims
	h.pass(600e9)
	second := h.refresh("web", first.RefreshToken)
	after := h.verified(second.IDToken, "").claims
	want := changed(before, "at_hash", halfHash("RS256", second.AccessToken))
	delete(want, "nonce")
	want["iat"], want["exp"] = before["iat"].(float64)+600, before["exp"].(float64)+600
	if diff := cmp.Diff(want, after); diff != "" {
		t.Error(diff)
	}
	if less := h.refresh("web", first.RefreshToken, "scope", "openid"); less.IDToken == "" {
		t.Error("a narrower refresh of an OpenID Connect grant has no ID token")
	}
}

// An authentication server cannot set what is the engine's to say.
func TestProtectedClaims(t *testing.T) {
	t.Parallel()
	names := []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "acr", "amr", "azp", "sid", "at_hash", "c_hash", "s_hash", "events"}
	h := openWith(t, with(everyFlow, "supportedClaims", append(names, "email")), anyFlow)
	supplied := map[string]json.RawMessage{"email": raw("a@example.com")}
	var asked []string
	for _, name := range names {
		supplied[name] = raw("forged")
		asked = append(asked, fmt.Sprintf("%q:null", name))
	}
	claims := `{"id_token":{"email":null,` + strings.Join(asked, ",") + `}}`
	got := h.consented(request("any", "response_type", "code id_token token", "claims", claims), supplying(supplied),
		func(r *engine.AuthorizationIssueRequest) { r.AMR = nil })
	for _, text := range []string{got.Get("id_token"), h.redeem("any", got.Get("code")).IDToken} {
		token := h.verified(text, "")
		for name, value := range token.claims {
			if value == "forged" {
				t.Errorf("%s is what the authentication server says", name)
			}
		}
		if token.claims["email"] != "a@example.com" || token.claims["nonce"] != "n" || token.claims["sub"] != "alice" {
			t.Errorf("%v", token.claims)
		}
	}
}
