package main_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
)

// TestOnlyPublicIsOpen (threat 24, promise 11; CVE-2026-33494, CVE-2026-27587,
// CVE-2026-27588): where all but /public asks for a token, no way of writing a
// path brings a request without one to what an API that decodes and cleans
// paths (RFC 3986 §6.2.2) takes for something else. Caddy's matcher tells no
// case, and takes neither "\" nor ";" for a separator: an API that thinks
// otherwise must have no open path.
func TestOnlyPublicIsOpen(t *testing.T) {
	api := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		decoded, err := url.PathUnescape(strings.SplitN(r.RequestURI, "?", 2)[0])
		if clean := path.Clean("/" + decoded); err != nil || !strings.HasPrefix(strings.ToLower(clean)+"/", "/public/") {
			w.Header().Set("X-Secret", clean)
		}
	})
	s := startGateway(t, api.address, "sites", `http://localhost:{$APP} {
	@guarded not path /public /public/*
	gatehouse_bearer @guarded {
		scopes orders:read
	}
	reverse_proxy 127.0.0.1:{$UP}
}`)
	for _, target := range []string{
		"/", "/api", "//api", "/api/", "/API", "/api;x", "/api.", "/api..", "/api%2fx", "/api%20", "/%61pi", "/./api", "/x/../api", "/api/../x", "/%2e%2e/", "/%2e%2e/api",
		"/public/../api", "/public/%2e%2e/api", "/public/.%2e/api", "/public/%2E./api", "/public/..%2fapi", "/public%2f..%2fapi", "/public%2F%2e%2e%2Fapi",
		"//public/../api", "/public//../api", "/public//..//api", "/public/./../api", "/public/x/../../api", "/public/x%2f..%2f../api", "/../public/../api",
		"/PUBLIC/../api", "/Public/%2e%2e/API", "/publicapi", "/public.", "/public..", "/public../api", "/public;/../api", "/public%3b/../api", "/public%00/../api",
		`/public\..\api`, `/public/..\api`, "/public/..%5capi", "/public%5c..%5capi", "/%70ublic/../api", "/%2fpublic/../api",
		"/public/..?", "/public/..#", "/public/../api?/public/", "/api?/public/", "/api#/public/", "/public?/../api",
		"http://localhost/public/../api", "http://localhost//api", "http://public/api", "*", "/.", "/..", "/public/..",
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			got := answers(t, s.app, method, method+" "+target+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			if len(got) != 1 {
				t.Errorf("%s %s: %v", method, target, statuses(got))
			} else if secret := got[0].header.Get("X-Secret"); secret != "" {
				t.Errorf("%s %s reached %s: %d", method, target, secret, got[0].status)
			}
		}
	}
	token := s.serviceToken("orders:read")
	for _, target := range []string{"/public", "/public/", "/public/x", "//public//x", "/public/%2e/x", "/x/../public/x"} {
		if got := answers(t, s.app, "GET", "GET "+target+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); len(got) != 1 || got[0].status != http.StatusOK {
			t.Errorf("%s is not open: %v", target, statuses(got))
		}
	}
	if r := get(t, s.app+"/api", "Authorization", "Bearer "+token).want(t, http.StatusOK); r.header.Get("X-Secret") != "/api" {
		t.Errorf("with a token: %v", r.header)
	}
}

// TestLyingHeaders (threat 22, CVE-2025-64101, CVE-2026-40575): what a request
// says about its host, scheme, address, path or method changes neither what the
// gateway decides nor its challenge nor its metadata. The site takes any host.
func TestLyingHeaders(t *testing.T) {
	api := startUpstream(t, func(http.ResponseWriter, *http.Request) {})
	text := strings.ReplaceAll(caddyfile(t), "reverse_proxy 127.0.0.1:{$UP}", "reverse_proxy "+api.address)
	text = strings.Replace(text, "http://localhost:{$API} {", "http://:{$API} {", 1)
	text = strings.Replace(text, "scopes orders:read\n", "scopes orders:read\n\t\tresource http://localhost:{$API}/\n", 1)
	s := startOwn(t, text)
	poor, good := s.serviceToken("orders:write"), s.serviceToken("orders:read")
	for _, request := range []struct {
		name, target, authorization string
		status                      int
	}{
		{"the metadata", "/.well-known/oauth-protected-resource", "", 200},
		{"no token", "/orders", "", 401},
		{"a bad token", "/orders", "Authorization: Bearer unknown\r\n", 401},
		{"too small a scope", "/orders", "Authorization: Bearer " + poor + "\r\n", 403},
		{"a good token", "/orders", "Authorization: Bearer " + good + "\r\n", 200},
	} {
		t.Run(request.name, func(t *testing.T) {
			ask := func(headers string) *reply {
				t.Helper()
				got := answers(t, s.api, http.MethodGet, "GET "+request.target+" HTTP/1.1\r\nConnection: close\r\n"+request.authorization+headers+"\r\n\r\n")
				if len(got) != 1 {
					t.Fatalf("%s: %v", headers, statuses(got))
				}
				return got[0]
			}
			want := ask("Host: localhost")
			for _, headers := range []string{
				"Host: evil.example",
				"Host: localhost:1",
				"Host: 127.0.0.1",
				"Host: localhost\r\nForwarded: for=127.0.0.1;host=evil.example;proto=https",
				"Host: localhost\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443",
				"Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nX-Client-IP: 127.0.0.1",
				"Host: localhost\r\nX-Forwarded-Uri: /.well-known/oauth-protected-resource\r\nX-Forwarded-Method: OPTIONS\r\nX-Forwarded-Prefix: /public",
				"Host: localhost\r\nX-Original-URL: /.well-known/oauth-protected-resource\r\nX-Rewrite-URL: /public\r\nX-HTTP-Method-Override: OPTIONS",
				"Host: localhost\r\nX-Forwarded-User: alice\r\nRemote-User: alice\r\nX-Authenticated-User: alice\r\nX-Forwarded-Access-Token: " + good,
			} {
				got := ask(headers)
				if got.status != want.status || got.body != want.body || got.header.Get("WWW-Authenticate") != want.header.Get("WWW-Authenticate") {
					t.Errorf("%s: %d %q %s, want %d %q %s", headers, got.status, got.header.Get("WWW-Authenticate"), got.body,
						want.status, want.header.Get("WWW-Authenticate"), want.body)
				}
			}
			if want.status != request.status {
				t.Errorf("status %d, want %d", want.status, request.status)
			}
		})
	}
}
