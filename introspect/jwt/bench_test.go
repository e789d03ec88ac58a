package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

var benchmarked = []string{"ES256", "RS256", "EdDSA"}

// BenchmarkVerify introspects a token anew. At least 0.8 is wanted of the
// rate of BenchmarkBare.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range benchmarked {
		b.Run(alg, func(b *testing.B) {
			s := newSigner(b, alg, "vL0m3Jt7Qz")
			i := static(b, nil, s.public(b), newSigner(b, "ES384", "other").public(b))
			token := s.token(b)
			b.ReportAllocs()
			for b.Loop() {
				if facts, err := i.Introspect(b.Context(), token); err != nil || !facts.Active {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBare is the signature check alone, with everything at hand.
func BenchmarkBare(b *testing.B) {
	for _, alg := range benchmarked {
		b.Run(alg, func(b *testing.B) {
			s := newSigner(b, alg, "vL0m3Jt7Qz")
			t, err := parse(s.token(b), DefaultMaxToken, new(headers))
			if err != nil {
				b.Fatal(err)
			}
			check := bare(b, s.private.Public(), t)
			b.ReportAllocs()
			for b.Loop() {
				if !check() {
					b.Fatal("the signature is not good")
				}
			}
		})
	}
}

func bare(b *testing.B, public crypto.PublicKey, t *token) func() bool {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		signature := der(b, t.signature)
		return func() bool {
			digest := sha256.Sum256(t.input)
			return ecdsa.VerifyASN1(public, digest[:], signature)
		}
	case *rsa.PublicKey:
		return func() bool {
			digest := sha256.Sum256(t.input)
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], t.signature) == nil
		}
	default:
		return func() bool { return ed25519.Verify(public.(ed25519.PublicKey), t.input, t.signature) }
	}
}

// der turns the signature of RFC 7518 §3.4 into the one that crypto/ecdsa takes.
func der(b *testing.B, signature []byte) []byte {
	var out cryptobyte.Builder
	out.AddASN1(asn1.SEQUENCE, func(pair *cryptobyte.Builder) {
		half := len(signature) / 2
		pair.AddASN1BigInt(new(big.Int).SetBytes(signature[:half]))
		pair.AddASN1BigInt(new(big.Int).SetBytes(signature[half:]))
	})
	text, err := out.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	return text
}
