package jwt

import (
	"strings"
	"testing"
)

// Promise 10 and threats 13, 14: no token is active but those that the issuer
// signed, to the letter, and none breaks anything.
func FuzzIntrospect(f *testing.F) {
	signed := map[string]bool{}
	var keys []object
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		s := newSigner(f, alg, alg)
		keys = append(keys, s.public(f))
		token := s.token(f)
		signed[token] = true
		f.Add(token)
		f.Add(token[:strings.LastIndexByte(token, '.')+1])
		f.Add(s.sign(f, claims().json(), object{"typ": "JWT", "kid": nil}))
	}
	f.Add(mac(keys[1].json(), object{"alg": "HS256", "kid": "RS256", "typ": "at+jwt"}))
	f.Add("e30.e30.")
	f.Add(strings.Repeat(".", 3))
	i := static(f, nil, keys...)
	f.Fuzz(func(t *testing.T, token string) {
		facts, err := i.Introspect(t.Context(), token)
		if err != nil || facts.Active != signed[token] {
			t.Errorf("%q: %+v, %v", token, facts, err)
		}
	})
}

// An issuer's key set, whatever is in it, breaks neither its reading nor the
// verification with what was read.
func FuzzKeySet(f *testing.F) {
	tokens := map[string]*token{}
	for _, alg := range []string{"ES256", "ES512", "RS256", "PS384", "EdDSA"} {
		s := newSigner(f, alg, "k")
		f.Add(jwks(s.public(f)))
		t, err := parse(s.token(f), DefaultMaxToken, new(headers))
		if err != nil {
			f.Fatal(err)
		}
		tokens[alg] = t
	}
	f.Add(jwks(toJWK(f, newSigner(f, "ES256", "k").private, "k", "ES256")))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"},{"kty":"RSA","n":"AA","e":"AA"},{"kty":"EC","crv":"P-256"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ring, err := parseKeyring(text, allAlgorithms, 10)
		if err != nil {
			return
		}
		for id, key := range ring.byID {
			if signed := tokens[id.alg]; key != nil && signed != nil {
				key.verifies(signed)
			}
		}
	})
}
