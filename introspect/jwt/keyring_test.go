package jwt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// RFC 7517 §4, §5 and RFC 8725 §3.1: of a key set, only what is meant to verify
// with an allowed algorithm is used; the rest is left out and does no harm.
func TestKeysLeftOut(t *testing.T) {
	good, es, rs, ed := newSigner(t, "ES256", "good"), newSigner(t, "ES256", "k"), newSigner(t, "RS256", "k"), newSigner(t, "EdDSA", "k")
	other, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224 := object{"kty": "EC", "crv": "P-224", "kid": "k", "x": segment(other.X.Bytes()), "y": segment(other.Y.Bytes())} //nolint:staticcheck // jwx has no such curve
	long := new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), maxRSABits), 0, 1)
	private := toJWK(t, es.private, "k", "ES256")
	for name, c := range map[string]struct {
		s   *signer
		key object
	}{
		"for encryption":             {es, es.public(t).with(object{"use": "enc"})},
		"for something else":         {es, es.public(t).with(object{"use": "tls"})},
		"operations without verify":  {es, es.public(t).with(object{"key_ops": []string{"sign"}})},
		"operations unknown":         {es, es.public(t).with(object{"key_ops": []string{"prove"}})},
		"of an unknown algorithm":    {es, es.public(t).with(object{"alg": "ES256K"})},
		"private":                    {es, private},
		"a curve for no algorithm":   {es, p224},
		"off its curve":              {es, es.public(t).with(object{"x": segment(make([]byte, 32))})},
		"an empty curve point":       {es, es.public(t).with(object{"x": "", "y": ""})},
		"an RSA key of 1024 bits":    {rs, toJWK(t, weakRSA(t), "k", "RS256")},
		"an RSA key too long":        {rs, toJWK(t, &rsa.PublicKey{N: long, E: 65537}, "k", "RS256")},
		"an RSA key with exponent 1": {rs, rs.public(t).with(object{"e": "AQ"})},
		"an Ed25519 key too short":   {ed, ed.public(t).with(object{"x": segment(make([]byte, 31))})},
		"an X25519 key":              {ed, ed.public(t).with(object{"crv": "X25519"})},
		"HMAC":                       {es, object{"kty": "oct", "kid": "k", "alg": "HS256", "k": segment(make([]byte, 32))}},
		"an unknown kind":            {es, object{"kty": "AKP", "kid": "k", "alg": "ES256"}},
		"kid that is no string":      {es, es.public(t).with(object{"kid": 7})},
		"nothing":                    {es, object{}},
	} {
		t.Run(name, func(t *testing.T) {
			i := static(t, nil, c.key, good.public(t))
			want(t, i, good.token(t), "active", "the key beside it")
			want(t, i, c.s.token(t), "inactive", name)
			if got := i.Status().Keys; got != 1 {
				t.Errorf("%d usable keys, want the one beside it", got)
			}
		})
	}
}

// RFC 7515 §4.1.4, RFC 7517 §4.4: a key is found by its kid and for its alg.
func TestKeysForOthers(t *testing.T) {
	es, rs := newSigner(t, "ES256", "k"), newSigner(t, "RS256", "k")
	for name, c := range map[string]struct {
		s   *signer
		key object
	}{
		"of another algorithm": {rs, rs.public(t).with(object{"alg": "PS256"})},
		"of another curve":     {es, newSigner(t, "ES384", "k").public(t).with(object{"alg": nil})},
		"of another kid":       {es, es.public(t).with(object{"kid": "K"})},
		"without kid":          {es, es.public(t).with(object{"kid": nil})},
	} {
		t.Run(name, func(t *testing.T) { want(t, static(t, nil, c.key), c.s.token(t), "inactive", name) })
	}
}

