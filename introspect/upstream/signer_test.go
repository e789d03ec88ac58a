package upstream

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
)

// TestSign (RFC 7515 §3.1, RFC 8725 §3.11): whatever the algorithm, jwx and
// go-oidc verify the JWT with the keys that are published.
func TestSign(t *testing.T) {
	const claims = `{"iss":"` + gateway + `","aud":"` + resource + `","sub":"alice","exp":4102444800}`
	for _, alg := range algorithms {
		t.Run(alg.String(), func(t *testing.T) {
			s := newTestSigner(t, alg)
			keys := httptest.NewServer(s)
			defer keys.Close()
			signed, err := s.Sign("at+jwt", []byte(claims))
			if err != nil {
				t.Fatal(err)
			}
			typ, got := verify(t, s.JWKS(), signed)
			if typ != "at+jwt" || got["sub"] != "alice" {
				t.Error(typ, got)
			}
			verifier := oidc.NewVerifier(gateway, oidc.NewRemoteKeySet(t.Context(), keys.URL),
				&oidc.Config{ClientID: resource, SupportedSigningAlgs: []string{alg.String()}})
			if token, err := verifier.Verify(t.Context(), signed); err != nil || token.Subject != "alice" {
				t.Error(err)
			}
		})
	}
}

// TestKeysAreReplacedWhileRequestsRun: each JWT verifies with what was published
// before or after, and the key that goes stays published.
func TestKeysAreReplacedWhileRequestsRun(t *testing.T) {
	old, next := generate(t, jwa.ES256), generate(t, jwa.EdDSA)
	s, err := NewSigner(setOf(t, old, next)) // the next one is announced ahead
	if err != nil {
		t.Fatal(err)
	}
	announced := s.JWKS()
	started := make(chan struct{}, 4)
	stop := make(chan struct{})
	var requests sync.WaitGroup
	for range 4 {
		requests.Go(func() {
			for first := true; ; first = false {
				signed, err := s.Sign("JWT", []byte(`{}`))
				if err != nil {
					t.Error(err)
				}
				verify(t, announced, signed)
				verify(t, s.JWKS(), signed)
				if first {
					started <- struct{}{}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	for i := range 50 {
		keys := setOf(t, next, old)
		if i%2 == 1 {
			keys = setOf(t, old, next)
		}
		if err := s.Replace(keys); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	requests.Wait()
	before := s.JWKS()
	if err := s.Replace(setOf(t)); err == nil || cmp.Diff(before, s.JWKS()) != "" {
		t.Errorf("after a set that cannot be used: %v, %s", err, s.JWKS())
	}
}

func TestSignerHandler(t *testing.T) {
	s := newTestSigner(t, jwa.ES256)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/jwks", nil))
	if w.Code != http.StatusOK || w.Body.String() != string(s.JWKS()) || w.Header().Get("Content-Type") != "application/jwk-set+json" {
		t.Error(w.Code, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/jwks", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" || w.Body.Len() > 0 {
		t.Error(w.Code, w.Header(), w.Body)
	}
}
