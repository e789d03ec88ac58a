package dpop

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
)

// Nothing is accepted but the proofs that were signed, to the letter (threats.md
// 13, 14). They are the same in every process that fuzzes.
func FuzzCheck(f *testing.F) {
	v := newChecker(f, clockAt(rfcTime), Options{})
	request := Request{Method: "GET", Target: mustURL(f, "https://resource.example.org/protectedresource"), AccessToken: rfcToken}
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	s := &sender{Alg: "EdDSA", Private: private, JWK: dpoptest.JWK(f, private.Public())}
	ed := prove(f, s, rfcTime, nil, members{"jti": "1", "htu": request.Target.String(), "ath": hash(rfcToken)})
	signed := map[string]bool{rfcResourceProof: true, ed: true}
	for proof := range signed {
		f.Add(proof)
		f.Add(strings.Replace(proof, ".", "..", 1))
	}
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, proof string) {
		_, err := v.Check([]string{proof}, request)
		if signed[proof] != (err == nil) {
			t.Fatalf("%q: %v", proof, err)
		}
		if err != nil {
			wantCode(t, err, CodeInvalidProof)
		}
	})
}

// A normal form is its own normal form, and has nothing that would make two of
// one (RFC 3986 §6.2.2).
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{sampleURL, "HTTP://[::1]:80/%7e/../a%2fb?c#d", "https://h/.%2e/", "https://h:/%252e", "//h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := normalizeText(s)
		if err != nil {
			return
		}
		twice, err := normalizeText(once)
		_, rest, _ := strings.Cut(once, "://")
		_, path, _ := strings.Cut(rest, "/")
		if err != nil || twice != once || strings.ContainsAny(once, "?#\\ ") || strings.Contains("/"+path+"/", "/../") {
			t.Fatalf("%q: %q, then %q %v", s, once, twice, err)
		}
	})
}
