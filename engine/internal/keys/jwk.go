package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/x25519"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Bounds of RSA keys: shorter ones are weak (RFC 7518 §3.3), longer ones cost
// whoever verifies with them more than a signature should.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

var errKey = errors.New("not a key that can be used")

// Public is a public key of a client.
type Public struct {
	KID string
	Alg string // empty: any that suits the key
	Use string // sig, enc, or empty
	// Key is an *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or x25519.PublicKey.
	Key any
}

// ParseSet reads a client's JWK Set (RFC 7517 §5). Keys that cannot be used are
// left out, as §5 has it; symmetric ones have no place there.
func ParseSet(text []byte) ([]Public, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(text) > model.MaxJWKS || json.Unmarshal(text, &set) != nil || set.Keys == nil || len(set.Keys) > model.MaxKeys {
		return nil, fmt.Errorf("not a JWK Set of at most %d keys and %d bytes", model.MaxKeys, model.MaxJWKS)
	}
	var list []Public
	for _, raw := range set.Keys {
		if key, err := parsePublic(raw); err == nil {
			list = append(list, key)
		}
	}
	return list, nil
}

// members are the parts of a JWK that are read here.
type members struct {
	KTY string `json:"kty"`
	CRV string `json:"crv"`
	KID string `json:"kid"`
	Alg string `json:"alg"`
	Use string `json:"use"`
}

func parsePublic(raw json.RawMessage) (Public, error) {
	var m members
	if err := json.Unmarshal(raw, &m); err != nil {
		return Public{}, errKey
	}
	p := Public{KID: m.KID, Alg: m.Alg, Use: m.Use}
	private, err := rawKey(raw, &m)
	if err != nil {
		return Public{}, err
	}
	switch key := private.(type) {
	case interface{ Public() crypto.PublicKey }:
		p.Key = key.Public()
	default:
		p.Key = key
	}
	return p, checkPublic(p.Key)
}

// checkPublic accepts the kinds and sizes of keys that are used here.
func checkPublic(key any) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits || key.E < 3 || key.E&1 == 0 {
			return errKey
		}
		return nil
	case *ecdsa.PublicKey, ed25519.PublicKey, x25519.PublicKey:
		return nil
	default:
		return errKey
	}
}

// rawKey turns a JWK into a key of the crypto packages.
func rawKey(raw json.RawMessage, m *members) (any, error) {
	if m.KTY == "EC" && m.CRV == "secp256k1" {
		return parseK256(raw)
	}
	key, err := jwk.ParseKey(raw)
	if err != nil {
		return nil, errKey
	}
	var v any
	if err := key.Raw(&v); err != nil {
		return nil, errKey
	}
	return v, nil
}

// marshalPrivate writes a private key as a JWK without a key id.
func marshalPrivate(private any) ([]byte, error) {
	if k, ok := private.(*k256Key); ok {
		return k.marshal()
	}
	key, err := jwk.FromRaw(private)
	if err != nil {
		return nil, err
	}
	return json.Marshal(key)
}

// secretMembers are what a private JWK has more than a public one
// (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2).
var secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// publicJWK takes the secrets out of a JWK and says what the key is for.
func publicJWK(private []byte, kid, alg, use string) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(private, &all); err != nil {
		return nil, err
	}
	for _, name := range secretMembers {
		delete(all, name)
	}
	for name, value := range map[string]string{"kid": kid, "alg": alg, "use": use} {
		if value != "" {
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			all[name] = text
		}
	}
	return json.Marshal(all)
}
