package upstream

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	sampleToken = "at_AAAB3kQ9tY0x_4fXl2m8c0aVd6oTqkq3v9Zr7wL1yHnPbEuSgJiKfMxR"
	gateway     = "https://gateway.example.com"
	resource    = "https://orders.example.com"
)

var algorithms = []jwa.SignatureAlgorithm{jwa.ES256, jwa.ES384, jwa.EdDSA, jwa.RS256, jwa.PS256}

// clock is time that tests own.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Now().Truncate(time.Second).UnixNano())
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.nanos.Load()) }
func (c *clock) unix() int64           { return c.now().Unix() }
func (c *clock) pass(by time.Duration) { c.nanos.Add(int64(by)) }

func activeFacts() *introspect.Facts {
	return &introspect.Facts{
		Active: true, Issuer: "https://as.example.com", Subject: "alice", ClientID: "shop", TokenType: "Bearer",
		Scopes: []string{"orders:read", "profile"}, Audience: []string{"https://api.example.com"}, AuthTime: 5,
		Ref: introspect.Ref{Service: 1, Token: 2, Grant: 3, Client: 4, Subject: "alice"},
		Claims: map[string]any{
			"acr": "gold", "amr": []any{"pwd", "otp"}, "email": "alice@example.com", "tier": json.Number("12345678901234567890"),
			"cnf": map[string]any{"jkt": "x"}, "jti": "other", "nbf": json.Number("1"), "echo": sampleToken,
		},
	}
}

func generate(t testing.TB, alg jwa.SignatureAlgorithm) jwk.Key {
	t.Helper()
	key, err := Generate(alg.String())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func setOf(t testing.TB, keys ...jwk.Key) jwk.Set {
	t.Helper()
	set := jwk.NewSet()
	for _, key := range keys {
		if err := set.AddKey(key); err != nil {
			t.Fatal(err)
		}
	}
	return set
}

func newTestSigner(t testing.TB, alg jwa.SignatureAlgorithm) *Signer {
	t.Helper()
	s, err := NewSigner(setOf(t, generate(t, alg)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// verify checks a JWT against published keys, by kid, with jwx alone, and
// returns its typ and claims.
func verify(t testing.TB, keys []byte, token string) (string, map[string]any) {
	t.Helper()
	set, err := jwk.Parse(keys)
	if err != nil {
		t.Fatal(err)
	}
	message, err := jws.Parse([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify([]byte(token), jws.WithKeySet(set, jws.WithRequireKid(true)))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.UseNumber()
	var claims map[string]any
	if err := d.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	return message.Signatures()[0].ProtectedHeaders().Type(), claims
}

// introspector knows every token.
func introspector(facts func() *introspect.Facts) introspect.Introspector {
	return introspect.IntrospectorFunc(func(context.Context, string) (*introspect.Facts, error) { return facts(), nil })
}

func newTestCache(t testing.TB) *introspect.Cache {
	t.Helper()
	c, err := introspect.NewCache(introspect.Options{Identity: "https://as.example.com/introspect"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func bearerRequest(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}
