package authorize

import (
	"net/url"
	"testing"
)

// threats.md 7: what matches is the registered address, or differs from it in
// the port of a loopback address alone.
func FuzzRedirectMatches(f *testing.F) {
	registered := []string{"https://app.example.com/cb", "http://127.0.0.1/cb", "http://[::1]:80/cb?x=1", "com.example.app:/cb"}
	for _, seed := range append(registered, "http://127.0.0.1:1/cb", "http://[::1]:2/cb?x=1", "http://127.0.0.1:1@evil/cb", "http://127.0.0.1:\n/cb") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if !RedirectMatches(registered, uri) {
			return
		}
		for _, r := range registered {
			if r == uri {
				return
			}
		}
		got, err := url.Parse(uri)
		if err != nil || got.User != nil || got.Scheme != "http" || got.Hostname() != "127.0.0.1" && got.Hostname() != "::1" {
			t.Fatalf("%q matches", uri)
		}
		got.Host = "[::1]:80"
		if uri[:len("http://1")] == "http://1" {
			got.Host = "127.0.0.1"
		}
		if s := got.String(); s != registered[1] && s != registered[2] {
			t.Fatalf("%q matches: without its port it is %q", uri, s)
		}
	})
}
