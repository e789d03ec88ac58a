package engine_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	clientJWKSURI = "https://app.example.com/jwks"
)

// asserters are clients that authenticate with a JWT: by any algorithm of the
// method, and one for each algorithm that may be registered.
func asserters() map[string]model.Settings {
	own := model.Settings{"grantTypes": raw([]string{"CLIENT_CREDENTIALS"})}
	secret := with(own, "clientSecret", longSecret, "tokenAuthMethod", "CLIENT_SECRET_JWT")
	keys := with(own, "jwks", jwksOf(), "tokenAuthMethod", "PRIVATE_KEY_JWT")
	clients := map[string]model.Settings{
		"secret": secret, "keys": keys, "both": with(keys, "clientSecret", longSecret),
		"elsewhere": with(own, "jwksUri", clientJWKSURI, "tokenAuthMethod", "PRIVATE_KEY_JWT"),
	}
	for _, alg := range model.SymmetricAlgs {
		clients["by-"+string(alg)] = with(secret, "tokenAuthSignAlg", alg)
	}
	for _, alg := range model.AsymmetricAlgs {
		clients["by-"+string(alg)] = with(keys, "tokenAuthSignAlg", alg)
	}
	return clients
}

var drawnJTIs atomic.Int64

// assertion is a client assertion that is in order; pairs change it, and nil
// takes a member away.
func (h *house) assertion(client string, pairs ...any) map[string]any {
	now := h.clock().Unix()
	claims := map[string]any{
		"iss": client, "sub": client, "aud": issuer, "iat": now, "exp": now + 60, "jti": fmt.Sprint("jti-", drawnJTIs.Add(1)),
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(claims, pairs[i].(string))
		} else {
			claims[pairs[i].(string)] = pairs[i+1]
		}
	}
	return claims
}

// asserted is a token request with a client assertion.
func asserted(assertion string, pairs ...string) string {
	v := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {assertion}}
	return change(v, pairs)
}

// present presents a client assertion at the token endpoint.
func (h *house) present(assertion string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	return h.direct(asserted(assertion, pairs...), engine.ClientCredentials{})
}

// OpenID Connect Core §9, RFC 7523 §3 (9); threats.md 13: a client's assertion
// is signed by the algorithm that it is registered for, or by any of its method.
func TestClientAssertionAlgorithms(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, asserters())
	for _, client := range append([]string{"secret", "keys"}, prefixed("by-", signing)...) {
		registered := strings.TrimPrefix(client, "by-")
		for _, alg := range append([]string{"none"}, signing...) {
			resp := h.present(signedBy(alg, h.assertion(client)))
			good := alg == registered || client == "secret" && model.SignAlg(alg).Symmetric() || client == "keys" && model.SignAlg(alg).Asymmetric()
			if good {
				h.want(resp, model.ActionOK)
			} else if resp.Action != model.ActionInvalidClient {
				t.Errorf("%s by %s: %s %s", client, alg, resp.Action, resp.ResponseContent)
			}
		}
	}
}

func prefixed(prefix string, list []string) (all []string) {
	for _, s := range list {
		all = append(all, prefix+s)
	}
	return all
}

