package engine_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k256 "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// JWS as the specifications have it (RFC 7515, RFC 7518 §3, RFC 8037, RFC 8812),
// with Go's crypto alone, so that the engine's library does not judge itself.

var b64 = base64.RawURLEncoding

// hashOf is the hash of an algorithm.
func hashOf(alg string) crypto.Hash {
	switch {
	case strings.HasSuffix(alg, "384"):
		return crypto.SHA384
	case strings.HasSuffix(alg, "512"):
		return crypto.SHA512
	default:
		return crypto.SHA256
	}
}

func digest(alg string, input []byte) []byte {
	h := hashOf(alg).New()
	h.Write(input)
	return h.Sum(nil)
}

// signature signs with an algorithm and a private key, or a secret.
func signature(alg string, key any, input []byte) []byte {
	var signed []byte
	var err error
	switch key := key.(type) {
	case string:
		mac := hmac.New(hashOf(alg).New, []byte(key))
		mac.Write(input)
		return mac.Sum(nil)
	case *rsa.PrivateKey:
		if alg[:2] == "PS" {
			signed, err = rsa.SignPSS(rand.Reader, key, hashOf(alg), digest(alg, input), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			signed, err = rsa.SignPKCS1v15(nil, key, hashOf(alg), digest(alg, input))
		}
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, key, digest(alg, input)); err == nil {
			size := (key.Params().BitSize + 7) / 8
			signed = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	case *secp256k1.PrivateKey:
		made := k256.Sign(key, digest(alg, input))
		r, s := made.R(), made.S()
		rb, sb := r.Bytes(), s.Bytes()
		signed = append(rb[:], sb[:]...)
	case ed25519.PrivateKey:
		signed = ed25519.Sign(key, input)
	}
	if err != nil {
		panic(err)
	}
	return signed
}

// verifies reports whether a signature is that of a public key, or of a secret.
func verifies(alg string, key any, input, signed []byte) bool {
	switch key := key.(type) {
	case string:
		return hmac.Equal(signed, signature(alg, key, input))
	case *rsa.PublicKey:
		if alg[:2] == "PS" {
			return rsa.VerifyPSS(key, hashOf(alg), digest(alg, input), signed, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(key, hashOf(alg), digest(alg, input), signed) == nil
	case *ecdsa.PublicKey:
		size := (key.Params().BitSize + 7) / 8
		return len(signed) == 2*size &&
			ecdsa.Verify(key, digest(alg, input), new(big.Int).SetBytes(signed[:size]), new(big.Int).SetBytes(signed[size:]))
	case *secp256k1.PublicKey:
		var r, s secp256k1.ModNScalar
		return len(signed) == 64 && !r.SetByteSlice(signed[:32]) && !s.SetByteSlice(signed[32:]) &&
			k256.NewSignature(&r, &s).Verify(digest(alg, input), key)
	case ed25519.PublicKey:
		return ed25519.Verify(key, input, signed)
	}
	return false
}

// signed makes a compact JWS; a header without alg gets the one that is meant.
func signed(alg string, key any, header map[string]any, claims any) string {
	all := map[string]any{"alg": alg}
	for name, value := range header {
		all[name] = value
	}
	payload, ok := claims.([]byte)
	if !ok {
		payload = raw(claims)
	}
	input := b64.EncodeToString(raw(all)) + "." + b64.EncodeToString(payload)
	if alg == "none" {
		return input + "."
	}
	return input + "." + b64.EncodeToString(signature(alg, key, []byte(input)))
}

// publicJWK is a JWK of this test's own reading.
type publicJWK struct {
	KTY string `json:"kty"`
	CRV string `json:"crv,omitempty"`
	KID string `json:"kid,omitempty"`
	Alg string `json:"alg,omitempty"`
	Use string `json:"use,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

func number(text string) *big.Int {
	b, _ := b64.DecodeString(text)
	return new(big.Int).SetBytes(b)
}

// key is the public key of a JWK, nil when it is none of those known here.
func (j publicJWK) key() any {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	switch {
	case j.KTY == "RSA":
		return &rsa.PublicKey{N: number(j.N), E: int(number(j.E).Int64())}
	case j.KTY == "OKP" && j.CRV == "Ed25519":
		x, _ := b64.DecodeString(j.X)
		return ed25519.PublicKey(x)
	case j.CRV == "secp256k1":
		var x, y secp256k1.FieldVal
		x.SetByteSlice(number(j.X).Bytes())
		y.SetByteSlice(number(j.Y).Bytes())
		return secp256k1.NewPublicKey(&x, &y)
	case curves[j.CRV] != nil:
		size := (curves[j.CRV].Params().BitSize + 7) / 8
		point := append([]byte{4}, number(j.X).FillBytes(make([]byte, size))...)
		key, _ := ecdsa.ParseUncompressedPublicKey(curves[j.CRV], append(point, number(j.Y).FillBytes(make([]byte, size))...))
		return key
	}
	return nil
}

// published is the service's JWK Set.
func (h *house) published() []publicJWK {
	h.Helper()
	document, err := h.engine.ServiceJWKS(h.Context(), h.service.ID)
	if err != nil {
		h.Fatal(err)
	}
	var set struct{ Keys []publicJWK }
	if err := json.Unmarshal(document, &set); err != nil {
		h.Fatal(err)
	}
	return set.Keys
}

// said is what a JWT says.
type said struct {
	header, claims map[string]any
}

// verified checks a JWS of the service: with the published key that its header
// names, or with a client's secret. It returns what it says.
func (h *house) verified(text, secret string) (t said) {
	h.Helper()
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		h.Fatalf("not a JWS: %q", text)
	}
	for i, into := range []*map[string]any{&t.header, &t.claims} {
		decoded, err := b64.DecodeString(parts[i])
		if err != nil || json.Unmarshal(decoded, into) != nil {
			h.Fatalf("part %d of %q: %v", i, text, err)
		}
	}
	made, err := b64.DecodeString(parts[2])
	if err != nil {
		h.Fatal(err)
	}
	alg, _ := t.header["alg"].(string)
	input := []byte(parts[0] + "." + parts[1])
	if alg == "none" {
		if len(made) != 0 {
			h.Error("an unsecured JWT has a signature (RFC 7519 §6.1)")
		}
		return t
	}
	if strings.HasPrefix(alg, "HS") {
		if !verifies(alg, secret, input, made) {
			h.Errorf("the client secret does not verify %s", text)
		}
		return t
	}
	for _, k := range h.published() {
		if k.KID == t.header["kid"] {
			if k.Alg != alg || k.Use != "sig" || !verifies(alg, k.key(), input, made) {
				h.Errorf("the key %+v does not verify %s", k, text)
			}
			return t
		}
	}
	h.Errorf("no published key has the id %v", t.header["kid"])
	return t
}

// clientKeys are the private keys of the clients of these tests, by key id.
var clientKeys = sync.OnceValue(func() map[string]any {
	must := func(key any, err error) any {
		if err != nil {
			panic(err)
		}
		return key
	}
	ec := func(c elliptic.Curve) any { return must(ecdsa.GenerateKey(c, rand.Reader)) }
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return map[string]any{
		"rsa": must(rsa.GenerateKey(rand.Reader, 2048)), "p256": ec(elliptic.P256()), "p384": ec(elliptic.P384()), "p521": ec(elliptic.P521()),
		"ed25519": must(ed, err), "k256": must(secp256k1.GeneratePrivateKey()),
	}
})

// keyFor names the client key for an algorithm.
func keyFor(alg string) string {
	switch alg {
	case "ES256":
		return "p256"
	case "ES384":
		return "p384"
	case "ES512":
		return "p521"
	case "ES256K":
		return "k256"
	case "EdDSA":
		return "ed25519"
	default:
		return "rsa"
	}
}

// jwkOf is the public JWK of a client key.
func jwkOf(kid string) publicJWK {
	// An uncompressed point is 4, x and y.
	point := func(crv string, p []byte) publicJWK {
		half := len(p)/2 + 1
		return publicJWK{KTY: "EC", CRV: crv, KID: kid, X: b64.EncodeToString(p[1:half]), Y: b64.EncodeToString(p[half:])}
	}
	switch key := clientKeys()[kid].(type) {
	case *rsa.PrivateKey:
		return publicJWK{KTY: "RSA", KID: kid, N: b64.EncodeToString(key.N.Bytes()), E: b64.EncodeToString(big.NewInt(int64(key.E)).Bytes())}
	case ed25519.PrivateKey:
		return publicJWK{KTY: "OKP", CRV: "Ed25519", KID: kid, X: b64.EncodeToString(key.Public().(ed25519.PublicKey))}
	case *secp256k1.PrivateKey:
		return point("secp256k1", key.PubKey().SerializeUncompressed())
	case *ecdsa.PrivateKey:
		p, err := key.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		return point(key.Params().Name, p)
	}
	panic("no client key " + kid)
}

// jwksOf is a JWK Set of client keys, all when none is named.
func jwksOf(kids ...string) string {
	if len(kids) == 0 {
		kids = []string{"rsa", "p256", "p384", "p521", "ed25519", "k256"}
	}
	set := struct {
		Keys []publicJWK `json:"keys"`
	}{}
	for _, kid := range kids {
		set.Keys = append(set.Keys, jwkOf(kid))
	}
	return string(raw(set))
}

// signedBy signs as a client: with its key for the algorithm, whose id is named,
// or with its secret.
func signedBy(alg string, claims any) string {
	switch alg[:2] {
	case "HS":
		return signed(alg, longSecret, nil, claims)
	case "no":
		return signed(alg, nil, nil, claims)
	}
	kid := keyFor(alg)
	return signed(alg, clientKeys()[kid], map[string]any{"kid": kid}, claims)
}

// The tests' own cryptography agrees with itself, and with nothing else.
func TestFixtureSignatures(t *testing.T) {
	for _, alg := range []string{"RS256", "PS384", "ES256", "ES512", "ES256K", "EdDSA"} {
		k := jwkOf(keyFor(alg))
		made := signature(alg, clientKeys()[keyFor(alg)], []byte("x"))
		if !verifies(alg, k.key(), []byte("x"), made) || verifies(alg, k.key(), []byte("y"), made) {
			t.Error(alg)
		}
	}
}
