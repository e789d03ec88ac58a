package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/lestrrat-go/jwx/v2/x25519"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const rsaBits = 2048

// Key is one key of a service, opened. Its algorithm is a SignAlg, or an
// EncAlg when the key is for being written to.
type Key struct {
	KID       string
	Alg       string
	Private   crypto.Signer
	NotBefore int64 // Unix seconds
	ExpiresAt int64 // Unix seconds; 0: not retired

	private json.RawMessage // as a JWK
	public  json.RawMessage
	opens   any // the key to decrypt with; nil for one that signs
}

func (k *Key) live(at int64) bool { return k.ExpiresAt == 0 || k.ExpiresAt > at }

// Decrypter is the key to decrypt with; nil for a key that signs.
func (k *Key) Decrypter() any { return k.opens }

// decrypts reports whether a key for being written to suits an algorithm: an
// RSA key opens every RSA one, an EC key every ECDH-ES one.
func (k *Key) decrypts(alg model.EncAlg) bool {
	switch k.opens.(type) {
	case *rsa.PrivateKey:
		return alg.RSA()
	case *ecdsa.PrivateKey:
		return alg.EC()
	default:
		return false
	}
}

// generate makes a key. Its id is its thumbprint (RFC 7638), so that two keys
// never share one.
func (r *Ring) generate(alg string, notBefore int64) (model.Key, error) {
	private, err := newPrivate(alg)
	if err != nil {
		return model.Key{}, fmt.Errorf("making an %s key: %w", alg, err)
	}
	plain, err := marshalPrivate(private)
	if err != nil {
		return model.Key{}, err
	}
	kid, err := thumbprint(plain)
	if err != nil {
		return model.Key{}, err
	}
	return r.seal(kid, alg, plain, notBefore)
}

func (r *Ring) seal(kid, alg string, plain []byte, notBefore int64) (row model.Key, err error) {
	row = model.Key{Service: r.service, KID: kid, Alg: alg, NotBefore: notBefore}
	row.Sealed, err = r.master.Seal(r.service, kid, plain)
	return row, err
}

func newPrivate(alg string) (any, error) {
	switch model.SignAlg(alg) {
	case model.RS256, model.RS384, model.RS512, model.PS256, model.PS384, model.PS512, model.SignAlg(model.RSAOAEP256):
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case model.ES256, model.SignAlg(model.ECDHES):
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case model.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case model.ES512:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case model.ES256K:
		private, err := secp256k1.GeneratePrivateKey()
		return &k256Key{private}, err
	case model.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	default:
		return nil, errors.New("unknown algorithm")
	}
}

// deterministic signs as RFC 6979 has it, which RFC 8725 §3.2 asks of JWTs: no
// weak random number can give the key away.
type deterministic struct{ *ecdsa.PrivateKey }

// Sign is part of crypto.Signer.
func (d deterministic) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return d.PrivateKey.Sign(nil, digest, opts)
}

func (r *Ring) unseal(row model.Key) (Key, error) {
	plain, err := r.master.Open(r.service, row.KID, row.Sealed)
	if err != nil {
		return Key{}, fmt.Errorf("key %s: %w", row.KID, err)
	}
	key, err := parsePrivate(plain, row.KID, row.Alg)
	if err != nil {
		return Key{}, fmt.Errorf("key %s: %w", row.KID, err)
	}
	key.NotBefore, key.ExpiresAt = row.NotBefore, row.ExpiresAt
	return key, nil
}

// parseGiven reads a private key that the operator gives. Without alg it is
// the usual one of its kind, without kid its thumbprint.
func parseGiven(raw json.RawMessage) (Key, error) {
	var m members
	if err := json.Unmarshal(raw, &m); err != nil {
		return Key{}, errKey
	}
	if m.Alg == "" {
		m.Alg = usualAlg(&m)
	}
	if m.KID == "" {
		kid, err := thumbprint(raw)
		if err != nil {
			return Key{}, err
		}
		m.KID = kid
	}
	return parsePrivate(raw, m.KID, m.Alg)
}

func usualAlg(m *members) string {
	switch {
	case m.Use == "enc" && m.KTY == "RSA":
		return string(model.RSAOAEP256)
	case m.Use == "enc":
		return string(model.ECDHES)
	case m.KTY == "RSA":
		return string(model.RS256)
	case m.KTY == "OKP":
		return string(model.EdDSA)
	}
	return map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "secp256k1": "ES256K"}[m.CRV]
}

// parsePrivate opens a private JWK for one algorithm.
func parsePrivate(plain []byte, kid, alg string) (Key, error) {
	var m members
	if err := json.Unmarshal(plain, &m); err != nil {
		return Key{}, errKey
	}
	raw, err := rawKey(plain, &m)
	if err != nil {
		return Key{}, err
	}
	key := Key{KID: kid, Alg: alg, private: plain}
	use := "sig"
	switch private := raw.(type) {
	case *rsa.PrivateKey:
		private.Precompute() // jwx leaves it out, and each signature would do it again
		key.Private, key.opens = private, private
	case *ecdsa.PrivateKey:
		key.Private, key.opens = deterministic{private}, private
	case *k256Key:
		key.Private = private
	case ed25519.PrivateKey:
		key.Private = private
	default:
		return Key{}, errors.New("not a private key")
	}
	if err := checkPublic(key.Private.Public()); err != nil {
		return Key{}, err
	}
	if model.EncAlg(alg).RSA() || model.EncAlg(alg).EC() {
		use = "enc"
	} else {
		key.opens = nil
		if !suits(key.Private.Public(), model.SignAlg(alg)) {
			return Key{}, fmt.Errorf("the algorithm %q does not go with the key", alg)
		}
	}
	key.public, err = publicJWK(plain, kid, alg, use)
	return key, err
}

// suits reports whether a public key is of the kind that an algorithm needs
// (RFC 8725 §3.1: each key for one algorithm).
func suits(key any, alg model.SignAlg) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return alg.RSA()
	case *ecdsa.PublicKey:
		curve := map[model.SignAlg]string{model.ES256: "P-256", model.ES384: "P-384", model.ES512: "P-521", model.ES256K: curveK256}[alg]
		return curve != "" && curveName(key) == curve
	case ed25519.PublicKey:
		return alg == model.EdDSA
	default:
		return false
	}
}

// Suits reports whether a client's key may verify a signature of that
// algorithm: it is of the kind, and says nothing to the contrary.
func (p *Public) Suits(alg model.SignAlg) bool {
	return p.Use != "enc" && (p.Alg == "" || p.Alg == string(alg)) && suits(p.Key, alg)
}

// Takes reports whether a message of that algorithm may be written to a
// client's key.
func (p *Public) Takes(alg model.EncAlg) bool {
	if p.Use == "sig" || p.Alg != "" && p.Alg != string(alg) {
		return false
	}
	switch key := p.Key.(type) {
	case *rsa.PublicKey:
		return alg.RSA()
	case *ecdsa.PublicKey:
		return alg.EC() && curveName(key) != "secp256k1" // which signs alone (RFC 8812 §3.1)
	case x25519.PublicKey:
		return alg.EC()
	default:
		return false
	}
}