// RFC 7523 §3 (1 to 8), OpenID Connect Core §9; threats.md 12: what an assertion
// must say, and what must hold of it.
func TestThreat12ClientAssertionClaims(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, asserters())
	now := h.clock().Unix()
	for _, c := range []struct {
		name  string
		pairs []any
		ok    bool
	}{
		{"§3 (1) no iss", []any{"iss", nil}, false},
		{"§3 (1) another iss", []any{"iss", "secret"}, false},
		{"§3 (2) no sub", []any{"sub", nil}, false},
		{"§3 (2) another sub", []any{"sub", "secret"}, false},
		{"unknown client", []any{"iss", "nobody", "sub", "nobody"}, false},
		{"iss is a list", []any{"iss", []string{"keys"}}, false},
		{"§3 (3) no aud", []any{"aud", nil}, false},
		{"§3 (3) aud is empty", []any{"aud", []string{}}, false},
		{"§3 (3) another server", []any{"aud", "https://other.example.com"}, false},
		{"§3 (3) nearly the issuer", []any{"aud", issuer + "/"}, false},
		{"§3 (3) the issuer", []any{"aud", issuer}, true},
		{"§3 (3) one of several", []any{"aud", []string{"https://other.example.com", issuer}}, true},
		{"§3 (3) the token endpoint", []any{"aud", issuer + "/token"}, true},
		{"§3 (3) another endpoint", []any{"aud", issuer + "/userinfo"}, false},
		{"§3 (4) no exp", []any{"exp", nil}, false},
		{"§3 (4) expired", []any{"exp", now - 11}, false},
		{"§3 (4) expired within the skew", []any{"exp", now - 9}, true},
		{"§3 (4) exp is text", []any{"exp", "4102444800"}, false},
		{"§3 (4) exp is negative", []any{"exp", -1}, false},
		{"§3 (4) exp is far ahead", []any{"exp", now + 60*60 + 11}, false},
		{"§3 (4) exp is an hour ahead", []any{"exp", now + 60*60}, true},
		{"§3 (4) exp has a fraction (RFC 7519 §2)", []any{"exp", float64(now) + 60.5}, true},
		{"§3 (5) nbf is ahead", []any{"nbf", now + 11}, false},
		{"§3 (5) nbf within the skew", []any{"nbf", now + 9}, true},
		{"§3 (5) nbf is text", []any{"nbf", "1"}, false},
		{"§3 (6) no iat", []any{"iat", nil}, false},
		{"§3 (6) iat is ahead", []any{"iat", now + 11}, false},
		{"§3 (7) no jti (OpenID Connect Core §9)", []any{"jti", nil}, false},
		{"§3 (7) jti is empty", []any{"jti", ""}, false},
		{"§3 (7) jti is a number", []any{"jti", 7}, false},
		{"§3 (7) jti is endless", []any{"jti", strings.Repeat("j", 513)}, false},
		{"§3 (8) unknown claims", []any{"hello", "world", "ISS", "nobody", "Sub", "nobody"}, true},
		{"claims in capitals are others", []any{"exp", nil, "EXP", now + 60}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := h.on(t).present(signedBy("ES256", h.assertion("keys", c.pairs...)))
			if (resp.Action == model.ActionOK) != c.ok || !c.ok && errorCode(resp.ResponseContent) != "invalid_client" {
				t.Errorf("%s %s", resp.Action, resp.ResponseContent)
			}
		})
	}
}

// RFC 7521 §4.2, RFC 7523 §2.2, RFC 6749 §2.3: how an assertion is presented.
func TestClientAssertionRequest(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, asserters())
	for name, c := range map[string]struct {
		pairs []string
		basic engine.ClientCredentials
		code  string
	}{
		"alone":                       {nil, engine.ClientCredentials{}, ""},
		"with the client_id":          {[]string{"client_id", "both"}, engine.ClientCredentials{}, ""},
		"with another client_id":      {[]string{"client_id", "keys"}, engine.ClientCredentials{}, "invalid_request"},
		"with a secret":               {[]string{"client_secret", longSecret}, engine.ClientCredentials{}, "invalid_request"},
		"with basic":                  {nil, engine.ClientCredentials{ClientID: "both", ClientSecret: longSecret, Present: true}, "invalid_request"},
		"no client_assertion_type":    {[]string{"client_assertion_type", ""}, engine.ClientCredentials{}, "invalid_client"},
		"wrong client_assertion_type": {[]string{"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, engine.ClientCredentials{}, "invalid_client"},
		"no client_assertion":         {[]string{"client_assertion", ""}, engine.ClientCredentials{}, "invalid_client"},
		"the secret instead":          {[]string{"client_assertion", "", "client_assertion_type", "", "client_id", "both", "client_secret", longSecret}, engine.ClientCredentials{}, "invalid_client"},
		"nothing instead":             {[]string{"client_assertion", "", "client_assertion_type", "", "client_id", "both"}, engine.ClientCredentials{}, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := h.on(t).direct(asserted(signedBy("RS256", h.assertion("both")), c.pairs...), c.basic)
			if errorCode(resp.ResponseContent) != c.code || (resp.Action == model.ActionOK) != (c.code == "") {
				t.Errorf("%s %s", resp.Action, resp.ResponseContent)
			}
		})
	}
	// RFC 6749 §5.2; threats.md 30, 34: every failure is told in the same words.
	words := map[string]bool{}
	for _, assertion := range []string{
		"x", signedBy("ES256", h.assertion("nobody")), signedBy("HS256", h.assertion("keys")), signedBy("ES256", h.assertion("keys", "exp", 1)),
		signedBy("ES256", h.assertion("keys", "aud", "x")), signed("ES256", clientKeys()["p256"], map[string]any{"kid": "p384"}, h.assertion("keys")),
	} {
		words[h.present(assertion).ResponseContent] = true
	}
	if len(words) != 1 {
		t.Errorf("failures differ: %v", words)
	}
}

