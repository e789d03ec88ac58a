package model

import "strings"

// SignAlg is a JWS algorithm (RFC 7518 §3.1, RFC 8037, RFC 8812). Empty means
// none chosen, which is not the algorithm none.
type SignAlg string

// The JWS algorithms.
const (
	AlgNone SignAlg = "none"
	HS256   SignAlg = "HS256"
	HS384   SignAlg = "HS384"
	HS512   SignAlg = "HS512"
	RS256   SignAlg = "RS256"
	RS384   SignAlg = "RS384"
	RS512   SignAlg = "RS512"
	ES256   SignAlg = "ES256"
	ES384   SignAlg = "ES384"
	ES512   SignAlg = "ES512"
	PS256   SignAlg = "PS256"
	PS384   SignAlg = "PS384"
	PS512   SignAlg = "PS512"
	ES256K  SignAlg = "ES256K"
	EdDSA   SignAlg = "EdDSA"
)

// AsymmetricAlgs are the algorithms with a private and a public key.
var AsymmetricAlgs = []SignAlg{RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512, ES256K, EdDSA}

// SymmetricAlgs are the algorithms whose key is the client secret.
var SymmetricAlgs = []SignAlg{HS256, HS384, HS512}

// Asymmetric reports whether the algorithm has a private and a public key.
func (a SignAlg) Asymmetric() bool { return a != "" && a != AlgNone && !a.Symmetric() }

// Symmetric reports whether the key of the algorithm is the client secret.
func (a SignAlg) Symmetric() bool { return strings.HasPrefix(string(a), "HS") }

// KeyBytes is the least length of a symmetric algorithm's key: that of its hash
// (RFC 7518 §3.2, OpenID Connect Core §16.19).
func (a SignAlg) KeyBytes() int {
	return map[SignAlg]int{HS256: 32, HS384: 48, HS512: 64}[a]
}

// RSA reports whether the algorithm's keys are RSA keys.
func (a SignAlg) RSA() bool {
	return strings.HasPrefix(string(a), "RS") || strings.HasPrefix(string(a), "PS")
}

// DefaultAlgs are the algorithms for which every service has keys.
var DefaultAlgs = []SignAlg{RS256, ES256, EdDSA}

var (
	asymmetricAlgs = algValues(AsymmetricAlgs)
	assertionAlgs  = algValues(append(SymmetricAlgs, AsymmetricAlgs...))
	signAlgs       = append([]EnumValue{{"NONE", string(AlgNone)}}, assertionAlgs...)
)

func algValues(algs []SignAlg) []EnumValue {
	values := make([]EnumValue, len(algs))
	for i, alg := range algs {
		values[i] = EnumValue{string(alg), string(alg)}
	}
	return values
}

// EncAlg is a JWE algorithm for the content key (RFC 7518 §4.1).
type EncAlg string

// The JWE algorithms whose keys a service has.
const (
	RSAOAEP256 EncAlg = "RSA-OAEP-256"
	ECDHES     EncAlg = "ECDH-ES"
)

var encAlgs = []EnumValue{
	{"RSA1_5", "RSA1_5"}, {"RSA_OAEP", "RSA-OAEP"}, {"RSA_OAEP_256", "RSA-OAEP-256"},
	{"A128KW", "A128KW"}, {"A192KW", "A192KW"}, {"A256KW", "A256KW"}, {"DIR", "dir"},
	{"ECDH_ES", "ECDH-ES"}, {"ECDH_ES_A128KW", "ECDH-ES+A128KW"}, {"ECDH_ES_A192KW", "ECDH-ES+A192KW"}, {"ECDH_ES_A256KW", "ECDH-ES+A256KW"},
	{"A128GCMKW", "A128GCMKW"}, {"A192GCMKW", "A192GCMKW"}, {"A256GCMKW", "A256GCMKW"},
	{"PBES2_HS256_A128KW", "PBES2-HS256+A128KW"}, {"PBES2_HS384_A192KW", "PBES2-HS384+A192KW"}, {"PBES2_HS512_A256KW", "PBES2-HS512+A256KW"},
}

// EncAlgs are all JWE algorithms of the enumeration.
var EncAlgs = func() []EncAlg {
	algs := make([]EncAlg, len(encAlgs))
	for i, v := range encAlgs {
		algs[i] = EncAlg(v.Wire)
	}
	return algs
}()

// RSA reports whether the algorithm's keys are RSA keys.
func (a EncAlg) RSA() bool { return strings.HasPrefix(string(a), "RSA") }

// EC reports whether the algorithm agrees on a key (ECDH-ES).
func (a EncAlg) EC() bool { return strings.HasPrefix(string(a), "ECDH-ES") }

// Symmetric reports whether the key comes from the client secret
// (OpenID Connect Core §10.2).
func (a EncAlg) Symmetric() bool { return a != "" && !a.RSA() && !a.EC() }

// ContentEnc is a JWE algorithm for the content (RFC 7518 §5.1).
type ContentEnc string

// A128CBCHS256 is the default of every encryption (OpenID Connect Dynamic
// Client Registration §2).
const A128CBCHS256 ContentEnc = "A128CBC-HS256"

var contentEncs = []EnumValue{
	{"A128CBC_HS256", "A128CBC-HS256"}, {"A192CBC_HS384", "A192CBC-HS384"}, {"A256CBC_HS512", "A256CBC-HS512"},
	{"A128GCM", "A128GCM"}, {"A192GCM", "A192GCM"}, {"A256GCM", "A256GCM"},
}

// ContentEncs are all content encryptions of the enumeration.
var ContentEncs = func() []ContentEnc {
	encs := make([]ContentEnc, len(contentEncs))
	for i, v := range contentEncs {
		encs[i] = ContentEnc(v.Wire)
	}
	return encs
}()
