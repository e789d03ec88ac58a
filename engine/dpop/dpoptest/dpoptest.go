// Package dpoptest makes DPoP proofs (RFC 9449 §4.2), good ones and others, for
// tests.
package dpoptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Members are those of a JSON object.
type Members map[string]any

// With returns the members with changes; one that is nil is left out.
func (m Members) With(changes Members) Members {
	all := maps.Clone(m)
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// JSON returns the object.
func (m Members) JSON(t testing.TB) []byte {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Key is a client's key.
type Key struct {
	Alg     string
	Private crypto.Signer
	JWK     Members // the public half
}

// NewKey makes a key for an algorithm: RSA, unless it is one of the others.
func NewKey(t testing.TB, alg string) *Key {
	t.Helper()
	k := &Key{Alg: alg}
	var err error
	switch alg {
	case "ES256":
		k.Private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		k.Private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		k.Private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA", "Ed25519":
		_, k.Private, err = ed25519.GenerateKey(rand.Reader)
	default:
		k.Private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	k.JWK = JWK(t, k.Private.Public())
	return k
}

// JWK writes a key, with jwx.
func JWK(t testing.TB, raw any) Members {
	t.Helper()
	m := Members{}
	key, err := jwk.FromRaw(raw)
	if err == nil {
		var text []byte
		if text, err = json.Marshal(key); err == nil {
			err = json.Unmarshal(text, &m)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Thumbprint is that of RFC 7638 §3, by jwx.
func (k *Key) Thumbprint(t testing.TB) string {
	t.Helper()
	key, err := jwk.FromRaw(k.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// Header is that of the key's proofs.
func (k *Key) Header() Members {
	return Members{"typ": "dpop+jwt", "alg": k.Alg, "jwk": k.JWK}
}

// Sign makes a JWS of whatever it is given.
func (k *Key) Sign(t testing.TB, header, payload []byte) string {
	t.Helper()
	alg := jwa.SignatureAlgorithm(k.Alg)
	if alg == "Ed25519" { // RFC 9864 §2.2
		alg = jwa.EdDSA
	}
	signer, err := jws.NewSigner(alg)
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := signer.Sign([]byte(input), k.Private)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// Prove makes a proof with these claims and, unless they have one, a new jti.
func (k *Key) Prove(t testing.TB, claims Members) string {
	t.Helper()
	return k.Sign(t, k.Header().JSON(t), Members{"jti": rand.Text()}.With(claims).JSON(t))
}

// Hash is the ath of an access token.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
