package jose

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

func openRing(t testing.TB) *keys.Ring {
	t.Helper()
	ctx := t.Context()
	st, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.TempDir(), "g.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	service, err := st.EnsureService(ctx, "https://as.example.com")
	if err != nil {
		t.Fatal(err)
	}
	var algs []string
	for _, alg := range model.DefaultAlgs {
		algs = append(algs, string(alg))
	}
	ring, err := keys.Open(ctx, st, keys.Single(keys.MasterKey{1}), service, algs, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func sign(t testing.TB, key *keys.Key) string {
	t.Helper()
	token, err := Sign(t.Context(), NewPool(1), key, TypeAccessToken, []byte(`{"iss":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Nothing is accepted but what Sign made, to the letter (threats.md 13).
func FuzzVerify(f *testing.F) {
	ring := openRing(f)
	good := map[string]bool{}
	for _, alg := range model.DefaultAlgs {
		key, err := ring.Signer(alg, "", time.Now())
		if err != nil {
			f.Fatal(err)
		}
		token := sign(f, key)
		good[token] = true
		f.Add(token)
	}
	f.Add("e30.e30.")
	f.Add(strings.Repeat(".", 3))
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := Verify(ring, token, TypeAccessToken, time.Now()); (err == nil) != good[token] {
			t.Errorf("%q: %v", token, err)
		}
	})
}

func TestVerify(t *testing.T) {
	ring := openRing(t)
	for _, alg := range model.DefaultAlgs {
		key, err := ring.Signer(alg, "", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		token := sign(t, key)
		claims, err := Verify(ring, token, TypeAccessToken, time.Now())
		if err != nil || string(claims) != `{"iss":"x"}` {
			t.Errorf("%s: %s %v", alg, claims, err)
		}
		if _, err := Verify(ring, token, TypeIDToken, time.Now()); err == nil {
			t.Errorf("%s: an access token passes for an ID token", alg)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	ring, pool := openRing(b), NewPool(1)
	claims := []byte(`{"iss":"https://as.example.com","sub":"alice","aud":"https://as.example.com","exp":1800000000,"iat":1790000000,"jti":"abcdefgh","client_id":"web","scope":"orders:read"}`)
	for _, alg := range model.DefaultAlgs {
		key, err := ring.Signer(alg, "", time.Now())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Sign(b.Context(), pool, key, TypeAccessToken, claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	ring := openRing(b)
	for _, alg := range model.DefaultAlgs {
		key, err := ring.Signer(alg, "", time.Now())
		if err != nil {
			b.Fatal(err)
		}
		token := sign(b, key)
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Verify(ring, token, TypeAccessToken, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
