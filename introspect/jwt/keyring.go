package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Bounds of RSA keys: shorter ones are weak (RFC 7518 §3.3), longer ones cost
// more than a signature should.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// keyID is what a token says about its key, and all that a key is found by. The
// kid is empty for a token without one.
type keyID struct{ kid, alg string }

// key is a public key for one algorithm (RFC 8725 §3.1).
type key struct {
	public   crypto.PublicKey
	verifier jws.Verifier
}

func (k *key) verifies(t *token) bool {
	return k.verifier.Verify(t.input, t.signature, k.public) == nil
}

// keyring holds an issuer's usable keys. It is immutable.
type keyring struct {
	// byID has a nil key where there are several, so that none is known to be
	// meant: two of one kid (RFC 7517 §4.5), or of a token without kid.
	byID  map[keyID]*key
	count int
}

// parseKeyring reads a JWK Set (RFC 7517 §5). Keys that no allowed algorithm
// can use are left out, as §5 has it: of another kind, too weak, for encryption,
// or not public.
func parseKeyring(text []byte, algorithms []string, most int) (*keyring, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(text, &set) != nil || set.Keys == nil {
		return nil, errors.New("not a JWK Set")
	}
	if len(set.Keys) > most {
		return nil, fmt.Errorf("a JWK Set of more than %d keys", most)
	}
	ring := &keyring{byID: make(map[keyID]*key)}
	for _, raw := range set.Keys {
		if err := ring.add(raw, algorithms); err != nil {
			return nil, err
		}
	}
	return ring, nil
}

// add takes a key in, or leaves it out without an error: that is for what jwx
// does not know.
func (r *keyring) add(raw json.RawMessage, algorithms []string) error {
	parsed, err := jwk.ParseKey(raw)
	if err != nil || !signs(parsed) {
		return nil
	}
	var public any
	if parsed.Raw(&public) != nil {
		return nil
	}
	kid, only, kind := parsed.KeyID(), parsed.Algorithm().String(), kindOf(public)
	used := false
	for _, alg := range algorithms {
		if kind != keyKind(alg) || only != "" && only != alg {
			continue
		}
		verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(alg))
		if err != nil {
			return err
		}
		k := &key{public: public, verifier: verifier}
		r.put(keyID{kid, alg}, k)
		if kid != "" {
			r.put(keyID{"", alg}, k)
		}
		used = true
	}
	if used {
		r.count++
	}
	return nil
}

// put keeps a key, or that there are several. One that is there twice is one.
func (r *keyring) put(id keyID, k *key) {
	other, taken := r.byID[id]
	if taken && (other == nil || !other.equal(k)) {
		k = nil
	}
	r.byID[id] = k
}

func (k *key) equal(other *key) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(other.public)
}

// signs reports whether a key is for signatures (RFC 7517 §4.2, §4.3).
func signs(k jwk.Key) bool {
	use, operations := k.KeyUsage(), k.KeyOps()
	return (use == "" || use == string(jwk.ForSignature)) &&
		(len(operations) == 0 || slices.Contains(operations, jwk.KeyOpVerify))
}

// keyKind returns the kind of key that an algorithm takes (RFC 7518 §3.1, RFC
// 8037 §3.1), and nothing for one that is not supported: none and the symmetric
// ones above all.
func keyKind(alg string) string {
	switch alg {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		return "RSA"
	case "ES256":
		return "P-256"
	case "ES384":
		return "P-384"
	case "ES512":
		return "P-521"
	case "EdDSA":
		return "Ed25519"
	}
	return ""
}

// kindOf returns a public key's kind, and nothing for what verifies nothing
// here: a private key, which whoever has read the set can sign with; one of
// another size; a point that is not on its curve.
func kindOf(public any) string {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits || public.E < 3 || public.E&1 == 0 {
			return ""
		}
		return "RSA"
	case *ecdsa.PublicKey:
		if _, err := public.ECDH(); err != nil {
			return ""
		}
		return public.Params().Name
	case ed25519.PublicKey:
		if len(public) != ed25519.PublicKeySize { // with which Verify panics
			return ""
		}
		return "Ed25519"
	}
	return ""
}
