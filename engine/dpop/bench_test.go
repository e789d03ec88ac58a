package dpop

import (
	"testing"

	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
)

// BenchmarkSignature is the part of a check that is the signature's.
func BenchmarkSignature(b *testing.B) {
	for _, alg := range []string{"ES256", "EdDSA", "PS256"} {
		b.Run(alg, func(b *testing.B) {
			s := dpoptest.NewKey(b, alg)
			p, err := parse(prove(b, s, newClock().unix(), nil, nil), []string{alg})
			if err != nil {
				b.Fatal(err)
			}
			key, err := p.key.public()
			if err != nil {
				b.Fatal(err)
			}
			verifier, err := jws.NewVerifier(p.algorithm.jws)
			if err != nil {
				b.Fatal(err)
			}
			input := []byte(p.input)
			b.ReportAllocs()
			for b.Loop() {
				if err := verifier.Verify(input, p.signature, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
