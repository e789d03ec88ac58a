package dpop

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/bits"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Bounds of RSA keys: shorter ones can be broken, longer ones and long
// exponents make verifying dear.
const (
	minModulus  = 2048 // bits
	maxModulus  = 4096
	maxExponent = 4 // bytes
)

// algorithm is an alg and the one kind of key that it goes with (RFC 8725 §3.1).
type algorithm struct {
	jws      jwa.SignatureAlgorithm
	kty, crv string
	size     int // of a coordinate, in bytes
}

var algorithms = map[string]algorithm{
	"ES256":   {jwa.ES256, "EC", "P-256", 32},
	"ES384":   {jwa.ES384, "EC", "P-384", 48},
	"ES512":   {jwa.ES512, "EC", "P-521", 66},
	"EdDSA":   {jwa.EdDSA, "OKP", "Ed25519", 32},
	"Ed25519": {jwa.EdDSA, "OKP", "Ed25519", 32}, // RFC 9864 §2.2
	"PS256":   {jwa.PS256, "RSA", "", 0},
	"PS384":   {jwa.PS384, "RSA", "", 0},
	"PS512":   {jwa.PS512, "RSA", "", 0},
	"RS256":   {jwa.RS256, "RSA", "", 0},
	"RS384":   {jwa.RS384, "RSA", "", 0},
	"RS512":   {jwa.RS512, "RSA", "", 0},
}

// secretMembers are those of private and symmetric keys (RFC 7518 §6).
var secretMembers = [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// publicKey is a jwk reduced to the members that make the key.
type publicKey struct {
	required   []byte // JSON as it is hashed (RFC 7638 §3.3)
	thumbprint string // base64url
}

// readKey reads a jwk that must be a public key for the algorithm. Its members
// must be in their one encoding, so that a key has one thumbprint. Whether a
// point is on its curve shows when the signature is verified.
func readKey(raw json.RawMessage, alg algorithm) (k publicKey, err error) {
	members, err := parseObject(raw)
	if err != nil {
		return k, err
	}
	for _, name := range secretMembers {
		if members[name] != nil {
			return k, errors.New("not a public key")
		}
	}
	if text(members["kty"]) != alg.kty || text(members["crv"]) != alg.crv {
		return k, errors.New("not a key for the algorithm")
	}
	switch alg.kty {
	case "RSA":
		k.required, err = rsaMembers(text(members["n"]), text(members["e"]))
	case "EC":
		k.required, err = pointMembers(alg, text(members["x"]), text(members["y"]))
	default:
		k.required, err = pointMembers(alg, text(members["x"]), "")
	}
	if err != nil {
		return k, err
	}
	sum := sha256.Sum256(k.required)
	k.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	return k, nil
}

func rsaMembers(n, e string) ([]byte, error) {
	modulus, ok := decode(n, maxModulus/8)
	exponent, is := decode(e, maxExponent)
	if !ok || !is || modulus[0] == 0 || exponent[0] == 0 ||
		(len(modulus)-1)*8+bits.Len8(modulus[0]) < minModulus {
		return nil, errors.New("not an RSA key of 2048 to 4096 bits")
	}
	return []byte(`{"e":"` + e + `","kty":"RSA","n":"` + n + `"}`), nil
}

func pointMembers(alg algorithm, x, y string) ([]byte, error) {
	first, ok := decode(x, alg.size)
	if !ok || len(first) != alg.size {
		return nil, errors.New("x is not a coordinate")
	}
	if alg.kty == "OKP" {
		return []byte(`{"crv":"` + alg.crv + `","kty":"OKP","x":"` + x + `"}`), nil
	}
	if second, ok := decode(y, alg.size); !ok || len(second) != alg.size {
		return nil, errors.New("y is not a coordinate")
	}
	return []byte(`{"crv":"` + alg.crv + `","kty":"EC","x":"` + x + `","y":"` + y + `"}`), nil
}

// decode returns 1 to most bytes from their one base64url form.
func decode(s string, most int) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 || len(b) > most || len(s) != base64.RawURLEncoding.EncodedLen(len(b)) {
		return nil, false
	}
	return b, true
}

// public returns the key as jwx makes it, of nothing but what the thumbprint
// covers.
func (k publicKey) public() (key any, err error) {
	parsed, err := jwk.ParseKey(k.required)
	if err != nil {
		return nil, err
	}
	return key, parsed.Raw(&key)
}
