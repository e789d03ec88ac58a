// Package jose signs, verifies, encrypts and decrypts JWTs: the engine's own,
// and those that clients make. The cryptography is jwx's; this package fixes
// what may be in a header, so that no choice is left to whoever made the token
// (RFC 8725 §3).
package jose

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Media types for the typ header.
const (
	TypeAccessToken   = "at+jwt"                  // RFC 9068 §2.1
	TypeIDToken       = "JWT"                     // RFC 7519 §5.1
	TypeUserInfo      = "JWT"                     // OpenID Connect Core §5.3.2 names none
	TypeLogoutToken   = "logout+jwt"              // OpenID Connect Back-Channel Logout §2.4
	TypeIntrospection = "token-introspection+jwt" // RFC 9701 §5
)

// MaxToken bounds a JWT of this engine that is verified, in bytes.
const MaxToken = 16 << 10

// ErrInvalid says that a JWT is not good, or not for this use.
var ErrInvalid = errors.New("invalid JWT")

// maxSignature is the length of the longest signature that is usual, RSA-2048, in bytes.
const maxSignature = 256

// header is what an own token's header may hold; anything more is refused, so
// embedded keys, key addresses and critical extensions have no way in.
type header struct {
	Alg string `json:"alg"`
	Kid string `json:"kid,omitempty"`
	Typ string `json:"typ"`
}

// Sign returns the compact serialization of claims (already JSON) under a key
// (RFC 7515 §3.1). It joins the parts itself, since jwx's own joining costs
// half as much as an ECDSA signature; the signature is jwx's.
func Sign(ctx context.Context, pool *Pool, key *keys.Key, typ string, claims []byte) (string, error) {
	input, err := signingInput(header{Alg: key.Alg, Kid: key.KID, Typ: typ}, claims)
	if err != nil {
		return "", err
	}
	signer, err := jws.NewSigner(jwa.SignatureAlgorithm(key.Alg))
	if err != nil {
		return "", err
	}
	var signature []byte
	sign := func() (err error) {
		signature, err = signer.Sign(input, key.Private)
		return err
	}
	if model.SignAlg(key.Alg).RSA() {
		err = pool.Do(ctx, sign)
	} else {
		err = sign()
	}
	return finish(input, signature), err
}

// SignSymmetric is Sign with a client secret as the key (OpenID Connect Core §10.1).
func SignSymmetric(alg model.SignAlg, secret, typ string, claims []byte) (string, error) {
	input, err := signingInput(header{Alg: string(alg), Typ: typ}, claims)
	if err != nil {
		return "", err
	}
	signer, err := jws.NewSigner(jwa.SignatureAlgorithm(alg))
	if err != nil {
		return "", err
	}
	signature, err := signer.Sign(input, []byte(secret))
	return finish(input, signature), err
}

// Unsigned returns claims as an unsecured JWT (RFC 7519 §6).
func Unsigned(typ string, claims []byte) (string, error) {
	input, err := signingInput(header{Alg: string(model.AlgNone), Typ: typ}, claims)
	return finish(input, nil), err
}

func signingInput(h header, claims []byte) ([]byte, error) {
	protected, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	encoding := base64.RawURLEncoding
	input := make([]byte, 0, encoding.EncodedLen(len(protected)+len(claims)+maxSignature)+4)
	input = append(encoding.AppendEncode(input, protected), '.')
	return encoding.AppendEncode(input, claims), nil
}

func finish(input, signature []byte) string {
	return string(base64.RawURLEncoding.AppendEncode(append(input, '.'), signature))
}

// Verify checks a JWT of this engine: three segments, the exact typ, a key
// named by kid whose algorithm is the one in the header, and the signature
// (RFC 8725 §3.1, §3.11). It returns the claims; the caller judges them.
func Verify(ring *keys.Ring, token, typ string, now time.Time) ([]byte, error) {
	p, err := Parse(token, MaxToken)
	if err != nil {
		return nil, err
	}
	if len(p.header) != 3 || p.Typ != typ {
		return nil, fmt.Errorf("%w: header", ErrInvalid)
	}
	key, ok := ring.Verifier(p.Kid, now)
	if !ok || key.Alg != string(p.Alg) || key.Decrypter() != nil {
		return nil, fmt.Errorf("%w: no such key for that algorithm", ErrInvalid)
	}
	return p.Payload, p.Verify(key.Private.Public())
}