// weakRSA returns an RSA key that is too short. One has to ask for it by name.
func weakRSA(t *testing.T) *rsa.PublicKey {
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

// RFC 7517 §4.1 to §4.5: what keys need not say.
func TestKeysTaken(t *testing.T) {
	es, rs := newSigner(t, "ES256", "k"), newSigner(t, "RS256", "k")
	ps := &signer{"PS512", "k", rs.private}
	for name, c := range map[string]struct {
		s    *signer
		keys []object
	}{
		"no use, no alg":               {es, []object{es.public(t).with(object{"use": nil, "alg": nil})}},
		"operations with verify":       {es, []object{es.public(t).with(object{"key_ops": []string{"verify"}})}},
		"one RSA key, another padding": {ps, []object{rs.public(t).with(object{"alg": nil})}},
		"one kid, two kinds":           {es, []object{rs.public(t), es.public(t)}},
		"one key twice":                {es, []object{es.public(t), es.public(t)}},
		"members that nobody knows":    {es, []object{es.public(t).with(object{"exp": 1, "x5t": "t"})}},
	} {
		t.Run(name, func(t *testing.T) { want(t, static(t, nil, c.keys...), c.s.token(t), "active", name) })
	}
}

// RFC 7515 §4.1.4 and RFC 9068 §4: where more than one key could be meant, none
// is tried.
func TestAmbiguousKeys(t *testing.T) {
	a, b, c := newSigner(t, "ES256", "a"), newSigner(t, "ES256", "b"), newSigner(t, "ES256", "a")
	none := object{"kid": nil}
	bare := a.sign(t, claims().json(), none)
	for name, tc := range map[string]struct {
		token string
		keys  []object
		want  string
	}{
		"no kid, one key":                   {bare, []object{a.public(t)}, "active"},
		"no kid, one key without":           {bare, []object{a.public(t).with(none)}, "active"},
		"no kid, one key of that algorithm": {bare, []object{newSigner(t, "EdDSA", "d").public(t), a.public(t)}, "active"},
		"no kid, two keys":                  {bare, []object{a.public(t), b.public(t)}, "inactive"},
		"no kid, two keys without":          {bare, []object{a.public(t).with(none), b.public(t).with(none)}, "inactive"},
		"no kid, three keys":                {bare, []object{b.public(t), c.public(t), a.public(t)}, "inactive"},
		"a kid that two keys have":          {a.token(t), []object{a.public(t), c.public(t)}, "inactive"},
		"a kid that three have":             {a.token(t), []object{c.public(t), newSigner(t, "ES256", "a").public(t), a.public(t)}, "inactive"},
		"a kid that one has beside them":    {b.token(t), []object{a.public(t), c.public(t), b.public(t)}, "active"},
	} {
		t.Run(name, func(t *testing.T) { want(t, static(t, nil, tc.keys...), tc.token, tc.want, name) })
	}
}

// Threat 35: a key set that nothing can be verified with stops the start.
func TestKeySetsRefused(t *testing.T) {
	es := newSigner(t, "ES256", "k")
	for name, text := range map[string][]byte{
		"empty":         {},
		"null":          []byte(`null`),
		"no keys":       []byte(`{}`),
		"keys of null":  []byte(`{"keys":null}`),
		"keys no list":  []byte(`{"keys":{}}`),
		"one key":       es.public(t).json(),
		"an empty list": jwks(),
		"none usable":   jwks(object{"kty": "oct", "k": "AAAA"}),
		"cut off":       jwks(es.public(t))[:100],
		"too many":      []byte(`{"keys":[` + strings.Repeat("0,", DefaultMaxKeys) + string(es.public(t).json()) + `]}`),
	} {
		t.Run(name, func(t *testing.T) {
			o := options(nil)
			o.KeySet = text
			if _, err := New(o); err == nil {
				t.Error("accepted")
			}
		})
	}
	most := make([]string, DefaultMaxKeys-1)
	for n := range most {
		most[n] = fmt.Sprintf(`{"kty":"EC","kid":"%d"}`, n)
	}
	o := options(newClock().now)
	o.KeySet = []byte(`{"keys":[` + strings.Join(most, ",") + "," + string(es.public(t).json()) + `]}`)
	i := open(t, o)
	want(t, i, es.token(t), "active", "as many as are allowed, and one of use")
	if got := i.Status().Keys; got != 1 {
		t.Errorf("%d usable keys, want 1", got)
	}
}
