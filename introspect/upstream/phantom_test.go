package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

func newTestPhantom(t testing.TB, o PhantomOptions) *Phantom {
	t.Helper()
	if o.Signer == nil {
		o.Signer = newTestSigner(t, jwa.ES256)
	}
	o.Issuer = gateway
	if o.Audience == nil {
		o.Audience = []string{resource}
	}
	p, err := NewPhantom(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func phantomOf(t testing.TB, p *Phantom, f *introspect.Facts) string {
	t.Helper()
	signed, err := p.Token(t.Context(), sampleToken, f)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestPhantomClaims (RFC 9068 §2.2): what every token says, and what is passed
// on by choice. cnf, times and ids of the token it stands for never are, nor is
// that token.
func TestPhantomClaims(t *testing.T) {
	c := newClock()
	number := func(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
	whole := map[string]any{
		"iss": gateway, "aud": resource, "sub": "alice", "client_id": "shop", "scope": "orders:read profile", "iat": number(c.unix()),
		"exp": number(c.unix() + 60), "jti": "AAAAAAAAAAAAAAAAAAAAAA", "auth_time": json.Number("5"), "acr": "gold", "amr": []any{"pwd", "otp"},
	}
	with := func(more map[string]any) map[string]any {
		claims := map[string]any{}
		for _, m := range []map[string]any{whole, more} {
			for name, value := range m {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			}
		}
		return claims
	}
	bare := &introspect.Facts{Active: true, ClientID: "batch"}
	for _, test := range []struct {
		name    string
		options PhantomOptions
		facts   *introspect.Facts
		want    map[string]any
	}{
		{"none by choice", PhantomOptions{}, activeFacts(), whole},
		{"one, and one that is not there", PhantomOptions{Claims: []string{"email", "phone"}}, activeFacts(), with(map[string]any{"email": "alice@example.com"})},
		{"all", PhantomOptions{Claims: []string{"*"}}, activeFacts(), with(map[string]any{"email": "alice@example.com", "tier": json.Number("12345678901234567890")})},
		{"the token by name", PhantomOptions{Claims: []string{"echo"}}, activeFacts(), whole},
		{"two audiences", PhantomOptions{Audience: []string{"a", "b"}}, activeFacts(), with(map[string]any{"aud": []any{"a", "b"}})},
		{"a client's own", PhantomOptions{}, bare, with(map[string]any{"sub": "batch", "client_id": "batch", "scope": nil, "auth_time": nil, "acr": nil, "amr": nil})},
		{"nobody's", PhantomOptions{}, &introspect.Facts{Active: true}, with(map[string]any{"sub": nil, "client_id": nil, "scope": nil, "auth_time": nil, "acr": nil, "amr": nil})},
		{"a longer life", PhantomOptions{Lifetime: time.Hour}, activeFacts(), with(map[string]any{"exp": number(c.unix() + 3600)})},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.options.Now, test.options.Random = c.now, zeros{}
			p := newTestPhantom(t, test.options)
			typ, got := verify(t, p.options.Signer.JWKS(), phantomOf(t, p, test.facts))
			if diff := cmp.Diff(test.want, got); diff != "" || typ != "at+jwt" {
				t.Error(typ, diff)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestPromise03PhantomEndsWithItsToken: exp is never later than the token's, and
// after it there is no phantom token.
func TestPromise03PhantomEndsWithItsToken(t *testing.T) {
	c := newClock()
	p := newTestPhantom(t, PhantomOptions{Now: c.now})
	f := activeFacts()
	f.ExpiresAt = c.unix() + 20
	signed := phantomOf(t, p, f)
	if _, claims := verify(t, p.options.Signer.JWKS(), signed); claims["exp"] != json.Number(strconv.FormatInt(f.ExpiresAt, 10)) {
		t.Errorf("exp %v, the token's is %d", claims["exp"], f.ExpiresAt)
	}
	c.pass(20*time.Second - 1)
	phantomOf(t, p, f)
	c.pass(1)
	if got, err := p.Token(t.Context(), sampleToken, f); !errors.Is(err, introspect.ErrUnavailable) {
		t.Errorf("on its last second: %s, %v", got, err)
	}
}

// TestPhantomIsRenewedAhead: at two thirds of its life there is a new one, made
// by the key of the time.
func TestPhantomIsRenewedAhead(t *testing.T) {
	c := newClock()
	p := newTestPhantom(t, PhantomOptions{Now: c.now})
	f := activeFacts()
	first := phantomOf(t, p, f)
	c.pass(30 * time.Second)
	if got := phantomOf(t, p, f); got != first {
		t.Error("made anew before half its life was over")
	}
	key := generate(t, jwa.EdDSA)
	if err := p.options.Signer.Replace(setOf(t, key)); err != nil {
		t.Fatal(err)
	}
	c.pass(10 * time.Second)
	var got string
	for end := time.Now().Add(20 * time.Second); got == "" || got == first; got = phantomOf(t, p, f) {
		if time.Now().After(end) {
			t.Fatal("never renewed")
		}
	}
	verify(t, p.options.Signer.JWKS(), got)
}

// TestPromise05RevocationTakesThePhantom.
func TestPromise05RevocationTakesThePhantom(t *testing.T) {
	cache := newTestCache(t)
	revoked := false
	from := cache.Over(introspector(func() *introspect.Facts {
		if revoked {
			return &introspect.Facts{}
		}
		return activeFacts()
	}))
	phantom, err := Replace(newTestPhantom(t, PhantomOptions{}), "")
	if err != nil {
		t.Fatal(err)
	}
	apply := func() string {
		t.Helper()
		facts, err := from.Introspect(t.Context(), sampleToken)
		if err != nil {
			t.Fatal(err)
		}
		r := bearerRequest(sampleToken)
		if refusal := phantom.Apply(r, introspect.Credentials{Scheme: "Bearer", Token: sampleToken}, facts); refusal != nil {
			t.Fatal(refusal)
		}
		return r.Header.Get("Authorization")
	}
	first := apply()
	if got := apply(); got != first || !strings.HasPrefix(first, "Bearer ey") {
		t.Errorf("%s, then %s", first, got)
	}
	cache.Revoke(introspect.Revocation{Kind: introspect.RevokeGrant, Service: 1, ID: 3}) // its facts may have changed
	second := apply()
	if second == first {
		t.Error("the phantom token outlived its facts")
	}
	revoked = true
	cache.Revoke(introspect.Revocation{Kind: introspect.RevokeToken, Service: 1, ID: 2})
	if got := apply(); got != "" {
		t.Errorf("for a revoked token: %s", got)
	}
}

// TestPhantomAtAResource: a resource that uses go-oidc accepts it by issuer,
// audience and published keys.
func TestPhantomAtAResource(t *testing.T) {
	p := newTestPhantom(t, PhantomOptions{Audience: []string{resource, "https://other.example.com"}})
	keys := httptest.NewServer(p.options.Signer)
	defer keys.Close()
	verifier := oidc.NewVerifier(gateway, oidc.NewRemoteKeySet(t.Context(), keys.URL),
		&oidc.Config{ClientID: resource, SupportedSigningAlgs: []string{oidc.ES256}})
	token, err := verifier.Verify(t.Context(), phantomOf(t, p, activeFacts()))
	if err != nil || token.Subject != "alice" || !slices.Contains(token.Audience, resource) {
		t.Error(token, err)
	}
}

func TestPhantomErrors(t *testing.T) {
	large := activeFacts()
	large.Claims["groups"] = strings.Repeat("x", introspect.DefaultMaxTokenLength)
	for name, test := range map[string]struct {
		options PhantomOptions
		facts   *introspect.Facts
	}{
		"no randomness": {PhantomOptions{Random: iotest.ErrReader(errors.New("empty"))}, activeFacts()},
		"too little":    {PhantomOptions{Random: bytes.NewReader(make([]byte, 15))}, activeFacts()},
		"too large":     {PhantomOptions{Claims: []string{"groups"}}, large},
	} {
		got, err := newTestPhantom(t, test.options).Token(context.Background(), sampleToken, test.facts)
		if !errors.Is(err, introspect.ErrUnavailable) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func TestPhantomOptions(t *testing.T) {
	good := func() PhantomOptions {
		return PhantomOptions{Signer: newTestSigner(t, jwa.ES256), Issuer: gateway, Audience: []string{resource}}
	}
	for name, change := range map[string]func(*PhantomOptions){
		"no signer":         func(o *PhantomOptions) { o.Signer = nil },
		"no issuer":         func(o *PhantomOptions) { o.Issuer = "" },
		"no audience":       func(o *PhantomOptions) { o.Audience = nil },
		"an empty audience": func(o *PhantomOptions) { o.Audience = []string{""} },
		"negative lifetime": func(o *PhantomOptions) { o.Lifetime = -1 },
		"short lifetime":    func(o *PhantomOptions) { o.Lifetime = time.Millisecond },
		"long lifetime":     func(o *PhantomOptions) { o.Lifetime = 2 * time.Hour },
		"cnf":               func(o *PhantomOptions) { o.Claims = []string{"cnf"} },
		"another's sub":     func(o *PhantomOptions) { o.Claims = []string{"sub"} },
		"all and one":       func(o *PhantomOptions) { o.Claims = []string{"*", "email"} },
	} {
		o := good()
		change(&o)
		if _, err := NewPhantom(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	p, err := NewPhantom(good())
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}
