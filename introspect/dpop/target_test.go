package dpop

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/dpop"
)

// The target is the configured origin and the path that was sent, whatever
// Host, X-Forwarded-* and handlers before this say (threats.md 22, 24).
func TestAt(t *testing.T) {
	target, err := At("https://API.example.com:443/")
	if err != nil {
		t.Fatal(err)
	}
	var got string
	server := httptest.NewServer(http.StripPrefix("/v1", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, err = dpop.Normalize(target(r))
	})))
	t.Cleanup(server.Close)
	for sent, want := range map[string]string{
		"/v1/orders?page=2":   "https://api.example.com/v1/orders",
		"/v1/a%2Fb":           "https://api.example.com/v1/a%2Fb",
		"/v1//evil.example/":  "https://api.example.com/v1//evil.example/",
		"/v1/a%23b":           "https://api.example.com/v1/a%23b",
		"/v1/@evil.example/x": "https://api.example.com/v1/@evil.example/x",
	} {
		request, failed := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+sent, nil)
		if failed != nil {
			t.Fatal(failed)
		}
		request.Host = "evil.example"
		request.Header.Set("X-Forwarded-Host", "evil.example")
		request.Header.Set("X-Forwarded-Proto", "http")
		response, failed := server.Client().Do(request)
		if failed != nil {
			t.Fatal(failed)
		}
		response.Body.Close()
		if got != want || err != nil {
			t.Errorf("%s: %s %v, want %s", sent, got, err, want)
		}
	}
	// A request target in absolute form names a host, too (RFC 9112 §3.2.2), a
	// raw # is no fragment there, and OPTIONS * has no path.
	for sent, want := range map[string]string{
		"http://evil.example/orders": "https://api.example.com/orders",
		"/a#b":                       "https://api.example.com/a%23b",
		"*":                          "",
	} {
		if got, _ := dpop.Normalize(target(&http.Request{RequestURI: sent, URL: &url.URL{Path: "/orders"}})); got != want {
			t.Errorf("%s: %q, want %q", sent, got, want)
		}
	}
}

func TestAtRefusesWhatIsNoOrigin(t *testing.T) {
	for _, origin := range []string{"", "api.example.com", "https://", "ftp://h", "https://h/path", "https://h?q", "https://h/#f", "https://u@h", "https://h:port", "*"} {
		if _, err := At(origin); err == nil {
			t.Errorf("%q is accepted", origin)
		}
	}
}
