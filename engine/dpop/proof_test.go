package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
)

// RFC 9449 §4.3, 1 and 2: one header field with one well-formed JWT.
func TestCheck01And02OneWellFormedProof(t *testing.T) {
	clock := newClock()
	v, s := newChecker(t, clock, Options{}), dpoptest.NewKey(t, "ES256")
	good := func() string { return prove(t, s, clock.unix(), nil, nil) }
	parts := strings.Split(good(), ".")
	for _, test := range []struct {
		name   string
		header []string
		code   string
	}{
		{"one", []string{good()}, ""},
		{"none", nil, CodeInvalidProof},
		{"empty", []string{""}, CodeInvalidProof},
		{"two fields", []string{good(), good()}, CodeInvalidProof},
		{"a list", []string{good() + ", " + good()}, CodeInvalidProof},
		{"space around it", []string{" " + good()}, CodeInvalidProof},
		{"two segments", []string{parts[0] + "." + parts[1]}, CodeInvalidProof},
		{"four segments", []string{good() + "."}, CodeInvalidProof},
		{"padded", []string{parts[0] + "." + parts[1] + "." + parts[2] + "=="}, CodeInvalidProof},
		{"stray bits", []string{strayBit(good())}, CodeInvalidProof},
		{"a line break", []string{good() + "\n"}, CodeInvalidProof},
		{"JSON serialization", []string{`{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`}, CodeInvalidProof},
		{"too long", []string{prove(t, s, clock.unix(), nil, members{"more": strings.Repeat("x", maxProof)})}, CodeInvalidProof},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := v.Check(test.header, sampleRequest(t))
			wantCode(t, err, test.code)
		})
	}
}

// strayBit sets a bit of the last character that decoders do not look at.
func strayBit(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + alphabet[last^1:last^1+1]
}

// RFC 9449 §4.3, 3: all required claims, each of its type (§4.2).
func TestCheck03RequiredClaims(t *testing.T) {
	clock := newClock()
	v, s := newChecker(t, clock, Options{}), dpoptest.NewKey(t, "ES256")
	for _, test := range []struct {
		name    string
		changes members
		good    bool
	}{
		{"all", nil, true},
		{"more than those", members{"exp": 1, "sub": "alice"}, true},
		{"no jti", members{"jti": nil}, false},
		{"empty jti", members{"jti": ""}, false},
		{"jti that is a number", members{"jti": 7}, false},
		{"longest jti", members{"jti": strings.Repeat("j", maxJTI)}, true},
		{"longer jti", members{"jti": strings.Repeat("j", maxJTI+1)}, false},
		{"no htm", members{"htm": nil}, false},
		{"no htu", members{"htu": nil}, false},
		{"no iat", members{"iat": nil}, false},
		{"iat that is text", members{"iat": "1800000000"}, false},
		{"iat beyond numbers", members{"iat": 1e300}, false},
		{"iat with a fraction", members{"iat": float64(clock.unix()) + 0.5}, true},
		{"JTI for jti", members{"jti": nil, "JTI": "x"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := check(t, v, prove(t, s, clock.unix(), nil, test.changes))
			wantGood(t, err, test.good)
			if !test.good && !strings.Contains(err.Error(), "claims: jti") {
				t.Error(err)
			}
		})
	}
}

// RFC 9449 §4.3, 4; RFC 8725 §3.11 (threats.md 13).
func TestCheck04Type(t *testing.T) {
	clock := newClock()
	v, s := newChecker(t, clock, Options{}), dpoptest.NewKey(t, "ES256")
	for typ, good := range map[any]bool{
		"dpop+jwt": true, "DPoP+JWT": true, // RFC 7515 §4.1.9
		"JWT": false, "at+jwt": false, "dpop": false, "": false, nil: false, 1: false,
	} {
		wantGood(t, check(t, v, prove(t, s, clock.unix(), members{"typ": typ}, nil)), good)
	}
}

