package dpop

import (
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// BenchmarkConfirm is a request to a guarded resource, its proof used once.
// Package engine/dpop measures the part of it that is the signature's.
func BenchmarkConfirm(b *testing.B) {
	for _, alg := range []string{"ES256", "EdDSA", "PS256"} {
		b.Run(alg, func(b *testing.B) {
			clock := newClock()
			v, s := newVerifier(b, clock, Options{}), dpoptest.NewKey(b, alg)
			target, err := At("https://api.example.com")
			if err != nil {
				b.Fatal(err)
			}
			resource := &Resource{Verifier: v, Target: target}
			facts := boundFacts(map[string]any{"jkt": s.Thumbprint(b)})
			credentials := introspect.Credentials{Scheme: introspect.SchemeDPoP, Token: sampleToken}
			request := httptest.NewRequest("GET", "/orders", nil)
			request.Header.Set("DPoP", prove(b, s, clock.unix(), nil, nil))
			later := newClock() // than the proof is forgotten, while it is good
			v.now = later.now
			b.ReportAllocs()
			for b.Loop() {
				later.pass(2 * v.replays.window)
				if err := resource.Confirm(request, credentials, facts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
