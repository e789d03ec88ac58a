package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/introspect/jwt"
)

const (
	authorityIssuer   = "https://login.example.com/tenants/7f1c2a52"
	authorityAudience = "https://orders.example.com/api/v1"
)

// authority is an authorization server elsewhere that issues JWT access tokens.
type authority struct {
	alg    jwa.SignatureAlgorithm
	key    jwk.Key
	public crypto.PublicKey
	jwks   []byte
}

func newAuthority(alg jwa.SignatureAlgorithm) (*authority, error) {
	key, err := newPrivateKey(alg)
	if err != nil {
		return nil, err
	}
	a := &authority{alg: alg, public: key.Public()}
	if a.key, err = jwk.FromRaw(key); err != nil {
		return nil, err
	}
	err = errors.Join(a.key.Set(jwk.KeyIDKey, "2f6b0e9d"), a.key.Set(jwk.AlgorithmKey, alg), a.key.Set(jwk.KeyUsageKey, jwk.ForSignature))
	if err != nil {
		return nil, err
	}
	public, err := a.key.PublicKey()
	if err != nil {
		return nil, err
	}
	a.jwks, err = json.Marshal(map[string]any{"keys": []jwk.Key{public}})
	return a, err
}

func newPrivateKey(alg jwa.SignatureAlgorithm) (crypto.Signer, error) {
	switch alg {
	case jwa.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jwa.RS256:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("no key for %s", alg)
}

// token signs an access token of usual claims (RFC 9068 §2.2), of about 700
// characters with ES256.
func (a *authority) token(n int) (string, error) {
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": authorityIssuer, "aud": authorityAudience, "iat": now, "exp": now + 7200, "jti": fmt.Sprintf("c0ffee00-7d5e-4f5c-9a51-%012d", n),
		"sub": fmt.Sprintf("5be86359-073c-434b-ad2d-%012d", n), "client_id": "1f9e3c5a-web", "scope": "openid " + scope,
		"auth_time": now - 60, "acr": "urn:mace:incommon:iap:silver", "amr": []string{"pwd", "otp"},
		"groups": []string{"customers", "wholesale", "newsletter"}, "roles": []string{"buyer", "approver"},
	})
	if err != nil {
		return "", err
	}
	headers := jws.NewHeaders()
	if err := headers.Set(jws.TypeKey, "at+jwt"); err != nil {
		return "", err
	}
	token, err := jws.Sign(claims, jws.WithKey(a.alg, a.key, jws.WithProtectedHeaders(headers)))
	return string(token), err
}

// distinctJWTs is how many tokens take turns. The introspector remembers none,
// so that each is new to it each time.
const distinctJWTs = 512

// measureVerification compares the introspection of a JWT with the check of its
// signature by Go's own crypto, on all cores.
func measureVerification(alg jwa.SignatureAlgorithm) func(context.Context, *bench, row) result {
	return func(ctx context.Context, b *bench, r row) result {
		a, err := newAuthority(alg)
		if err != nil {
			return result{err: err}
		}
		introspector, err := a.introspector()
		if err != nil {
			return result{err: err}
		}
		defer introspector.Close()
		tokens, checks := make([]string, distinctJWTs), make([]func() bool, distinctJWTs)
		for i := range tokens {
			if tokens[i], err = a.token(i); err != nil {
				return result{err: err}
			}
			if checks[i], err = bareCheck(a.public, tokens[i]); err != nil {
				return result{err: err}
			}
		}
		return b.measure(ctx, r, everyCore(introspecting(introspector, tokens)), everyCore(checking(checks)))
	}
}

// introspector makes one that has the authority's keys and fetches nothing.
func (a *authority) introspector() (*jwt.Introspector, error) {
	return jwt.New(jwt.Options{
		Source: jwt.Source{Issuer: authorityIssuer, KeySet: a.jwks}, Audience: []string{authorityAudience},
	})
}

func introspecting(i *jwt.Introspector, tokens []string) worker {
	var next atomic.Uint64
	return func(ctx context.Context) error {
		facts, err := i.Introspect(ctx, tokens[next.Add(1)%uint64(len(tokens))])
		if err == nil && !facts.Active {
			err = errors.New("a good JWT is not active")
		}
		return err
	}
}

func checking(checks []func() bool) worker {
	var next atomic.Uint64
	return func(context.Context) error {
		if !checks[next.Add(1)%uint64(len(checks))]() {
			return errors.New("a good signature is refused")
		}
		return nil
	}
}

// bareCheck is a JWS's signature check and nothing else: all that it takes is at
// hand, in the form that Go's crypto takes.
func bareCheck(public crypto.PublicKey, token string) (func() bool, error) {
	dot := strings.LastIndexByte(token, '.')
	input := []byte(token[:max(0, dot)])
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		return nil, err
	}
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		signature, err = asn1Signature(signature)
		return func() bool {
			digest := sha256.Sum256(input)
			return ecdsa.VerifyASN1(public, digest[:], signature)
		}, err
	case *rsa.PublicKey:
		return func() bool {
			digest := sha256.Sum256(input)
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
		}, nil
	}
	return nil, fmt.Errorf("no check for a %T", public)
}

// asn1Signature makes a signature of RFC 7518 §3.4 one of RFC 3279 §2.2.3.
func asn1Signature(signature []byte) ([]byte, error) {
	half := len(signature) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])})
}
