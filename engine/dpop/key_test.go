package dpop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
)

// RFC 9449 §4.3, 7: the jwk is a public key, and the one kind that goes with
// alg (RFC 8725 §3.1; threats.md 13).
func TestCheck07PublicKey(t *testing.T) {
	clock := newClock()
	v := newChecker(t, clock, Options{Algorithms: []string{"ES256", "ES384", "EdDSA", "RS256"}})
	s, p384, rsaSender := dpoptest.NewKey(t, "ES256"), dpoptest.NewKey(t, "ES384"), dpoptest.NewKey(t, "RS256")
	for _, test := range []struct {
		name string
		jwk  any
		good bool
	}{
		{"public", s.JWK, true},
		{"with kid and use", s.JWK.With(members{"kid": "1", "use": "sig"}), true},
		{"none", nil, false},
		{"text", "key", false},
		{"private", dpoptest.JWK(t, s.Private), false},
		{"d alone", s.JWK.With(members{"d": ""}), false},
		{"d that is null", json.RawMessage(`{"d":null,` + string(s.JWK.JSON(t)[1:])), false},
		{"RSA's p", s.JWK.With(members{"p": "AQAB"}), false},
		{"symmetric", members{"kty": "oct", "k": "c2VjcmV0"}, false},
		{"symmetric besides", s.JWK.With(members{"k": "c2VjcmV0"}), false},
		{"on another curve", p384.JWK, false},
		{"on another curve by name", s.JWK.With(members{"crv": "P-384"}), false},
		{"of another kind", rsaSender.JWK, false},
		{"of another kind by name", s.JWK.With(members{"kty": "RSA"}), false},
		{"off the curve", s.JWK.With(members{"y": s.JWK["x"]}), false},
		{"infinity", s.JWK.With(members{"x": strings.Repeat("A", 43), "y": strings.Repeat("A", 43)}), false},
		{"beyond the field", s.JWK.With(members{"x": base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 32)))}), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantGood(t, check(t, v, prove(t, s, clock.unix(), members{"jwk": test.jwk}, nil)), test.good)
		})
	}
}

// Members of a key are in their one form, so that it has one thumbprint, and
// RSA keys are neither weak nor dear to verify with (RFC 7518 §6; threats.md 14).
func TestKeyForm(t *testing.T) {
	ec, rsaKey := dpoptest.NewKey(t, "ES256").JWK, dpoptest.NewKey(t, "RS256").JWK
	x, y, n := ec["x"].(string), ec["y"].(string), rsaKey["n"].(string)
	modulus, err := base64.RawURLEncoding.DecodeString(n)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	for _, test := range []struct {
		name string
		key  members
		good bool
	}{
		{"a point", ec, true},
		{"x missing", ec.With(members{"x": nil}), false},
		{"x longer", ec.With(members{"x": "AAAA" + x}), false},
		{"x shorter", ec.With(members{"x": x[4:]}), false},
		{"x padded", ec.With(members{"x": x + "="}), false},
		{"x with a stray bit", ec.With(members{"x": strayBit(x)}), false},
		{"y missing", ec.With(members{"y": nil}), false},
		{"y shorter", ec.With(members{"y": y[4:]}), false},
		{"y in two lines", ec.With(members{"y": y[:20] + "\r\n" + y[20:]}), false},
		{"y with a stray bit", ec.With(members{"y": strayBit(y)}), false},
		{"y that ends the text", ec.With(members{"y": `","d":"`}), false},
		{"2048 bits", rsaKey, true},
		{"2047 bits", rsaKey.With(members{"n": text(append([]byte{modulus[0] >> 1}, modulus[1:]...))}), false},
		{"2048 bits with a leading zero", rsaKey.With(members{"n": text(append([]byte{0}, modulus...))}), false},
		{"4096 bits", rsaKey.With(members{"n": n + n[:340] + "A"}), true},
		{"4104 bits", rsaKey.With(members{"n": n + n[:340] + "AAA"}), false},
		{"n missing", rsaKey.With(members{"n": nil}), false},
		{"exponent of four bytes", rsaKey.With(members{"e": "fwAAAQ"}), true},
		{"exponent of five bytes", rsaKey.With(members{"e": "AQAAAAE"}), false},
		{"exponent with a leading zero", rsaKey.With(members{"e": "AAEAAQ"}), false},
		{"no exponent", rsaKey.With(members{"e": nil}), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			alg := algorithms["ES256"]
			if test.key["kty"] == "RSA" {
				alg = algorithms["RS256"]
			}
			if _, err := readKey(test.key.JSON(t), alg); (err == nil) != test.good {
				t.Error(err)
			}
		})
	}
}

// The longest keys fit into the bounds, and exponents with which nothing is
// signed verify nothing.
func TestRSA(t *testing.T) {
	clock := newClock()
	v := newChecker(t, clock, Options{Algorithms: []string{"RS256"}})
	private, err := rsa.GenerateKey(rand.Reader, maxModulus)
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{Alg: "RS256", Private: private, JWK: dpoptest.JWK(t, private.Public())}
	for exponent, good := range map[string]bool{"AQAB": true, "AQ": false, "Ag": false, "Aw": false, "AQAA": false, "_____w": false} {
		jwk := s.JWK.With(members{"e": exponent})
		wantGood(t, check(t, v, prove(t, s, clock.unix(), members{"jwk": jwk}, nil)), good)
	}
}

// A proof's JKT is the thumbprint of RFC 7638 §3, as jwx computes it, whatever
// else the jwk holds.
func TestThumbprint(t *testing.T) {
	clock := newClock()
	all := []string{"ES256", "ES384", "ES512", "EdDSA", "PS256"}
	v := newChecker(t, clock, Options{Algorithms: all})
	for _, alg := range all {
		s := dpoptest.NewKey(t, alg)
		for _, jwk := range []members{s.JWK, s.JWK.With(members{"kid": "1", "alg": alg})} {
			proof, err := v.Check([]string{prove(t, s, clock.unix(), members{"jwk": jwk}, nil)}, sampleRequest(t))
			if err != nil || proof.JKT != s.Thumbprint(t) {
				t.Errorf("%s: %v %v", alg, proof, err)
			}
		}
	}
	for _, test := range []struct {
		alg, jwk, want string
	}{
		// RFC 7638 §3.1
		{"RS256", `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		// RFC 8037 A.3
		{"EdDSA", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		key, err := readKey([]byte(test.jwk), algorithms[test.alg])
		if err != nil || key.thumbprint != test.want {
			t.Errorf("%s: %q %v", test.alg, key.thumbprint, err)
		}
	}
}

// A coordinate that begins with zeros keeps them (RFC 7518 §6.2.1.2): the
// thumbprint is the same for every client library.
func TestCoordinateWithLeadingZero(t *testing.T) {
	clock := newClock()
	v := newChecker(t, clock, Options{})
	for {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s := &sender{Alg: "ES256", Private: private, JWK: dpoptest.JWK(t, private.Public())}
		x, err := base64.RawURLEncoding.DecodeString(s.JWK["x"].(string))
		if err != nil {
			t.Fatal(err)
		}
		if x[0] != 0 {
			continue
		}
		wantGood(t, check(t, v, prove(t, s, clock.unix(), nil, nil)), true)
		short := s.JWK.With(members{"x": base64.RawURLEncoding.EncodeToString(x[1:])})
		wantGood(t, check(t, v, prove(t, s, clock.unix(), members{"jwk": short}, nil)), false)
		return
	}
}
