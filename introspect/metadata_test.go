package introspect

import (
	"net/http"
	"net/http/httptest"
	"testing"
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
