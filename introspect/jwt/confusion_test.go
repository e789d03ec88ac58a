package jwt

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

// mac signs like somebody who takes a public key for a shared secret.
func mac(secret []byte, header object) string {
	input := segment(header.json()) + "." + segment(claims().json())
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(input))
	return input + "." + segment(h.Sum(nil))
}

// Threat 13 and promise 10: whoever makes a token chooses neither the algorithm
// nor the key. Nothing here makes a fetch either (threat 16): there is no client.
func TestConfusion(t *testing.T) {
	ec, rs, ed := newSigner(t, "ES256", "ec"), newSigner(t, "RS256", "rs"), newSigner(t, "EdDSA", "ed")
	evil := newSigner(t, "ES256", "ec")
	i := static(t, nil, ec.public(t), rs.public(t), ed.public(t))
	der, err := x509.MarshalPKIXPublicKey(rs.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := claims().json()
	header := func(alg string) object { return object{"alg": alg, "kid": "rs", "typ": "at+jwt"} }
	unsigned := segment(header("none").json()) + "." + segment(good) + "."
	signed := ec.token(t)
	dot := strings.LastIndexByte(signed, '.')

	for name, token := range map[string]string{
		"none":                       unsigned,
		"None":                       segment(header("None").json()) + "." + segment(good) + ".",
		"none with a signature":      unsigned + signed[dot+1:],
		"no alg":                     ec.sign(t, good, object{"alg": nil}),
		"alg that is no string":      ec.sign(t, good, object{"alg": []string{"ES256"}}),
		"alg in other letters":       ec.sign(t, good, object{"alg": "es256"}),
		"ALG in capitals":            ec.sign(t, good, object{"alg": nil, "ALG": "ES256"}),
		"a signature of nothing":     signed[:dot+1],
		"HMAC with the PEM":          mac(asPEM, header("HS256")),
		"HMAC with the DER":          mac(der, header("HS256")),
		"HMAC with the JWK":          mac(rs.public(t).json(), header("HS256")),
		"HMAC called RS256":          mac(asPEM, header("RS256")),
		"RS256 called PS256":         rs.sign(t, good, object{"alg": "PS256"}),
		"ES256 under an RSA kid":     ec.sign(t, good, object{"kid": "rs"}),
		"ES256 called EdDSA":         ec.sign(t, good, object{"alg": "EdDSA", "kid": "ed"}),
		"ES256 called RS256":         ec.sign(t, good, object{"alg": "RS256", "kid": "rs"}),
		"ES256 called ES384":         ec.sign(t, good, object{"alg": "ES384"}),
		"ES256K":                     ec.sign(t, good, object{"alg": "ES256K"}),
		"kid that is no string":      ec.sign(t, good, object{"kid": 1}),
		"another kid":                ec.sign(t, good, object{"kid": "EC"}),
		"a key of its own: jwk":      evil.sign(t, good, object{"jwk": evil.public(t)}),
		"a key of its own: jku":      evil.sign(t, good, object{"jku": "https://evil.example.com/jwks"}),
		"a key of its own: x5u":      evil.sign(t, good, object{"x5u": "https://evil.example.com/x"}),
		"a key of its own: x5c":      evil.sign(t, good, object{"x5c": []string{segment(der)}}),
		"a key of its own as kid":    evil.sign(t, good, object{"kid": evil.public(t).json()}),
		"kid as an address":          evil.sign(t, good, object{"kid": "https://evil.example.com/jwks#ec"}),
		"kid as a path":              evil.sign(t, good, object{"kid": "../../ec"}),
		"crit":                       ec.sign(t, good, object{"crit": []string{"exp"}}),
		"an empty crit":              ec.sign(t, good, object{"crit": []string{}}),
		"b64":                        ec.sign(t, good, object{"b64": false, "crit": []string{"b64"}}),
		"b64 that changes nothing":   ec.sign(t, good, object{"b64": true}),
		"typ that is no string":      ec.sign(t, good, object{"typ": []string{"at+jwt"}}),
		"a header that is no object": ec.signRaw(t, []byte(`["ES256"]`), good),
		"a header that is null":      ec.signRaw(t, []byte(`null`), good),
		"something after the header": ec.signRaw(t, []byte(`{"alg":"ES256","kid":"ec","typ":"at+jwt"}{}`), good),
	} {
		t.Run(name, func(t *testing.T) { want(t, i, token, "inactive", name) })
	}
	want(t, i, ec.sign(t, good, object{"jwk": evil.public(t), "jku": "https://evil.example.com/jwks"}), "active",
		"what comes with a token is not read")
}

// RFC 7515 §7.1: a token has one spelling.
func TestSerialization(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	i := static(t, nil, s.public(t))
	good := s.token(t)
	parts := strings.Split(good, ".")
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", good[len(good)-1])
	stray := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1]
	for name, token := range map[string]string{
		"nothing":                 "",
		"opaque":                  "at_AAAB3kQ9tY0x",
		"two segments":            parts[0] + "." + parts[1],
		"four segments":           good + ".",
		"five segments, as a JWE": good + "..",
		"a line break":            parts[0] + ".\n" + parts[1] + "." + parts[2],
		"a line break at the end": good + "\r\n",
		"padding":                 good + "==",
		"stray bits at the end":   good[:len(good)-1] + string(stray),
		"the other base64":        parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "+",
		"a space before":          " " + good,
		"claims twice":            s.sign(t, []byte(strings.Replace(string(claims().json()), `{`, `{"iss":"https://evil.example.com",`, 1)), nil),
		"claims that are no JSON": s.sign(t, []byte("x"), nil),
		"a nested JWT":            s.sign(t, []byte(good), object{"cty": "JWT"}),
	} {
		t.Run(name, func(t *testing.T) { want(t, i, token, "inactive", name) })
	}
}

// Threat 14: what is too large is refused before it is decoded, and so is what
// is nested too deeply.
func TestSize(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	i := static(t, nil, s.public(t))
	pad := func(n int) []byte { return claims().with(object{"pad": strings.Repeat("x", n)}).json() }
	fits := s.sign(t, pad(5700), nil)
	for name, c := range map[string]struct{ token, want string }{
		"just short enough":  {fits, "active"},
		"too long":           {s.sign(t, pad(6200), nil), "inactive"},
		"1 MiB of segments":  {strings.Repeat(".", 1<<20), "inactive"},
		"a header that fits": {s.sign(t, claims().json(), object{"pad": strings.Repeat("x", 1900)}), "active"},
		"a long header":      {s.sign(t, claims().json(), object{"pad": strings.Repeat("x", 2048)}), "inactive"},
		"a deep header":      {s.signRaw(t, []byte(strings.Repeat("[", 1500)), claims().json()), "inactive"},
		"deep claims":        {s.sign(t, []byte(`{"a":`+strings.Repeat("[", 3000)+strings.Repeat("]", 3000)+"}"), nil), "inactive"},
		"a long number":      {s.sign(t, []byte(`{"exp":`+strings.Repeat("9", 4000)+"}"), nil), "inactive"},
	} {
		t.Run(name, func(t *testing.T) { want(t, i, c.token, c.want, name) })
	}
	small := static(t, func(o *Options) { o.MaxToken = len(fits) - 1 }, s.public(t))
	want(t, small, fits, "inactive", "one byte more than the operator allows")
}
