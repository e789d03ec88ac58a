// Package jose signs and verifies the engine's own JWTs: ID tokens and JWT
// access tokens. The signatures are jwx's; this package fixes what may be in
// a header, so that no choice is left to whoever made the token.
package jose

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Media types for the typ header.
const (
	TypeAccessToken = "at+jwt" // RFC 9068 §2.1
	TypeIDToken     = "JWT"    // RFC 7519 §5.1
)

// MaxToken bounds a JWT that is verified, in bytes.
const MaxToken = 16 << 10

// ErrInvalid says that a JWT is not one of this engine's, or not for this use.
var ErrInvalid = errors.New("invalid JWT")

// maxSignature is the length of the longest signature, RSA-2048, in bytes.
const maxSignature = 256

// Sign returns the compact serialization of claims (already JSON) under a key
// (RFC 7515 §3.1). It joins the parts itself, since jwx's own joining costs
// half as much as an ECDSA signature; the signature is jwx's.
func Sign(key *keys.Key, typ string, claims []byte) (string, error) {
	signer, err := jws.NewSigner(algorithm(key.Alg))
	if err != nil {
		return "", err
	}
	protected, err := json.Marshal(header{Alg: string(key.Alg), Kid: key.KID, Typ: typ})
	if err != nil {
		return "", err
	}
	encoding := base64.RawURLEncoding
	token := make([]byte, 0, encoding.EncodedLen(len(protected)+len(claims)+maxSignature)+4)
	token = append(encoding.AppendEncode(token, protected), '.')
	token = encoding.AppendEncode(token, claims)
	signature, err := signer.Sign(token, key.Private)
	if err != nil {
		return "", err
	}
	return string(encoding.AppendEncode(append(token, '.'), signature)), nil
}

// header is what an own token's header may hold; anything more is refused, so
// embedded keys, key addresses and critical extensions have no way in.
type header struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

// Verify checks a JWT of this engine: three segments, the exact typ, a key
// named by kid whose algorithm is the one in the header, and the signature
// (RFC 8725 §3.1, §3.11). It returns the claims; the caller judges them.
func Verify(ring *keys.Ring, token, typ string, now time.Time) ([]byte, error) {
	if len(token) > MaxToken || !compact(token) {
		return nil, fmt.Errorf("%w: not three base64url segments", ErrInvalid)
	}
	message, err := jws.Parse([]byte(token), jws.WithCompact())
	if err != nil || len(message.Signatures()) != 1 {
		return nil, fmt.Errorf("%w: malformed", ErrInvalid)
	}
	h, err := readHeader(message.Signatures()[0].ProtectedHeaders())
	if err != nil {
		return nil, err
	}
	if h.Typ != typ {
		return nil, fmt.Errorf("%w: typ is not %s", ErrInvalid, typ)
	}
	key, ok := ring.Verifier(h.Kid, now)
	if !ok || string(key.Alg) != h.Alg {
		return nil, fmt.Errorf("%w: no such key for that algorithm", ErrInvalid)
	}
	claims, err := jws.Verify([]byte(token), jws.WithKey(algorithm(key.Alg), key.Private.Public()))
	if err != nil {
		return nil, fmt.Errorf("%w: signature", ErrInvalid)
	}
	return claims, nil
}

// compact reports whether a token is three segments, each the one base64url
// form of its bytes (RFC 7515 §2): decoders skip line breaks and stray bits,
// and an altered token must not pass for the same.
func compact(token string) bool {
	if strings.Count(token, ".") != 2 || strings.ContainsAny(token, "\r\n") {
		return false
	}
	strict := base64.RawURLEncoding.Strict()
	for segment := range strings.SplitSeq(token, ".") {
		if _, err := strict.DecodeString(segment); err != nil {
			return false
		}
	}
	return true
}

func readHeader(protected jws.Headers) (header, error) {
	raw, err := json.Marshal(protected)
	if err != nil {
		return header{}, fmt.Errorf("%w: header", ErrInvalid)
	}
	var h header
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&h); err != nil {
		return header{}, fmt.Errorf("%w: header", ErrInvalid)
	}
	return h, nil
}

func algorithm(alg model.SignAlg) jwa.SignatureAlgorithm {
	return jwa.SignatureAlgorithm(alg)
}