// RFC 9449 §4.3, 5: asymmetric, and accepted here (threats.md 13).
func TestCheck05Algorithm(t *testing.T) {
	clock := newClock()
	all := []string{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	usual, every := newChecker(t, clock, Options{}), newChecker(t, clock, Options{Algorithms: all})
	for _, alg := range all {
		s := dpoptest.NewKey(t, alg)
		wantGood(t, check(t, every, prove(t, s, clock.unix(), nil, nil)), true)
		usually := strings.Contains("ES256 Ed25519 EdDSA PS256", alg)
		wantGood(t, check(t, usual, prove(t, s, clock.unix(), nil, nil)), usually)
	}
	s := dpoptest.NewKey(t, "ES256")
	for _, alg := range []any{"none", "None", "HS256", "es256", "ES256K", "", nil, 256} {
		wantGood(t, check(t, every, prove(t, s, clock.unix(), members{"alg": alg}, nil)), false)
	}
	unsigned := prove(t, s, clock.unix(), members{"alg": "none"}, nil)
	wantGood(t, check(t, every, unsigned[:strings.LastIndexByte(unsigned, '.')+1]), false)
}

// No configuration makes a symmetric algorithm good (RFC 9449 §4.3, 5).
func TestNewRefusesAlgorithms(t *testing.T) {
	for _, alg := range []string{"none", "HS256", "ES256K", "dir", ""} {
		if _, err := New(Options{Algorithms: []string{"ES256", alg}}); err == nil {
			t.Errorf("%q is accepted", alg)
		}
	}
}

// RFC 9449 §4.3, 6: the signature is that of the jwk, over these bytes.
func TestCheck06Signature(t *testing.T) {
	clock := newClock()
	v, s, other := newChecker(t, clock, Options{}), dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES256")
	good := prove(t, s, clock.unix(), nil, nil)
	parts, others := strings.Split(good, "."), strings.Split(prove(t, s, clock.unix(), nil, nil), ".")
	secret := hmac.New(sha256.New, s.JWK.JSON(t))
	secret.Write([]byte(parts[0] + "." + parts[1]))
	for name, proof := range map[string]string{
		"of another proof":    parts[0] + "." + parts[1] + "." + others[2],
		"with another's key":  prove(t, s, clock.unix(), members{"jwk": other.JWK}, nil),
		"empty":               parts[0] + "." + parts[1] + ".",
		"zeros":               parts[0] + "." + parts[1] + "." + strings.Repeat("A", 86),
		"an HMAC of the key":  parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(secret.Sum(nil)),
		"cut off":             good[:len(good)-4],
		"with a byte flipped": good[:len(good)-5] + flip(good[len(good)-5:]),
	} {
		t.Run(name, func(t *testing.T) { wantGood(t, check(t, v, proof), false) })
	}
	wantGood(t, check(t, v, good), true)
}

func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

// Nothing in the header changes what is signed or names another key, and of
// a name that is there twice the last one counts (RFC 7515 §4; RFC 7797 §6; threats.md 13, 14, 16).
func TestHeaderParameters(t *testing.T) {
	clock := newClock()
	v, s := newChecker(t, clock, Options{}), dpoptest.NewKey(t, "ES256")
	for _, test := range []struct {
		name    string
		changes members
		good    bool
	}{
		{"kid", members{"kid": "../../etc/passwd"}, true}, // not looked at
		{"crit", members{"crit": []string{"b64"}}, false},
		{"b64", members{"b64": false}, false},
		{"jku", members{"jku": "https://keys.example.com/"}, false},
		{"x5u", members{"x5u": "https://keys.example.com/"}, false},
		{"x5c", members{"x5c": []string{"MIIB"}}, false},
		{"long", members{"more": strings.Repeat("x", maxHeader)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantGood(t, check(t, v, prove(t, s, clock.unix(), test.changes, nil)), test.good)
		})
	}
	claims := members{"jti": "j", "htm": "GET", "htu": sampleURL, "iat": clock.unix(), "ath": hash(sampleToken)}.JSON(t)
	header := s.Header().JSON(t)
	last := func(object []byte, member string) []byte {
		return append(object[:len(object)-1:len(object)-1], ","+member+"}"...)
	}
	wantGood(t, check(t, v, s.Sign(t, last(header, `"alg":"none"`), claims)), false)
	wantGood(t, check(t, v, s.Sign(t, header, last(claims, `"htm":"PUT"`))), false)
	wantGood(t, check(t, v, s.Sign(t, header, last(claims, `"HTM":"PUT","jti":"i"`))), true)
	wantGood(t, check(t, v, s.Sign(t, header, append(claims, '{', '}'))), false)
	wantGood(t, check(t, v, s.Sign(t, header, claims)), true)
}

func wantGood(t testing.TB, err error, good bool) {
	t.Helper()
	if good {
		wantCode(t, err, "")
	} else {
		wantCode(t, err, CodeInvalidProof)
	}
}