// RFC 7523 §3 (7); threats.md 27: an assertion counts once, at whatever endpoint
// and however many present it at once.
func TestClientAssertionIsUsedOnce(t *testing.T) {
	t.Parallel()
	h := openWith(t, nil, asserters())
	beside := openOn(t, h.store, h.options.Services...) // another node
	for client, alg := range map[string]string{"keys": "ES256", "secret": "HS256"} {
		for _, n := range []int{2, 16, 64} {
			form := asserted(signedBy(alg, h.assertion(client)))
			var won atomic.Int32
			together(n, func(i int) {
				node := []*house{h, beside}[i%2]
				resp, err := node.engine.Token(context.Background(), node.service.ID, engine.TokenRequest{Parameters: form})
				if err != nil {
					t.Error(err)
				} else if resp.Action == model.ActionOK {
					won.Add(1)
				}
			})
			if won.Load() != 1 {
				t.Errorf("%s, %d at once: %d successes", client, n, won.Load())
			}
		}
	}
	t.Run("as long as it is good, and for its client alone", func(t *testing.T) {
		h := h.on(t)
		first := signedBy("ES256", h.assertion("keys", "jti", "the same", "exp", h.clock().Unix()+300))
		h.want(h.present(first), model.ActionOK)
		h.want(h.present(signedBy("HS256", h.assertion("secret", "jti", "the same"))), model.ActionOK)
		h.wantError(h.present(signedBy("ES256", h.assertion("keys", "jti", "the same"))), "invalid_client")
		h.pass(305 * time.Second) // within the skew
		h.sweep()
		h.wantError(h.present(first), "invalid_client")
		h.pass(20 * time.Second) // twice the skew: another node may be behind
		h.wantError(h.present(first), "invalid_client")
		h.want(h.present(signedBy("ES256", h.assertion("keys", "jti", "the same"))), model.ActionOK)
	})
	t.Run("a refused request spends it too", func(t *testing.T) {
		h := h.on(t)
		once := signedBy("ES256", h.assertion("keys"))
		h.wantError(h.present(once, "scope", "nothing"), "invalid_scope")
		h.wantError(h.present(once), "invalid_client")
	})
}

// OpenID Connect Core §9, RFC 7009 §2.1, RFC 7662 §2.1: the same rules hold at
// the revocation and the introspection endpoints and at the revocation stream,
// each with its own address as an audience.
func TestClientAssertionAtEachEndpoint(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		h := openWith(t, model.Settings{"clientAssertionAudRestrictedToIssuer": raw(strict)}, asserters())
		endpoints := map[string]func(form string) (model.Action, string){
			"token": func(form string) (model.Action, string) {
				resp := h.direct(form, engine.ClientCredentials{})
				return resp.Action, resp.ResponseContent
			},
			"revoke": func(form string) (model.Action, string) {
				resp, err := h.engine.Revocation(t.Context(), h.service.ID, engine.RevocationRequest{Parameters: form})
				if err != nil {
					t.Fatal(err)
				}
				return resp.Action, resp.ResponseContent
			},
			"introspect": func(form string) (model.Action, string) {
				resp, err := h.engine.StandardIntrospection(t.Context(), h.service.ID, engine.StandardIntrospectionRequest{Parameters: form})
				if err != nil {
					t.Fatal(err)
				}
				return resp.Action, resp.ResponseContent
			},
			"revocations": func(form string) (model.Action, string) {
				resp, err := h.engine.RevocationStream(t.Context(), h.service.ID, engine.RevocationStreamRequest{Parameters: form})
				if err != nil {
					t.Fatal(err)
				}
				return resp.Action, resp.ResponseContent
			},
		}
		for at, call := range endpoints {
			for aud, ok := range map[string]bool{
				issuer: true, issuer + "/" + at: !strict, issuer + "/token": !strict,
				issuer + "/revoke": !strict && at == "revoke", issuer + "/introspect": !strict && at == "introspect",
				issuer + "/revocations": !strict && at == "revocations", "https://other.example.com/" + at: false,
			} {
				once := asserted(signedBy("ES256", h.assertion("keys", "aud", aud)), "token", "x")
				if action, content := call(once); (action == model.ActionOK) != ok {
					t.Errorf("restricted %v, %s for %s: %s %s", strict, at, aud, action, content)
				}
				if action, content := call(once); action != model.ActionInvalidClient {
					t.Errorf("%s again: %s %s", at, action, content)
				}
			}
			if action, _ := call(asserted(signedBy("ES256", h.assertion("by-ES384")), "token", "x")); action != model.ActionInvalidClient {
				t.Errorf("%s takes another algorithm", at)
			}
		}
	}
}

