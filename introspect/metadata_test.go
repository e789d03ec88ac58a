package introspect

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func TestPromise09MetadataURL(t *testing.T) {
	for resource, want := range map[string]string{ // RFC 9728 §3.1
		"https://resource.example.com":            "https://resource.example.com/.well-known/oauth-protected-resource",
		"https://resource.example.com/":           "https://resource.example.com/.well-known/oauth-protected-resource",
		"https://resource.example.com/resource1":  "https://resource.example.com/.well-known/oauth-protected-resource/resource1",
		"https://resource.example.com/a/b/":       "https://resource.example.com/.well-known/oauth-protected-resource/a/b/",
		"https://resource.example.com:8443/a%2Fb": "https://resource.example.com:8443/.well-known/oauth-protected-resource/a%2Fb",
		"https://resource.example.com?k=v":        "https://resource.example.com/.well-known/oauth-protected-resource?k=v",
		"https://resource.example.com/?k=v":       "https://resource.example.com/.well-known/oauth-protected-resource?k=v",
		"https://resource.example.com/a?k=/v":     "https://resource.example.com/.well-known/oauth-protected-resource/a?k=/v",
		"http://localhost:8081/orders":            "http://localhost:8081/.well-known/oauth-protected-resource/orders",
		"http://[::1]:8081/orders":                "http://[::1]:8081/.well-known/oauth-protected-resource/orders",
		"http://resource.example.com/":            "",
		"https://user@resource.example.com/":      "",
		"https://resource.example.com/#x":         "",
		"https://resource.example.com/#":          "",
		"/orders":                                 "",
		"urn:example:api":                         "",
		"https://%zz/":                            "",
		"":                                        "",
	} {
		got, err := MetadataURL(resource)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", resource, got, err, want)
		}
	}
	if path, err := MetadataPath("https://h/a"); err != nil || path != WellKnown+"/a" {
		t.Errorf("MetadataPath: %q, %v", path, err)
	}
}

func TestMetadataHandler(t *testing.T) {
	m := &Metadata{Resource: "https://api.example/", AuthorizationServers: []string{"https://as.example"}, BearerMethodsSupported: []string{"header"}}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, WellKnown, nil))
	const want = `{"resource":"https://api.example/","authorization_servers":["https://as.example"],"bearer_methods_supported":["header"]}`
	if got := w.Body.String(); got != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("got %s, %v", got, w.Header())
	}
	w = httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodPost, WellKnown, nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, %v", w.Code, w.Header())
	}
}

// TestSignedMetadata (RFC 9728 §2.2): the JWT says who attests, and as claims
// what the document says, but not itself.
func TestSignedMetadata(t *testing.T) {
	c := newClock()
	start := c.unix()
	var claims []string
	var fault error
	s := &SignedMetadata{
		Metadata: &Metadata{Resource: "https://api.example/", JWKSURI: "https://api.example/jwks"},
		Issuer:   "https://gateway.example", Lifetime: 10 * time.Minute, Now: c.now,
		Sign: func(typ string, body []byte) (string, error) {
			claims = append(claims, string(body))
			return fmt.Sprint(typ, ".", len(claims)), fault
		},
	}
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, WellKnown, nil))
		return w
	}
	const members = `"resource":"https://api.example/","jwks_uri":"https://api.example/jwks"`
	want := func(n int) string {
		return fmt.Sprintf(`{%s,"signed_metadata":"resource-metadata+jwt.%d"}`, members, n)
	}
	w := get()
	if w.Body.String() != want(1) || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("got %s, %v", w.Body, w.Header())
	}
	if want := fmt.Sprintf(`{"iss":"https://gateway.example","iat":%d,"exp":%d,%s}`, start, start+600, members); claims[0] != want {
		t.Errorf("claims %s, want %s", claims[0], want)
	}
	c.pass(5*time.Minute - 1)
	if got := get().Body.String(); got != want(1) {
		t.Errorf("before half its life: %s", got)
	}
	c.pass(1)
	fault = errors.New("no key")
	if got := get(); got.Code != http.StatusServiceUnavailable || got.Body.Len() > 0 {
		t.Errorf("a document that cannot be signed: %d %s", got.Code, got.Body)
	}
	fault = nil
	if got := get().Body.String(); got != want(3) {
		t.Errorf("at half its life: %s", got)
	}
}

func TestSignedMetadataIsSignedOnce(t *testing.T) {
	signed := 0 // the race detector watches
	s := &SignedMetadata{Metadata: &Metadata{Resource: "https://api.example/"}, Issuer: "https://gateway.example",
		Sign: func(string, []byte) (string, error) { signed++; return "a.b.c", nil }}
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, WellKnown, nil))
		})
	}
	clients.Wait()
	if signed != 1 {
		t.Errorf("signed %d times", signed)
	}
}
