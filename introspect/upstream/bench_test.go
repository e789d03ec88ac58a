package upstream

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// BenchmarkBare is what a signature costs at least, BenchmarkPhantom what making
// a phantom token does.
func BenchmarkBare(b *testing.B) {
	input := make([]byte, 600)
	b.Run("ES256", func(b *testing.B) {
		var key *ecdsa.PrivateKey
		if err := generate(b, jwa.ES256).Raw(&key); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			sum := sha256.Sum256(input)
			if _, err := ecdsa.SignASN1(rand.Reader, key, sum[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("EdDSA", func(b *testing.B) {
		var key ed25519.PrivateKey
		if err := generate(b, jwa.EdDSA).Raw(&key); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			ed25519.Sign(key, input)
		}
	})
}

func BenchmarkPhantom(b *testing.B) {
	for _, alg := range algorithms {
		b.Run(alg.String(), func(b *testing.B) {
			p := newTestPhantom(b, PhantomOptions{Signer: newTestSigner(b, alg), Claims: []string{"email"}})
			f := activeFacts()
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := p.make(b.Context(), sampleToken, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkApply is the way of nearly every request.
func BenchmarkApply(b *testing.B) {
	u := replace(b, newTestPhantom(b, PhantomOptions{}), "")
	f := activeFacts()
	r := bearerRequest(sampleToken)
	b.ReportAllocs()
	for b.Loop() {
		if refusal := u.Apply(r, introspect.Credentials{Scheme: "Bearer", Token: sampleToken}, f); refusal != nil {
			b.Fatal(refusal)
		}
	}
}

// TestHitAllocatesNothing: a phantom token or an exchanged one that is there
// costs no memory.
func TestHitAllocatesNothing(t *testing.T) {
	f, ctx := activeFacts(), t.Context()
	for name, s := range map[string]Tokens{
		"phantom": newTestPhantom(t, PhantomOptions{}), "exchange": newServer(t).exchange(t, ExchangeOptions{}),
	} {
		if _, err := s.Token(ctx, sampleToken, f); err != nil {
			t.Fatal(err)
		}
		if got := testing.AllocsPerRun(1000, func() { _, _ = s.Token(ctx, sampleToken, f) }); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