// OpenID Connect Core §9: an endpoint takes the methods that the service allows there.
func TestClientAuthenticationMethodsByEndpoint(t *testing.T) {
	t.Parallel()
	h := openWith(t, model.Settings{"supportedTokenAuthMethods": raw([]string{"CLIENT_SECRET_BASIC", "CLIENT_SECRET_JWT"})}, asserters())
	h.want(h.own("service", "orders:read"), model.ActionOK)
	h.want(h.present(signedBy("HS256", h.assertion("secret"))), model.ActionOK)
	h.wantError(h.present(signedBy("ES256", h.assertion("keys"))), "invalid_client")
	h.wantError(h.token("post", "grant_type", "client_credentials", "client_secret", "post-secret"), "invalid_client")
	h.wantError(h.refresh("spa", "gr_x"), "invalid_client")
}

// OpenID Connect Dynamic Client Registration §3.2.1 (client_secret_expires_at):
// a secret that has expired proves nothing, whichever way it is used; keys go on.
func TestExpiredSecret(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"dynamicRegistrationSupported": raw(true)})
	soon := h.clock().Unix() + 100
	own := []string{"CLIENT_CREDENTIALS"}
	h.register("r-basic", model.Settings{"grantTypes": raw(own)}, longSecret, soon)
	h.register("r-post", model.Settings{"grantTypes": raw(own), "tokenAuthMethod": raw("CLIENT_SECRET_POST")}, longSecret, soon)
	h.register("r-secret", model.Settings{"grantTypes": raw(own), "tokenAuthMethod": raw("CLIENT_SECRET_JWT")}, longSecret, soon)
	h.register("r-keys", model.Settings{"grantTypes": raw(own), "tokenAuthMethod": raw("PRIVATE_KEY_JWT"), "jwks": raw(jwksOf())}, longSecret, soon)
	h.register("r-jar", model.Settings{"redirectUris": raw([]string{redirect}), "requestSignAlg": raw("HS256")}, longSecret, soon)
	try := map[string]func() *engine.TokenResponse{
		"r-basic": func() *engine.TokenResponse {
			return h.direct("grant_type=client_credentials", engine.ClientCredentials{ClientID: "r-basic", ClientSecret: longSecret, Present: true})
		},
		"r-post": func() *engine.TokenResponse {
			return h.token("r-post", "grant_type", "client_credentials", "client_secret", longSecret)
		},
		"r-secret": func() *engine.TokenResponse { return h.present(signedBy("HS256", h.assertion("r-secret"))) },
		"r-keys":   func() *engine.TokenResponse { return h.present(signedBy("ES256", h.assertion("r-keys"))) },
	}
	jar := request("r-jar", "request", signedBy("HS256", object("r-jar")))
	for client, call := range try {
		if resp := call(); resp.Action != model.ActionOK {
			t.Errorf("%s before: %s", client, resp.ResponseContent)
		}
	}
	h.wantAccepted("r-jar before", jar)
	h.pass(100 * time.Second)
	for client, call := range try {
		if resp := call(); (resp.Action == model.ActionOK) != (client == "r-keys") {
			t.Errorf("%s after: %s %s", client, resp.Action, resp.ResponseContent)
		}
	}
	h.wantRefusal("invalid_request_object", jar)
}
