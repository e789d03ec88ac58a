package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	testIssuer   = "https://as.example.com"
	testAudience = "https://api.example.com"
)

// start is when tests begin.
var start = time.Unix(1_790_000_000, 0)

var allAlgorithms = []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}

// clock is time that tests own.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(start.UnixNano())
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.nanos.Load()) }
func (c *clock) pass(by time.Duration) { c.nanos.Add(int64(by)) }

// object is a JSON object.
type object map[string]any

func (o object) with(changes object) object {
	o = maps.Clone(o)
	for name, value := range changes {
		if o[name] = value; value == nil {
			delete(o, name)
		}
	}
	return o
}

func (o object) json() []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return text
}

// claims are those of a good token (RFC 9068 §2.2.3).
func claims() object {
	return object{
		"iss": testIssuer, "aud": testAudience, "sub": "alice", "client_id": "shop", "scope": "orders:read profile",
		"iat": start.Unix(), "exp": start.Unix() + 300, "jti": "k3J9sQ7yT2mZ0w",
	}
}

// signer is a private key that an issuer uses for one algorithm.
type signer struct {
	alg, kid string
	private  crypto.Signer
}

var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newSigner(t testing.TB, alg, kid string) *signer {
	t.Helper()
	var private crypto.Signer
	var err error
	switch keyKind(alg) {
	case "RSA":
		private, err = rsaKey()
	case "P-256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "Ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = errors.New("no key for " + alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &signer{alg, kid, private}
}

// public is the key as a JWK (RFC 7517 §4).
func (s *signer) public(t testing.TB) object { return toJWK(t, s.private.Public(), s.kid, s.alg) }

func toJWK(t testing.TB, raw any, kid, alg string) object {
	t.Helper()
	key, err := jwk.FromRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o.with(object{"kid": kid, "alg": alg, "use": "sig"})
}

func jwks(keys ...object) []byte { return object{"keys": append([]object{}, keys...)}.json() }

func segment(part []byte) string { return base64.RawURLEncoding.EncodeToString(part) }

// sign makes a token; changes are to the header.
func (s *signer) sign(t testing.TB, payload []byte, changes object) string {
	t.Helper()
	header := object{"alg": s.alg, "kid": s.kid, "typ": "at+jwt"}.with(changes)
	return s.signRaw(t, header.json(), payload)
}

func (s *signer) signRaw(t testing.TB, header, payload []byte) string {
	t.Helper()
	with, err := jws.NewSigner(jwa.SignatureAlgorithm(s.alg))
	if err != nil {
		t.Fatal(err)
	}
	input := segment(header) + "." + segment(payload)
	signature, err := with.Sign([]byte(input), s.private)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + segment(signature)
}

func (s *signer) token(t testing.TB) string { return s.sign(t, claims().json(), nil) }

// options are for a token of claims().
func options(now func() time.Time) Options {
	return Options{
		Source:   Source{Issuer: testIssuer, Now: now, Random: func() float64 { return 0 }},
		Audience: []string{"https://other.example.com", testAudience},
	}
}

// static returns an introspector with given keys.
func static(t testing.TB, change func(*Options), keys ...object) *Introspector {
	t.Helper()
	o := options(newClock().now)
	o.KeySet = jwks(keys...)
	if change != nil {
		change(&o)
	}
	return open(t, o)
}

func open(t testing.TB, o Options) *Introspector {
	t.Helper()
	i, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

// outcome is what an introspection says, for tables.
func outcome(t testing.TB, i introspect.Introspector, token string) string {
	t.Helper()
	facts, err := i.Introspect(t.Context(), token)
	switch {
	case err != nil && !errors.Is(err, introspect.ErrUnavailable):
		t.Fatalf("an error that is not ErrUnavailable: %v", err)
	case err != nil && len(token) > 8 && strings.Contains(err.Error(), token[len(token)-8:]):
		t.Fatalf("the error quotes the token: %v", err)
	case err != nil:
		return "unavailable"
	case facts.Active:
		return "active"
	}
	return "inactive"
}

func want(t testing.TB, i introspect.Introspector, token, outcomeWanted, when string) {
	t.Helper()
	if got := outcome(t, i, token); got != outcomeWanted {
		t.Errorf("%s: %s, want %s", when, got, outcomeWanted)
	}
}

// until yields until a condition that other goroutines bring about holds.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
