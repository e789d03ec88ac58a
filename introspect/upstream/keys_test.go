package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/x25519"
)

// TestGeneratedKeysCanBeStored: what Generate makes comes back from JSON and
// signs (RFC 7517 §5); its kid is its thumbprint (RFC 7638).
func TestGeneratedKeysCanBeStored(t *testing.T) {
	for _, alg := range append(algorithms, "") {
		t.Run("alg "+alg.String(), func(t *testing.T) {
			key := generate(t, alg)
			text, err := json.Marshal(setOf(t, key))
			if err != nil {
				t.Fatal(err)
			}
			set, err := ParseKeys(text)
			if err != nil {
				t.Fatal(err)
			}
			s, err := NewSigner(set)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := s.Sign("JWT", []byte(`{"a":1}`))
			if err != nil {
				t.Fatal(err)
			}
			verify(t, s.JWKS(), signed)
			kid := key.KeyID()
			if err := jwk.AssignKeyID(key); err != nil || key.KeyID() != kid {
				t.Errorf("kid %s, thumbprint %s, %v", kid, key.KeyID(), err)
			}
		})
	}
	if _, err := Generate("HS256"); err == nil {
		t.Error("a symmetric key was made")
	}
}

// TestThreat25KeysThatCannotBeUsed stop the start, as do those that are too weak
// (RFC 7518 §3.3), and no error quotes one.
func TestThreat25KeysThatCannotBeUsed(t *testing.T) {
	good, other := generate(t, jwa.ES256), generate(t, jwa.ES256)
	raw := func(key any, err error) jwk.Key {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		k, err := jwk.FromRaw(key)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	with := func(key jwk.Key, name string, value any) jwk.Key {
		t.Helper()
		key, err := key.Clone()
		if err == nil {
			err = key.Set(name, value)
		}
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	public, err := good.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	x, _ := other.Get("x")
	y, _ := other.Get("y")
	_, montgomery, err := x25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var many []jwk.Key
	for range maxKeys + 1 {
		many = append(many, generate(t, jwa.EdDSA))
	}
	for name, keys := range map[string][]jwk.Key{
		"none":                   nil,
		"too many":               many,
		"only public":            {public},
		"symmetric":              {raw([]byte(strings.Repeat("secret", 8)), nil)},
		"symmetric, second":      {good, raw([]byte(strings.Repeat("secret", 8)), nil)},
		"for encryption":         {with(good, jwk.KeyUsageKey, "enc")},
		"another algorithm":      {with(good, jwk.AlgorithmKey, jwa.ES384)},
		"the HMAC of its octets": {with(good, jwk.AlgorithmKey, jwa.HS256)},
		"P-521":                  {raw(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))},
		"X25519":                 {raw(montgomery, nil)},
		"RSA of 1024 bits":       {raw(rsa.GenerateKey(rand.Reader, 1024))},
		"one kid twice":          {good, with(other, jwk.KeyIDKey, good.KeyID())},
		"halves of two keys":     {with(with(good, "x", x), "y", y)},
	} {
		if _, err := NewSigner(setOf(t, keys...)); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewSigner(nil); err == nil {
		t.Error("no set: accepted")
	}
	for name, text := range map[string]string{
		"nothing": "", "not JSON": "secret", "broken key": `{"keys":[{"kty":"EC","crv":"P-256","d":"secret"}]}`,
		"too large": `{"keys":[` + strings.Repeat(" ", maxKeysText) + `]}`,
	} {
		if _, err := ParseKeys([]byte(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPublishedKeysHoldNoSecret, nor anything else that came with a key (RFC
// 7517 §4, §9.2).
func TestPublishedKeysHoldNoSecret(t *testing.T) {
	for _, alg := range algorithms {
		key := generate(t, alg)
		for name, value := range map[string]any{"note": "internal", jwk.KeyOpsKey: jwk.KeyOperationList{jwk.KeyOpSign}} {
			if err := key.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		s, err := NewSigner(setOf(t, key))
		if err != nil {
			t.Fatal(err)
		}
		var set struct{ Keys []map[string]any }
		if err := json.Unmarshal(s.JWKS(), &set); err != nil || len(set.Keys) != 1 {
			t.Fatal(err)
		}
		published := set.Keys[0]
		for name := range published {
			switch name {
			case "kty", "crv", "x", "y", "n", "e", "kid", "use", "alg":
			default:
				t.Errorf("%s: %s is published", alg, name)
			}
		}
		if published["kid"] != key.KeyID() || published["alg"] != alg.String() || published["use"] != "sig" {
			t.Errorf("%s: %v", alg, published)
		}
	}
}
