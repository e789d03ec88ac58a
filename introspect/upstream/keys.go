package upstream

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

const (
	maxKeys     = 16
	maxKeysText = 64 << 10

	// Shorter RSA keys are weak (RFC 7518 §3.3), longer ones cost whoever
	// verifies more than a signature should.
	minRSABits = 2048
	maxRSABits = 8192
)

// Generate returns a new private key for an algorithm, ES256 if that is empty;
// its kid is its thumbprint (RFC 7638). ES384, EdDSA, RS256 and PS256 are the
// others. Its randomness is crypto/rand's, as Go lets nobody choose another.
func Generate(alg string) (jwk.Key, error) {
	var raw any
	var err error
	switch jwa.SignatureAlgorithm(alg) {
	case "", jwa.ES256:
		alg = jwa.ES256.String()
		raw, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jwa.ES384:
		raw, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jwa.EdDSA:
		_, raw, err = ed25519.GenerateKey(rand.Reader)
	case jwa.RS256, jwa.PS256:
		raw, err = rsa.GenerateKey(rand.Reader, minRSABits)
	default:
		return nil, fmt.Errorf("signing key: there is no algorithm %q here", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return describe(raw, "", alg)
}

// ParseKeys reads a set of private keys from the JSON that json.Marshal writes
// of it, a JWK Set (RFC 7517 §5). What is wrong with it is told without quoting
// it.
func ParseKeys(text []byte) (jwk.Set, error) {
	if len(text) > maxKeysText {
		return nil, fmt.Errorf("signing keys: more than %d bytes", maxKeysText)
	}
	set, err := jwk.Parse(text)
	if err != nil {
		return nil, errors.New("signing keys: not a JWK Set") // the parser's words may quote a key
	}
	return set, nil
}

// describe makes a JWK of a key and says what it is for. Without a kid it gets
// its thumbprint.
func describe(raw any, kid, alg string) (jwk.Key, error) {
	key, err := jwk.FromRaw(raw)
	if err != nil {
		return nil, errors.New("signing key: not a key")
	}
	members := map[string]any{jwk.KeyUsageKey: jwk.ForSignature, jwk.AlgorithmKey: alg}
	if kid != "" {
		members[jwk.KeyIDKey] = kid
	} else if err := jwk.AssignKeyID(key); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	for name, value := range members {
		if err := key.Set(name, value); err != nil {
			return nil, fmt.Errorf("signing key: %w", err)
		}
	}
	return key, nil
}

// publish returns what of a key is published: nothing but the public part and
// what it is for.
func publish(key jwk.Key) (jwk.Key, error) {
	public, err := key.PublicKey()
	if err != nil {
		return nil, errors.New("signing key: no public key")
	}
	if use := key.KeyUsage(); use != "" && use != string(jwk.ForSignature) {
		return nil, errors.New("signing key: its use is not sig")
	}
	alg, err := algorithm(public)
	if err != nil {
		return nil, err
	}
	var raw any
	if err := public.Raw(&raw); err != nil {
		return nil, errors.New("signing key: not a key")
	}
	return describe(raw, key.KeyID(), alg.String())
}

// algorithm is what a key signs with: its alg if that fits, otherwise the first
// that does. A symmetric key fits none.
func algorithm(public jwk.Key) (jwa.SignatureAlgorithm, error) {
	var fit []jwa.SignatureAlgorithm
	switch key := public.(type) {
	case jwk.ECDSAPublicKey:
		switch key.Crv() {
		case jwa.P256:
			fit = []jwa.SignatureAlgorithm{jwa.ES256}
		case jwa.P384:
			fit = []jwa.SignatureAlgorithm{jwa.ES384}
		}
	case jwk.OKPPublicKey:
		if key.Crv() == jwa.Ed25519 {
			fit = []jwa.SignatureAlgorithm{jwa.EdDSA}
		}
	case jwk.RSAPublicKey:
		if bits := new(big.Int).SetBytes(key.N()).BitLen(); bits < minRSABits || bits > maxRSABits {
			return "", fmt.Errorf("signing key: an RSA key has %d to %d bits", minRSABits, maxRSABits)
		}
		fit = []jwa.SignatureAlgorithm{jwa.RS256, jwa.PS256}
	}
	named := jwa.SignatureAlgorithm(public.Algorithm().String())
	switch {
	case len(fit) == 0:
		return "", errors.New("signing key: not an EC (P-256, P-384), Ed25519 or RSA key")
	case named == "":
		return fit[0], nil
	case !slices.Contains(fit, named):
		return "", errors.New("signing key: its alg does not fit it")
	}
	return named, nil
}
