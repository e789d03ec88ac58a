package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// raw sends bytes as they are to an address and reads one answer.
func raw(t *testing.T, address, text string) *reply {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+u.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(text, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &reply{resp.StatusCode, resp.Header, string(body), u}
}

// lines joins header lines as HTTP/1.1 has them.
func lines(list ...string) string { return strings.Join(list, "\r\n") + "\r\n\r\n" }

// TestHostShapesNothing (threat 22, CVE-2025-64101, CVE-2026-40575): Host,
// Forwarded and X-Forwarded-* change neither issuer, links, redirects nor
// challenges. The site accepts any host here, as many are set up.
func TestHostShapesNothing(t *testing.T) {
	text := caddyfile(t, "api site", "# any host")
	text = strings.Replace(text, "http://localhost:{$AS}, http://127.0.0.1:{$AS} {", "http://:{$AS} {", 1)
	text = strings.Replace(text, "http://localhost:{$API} {", "http://:{$API} {", 1)
	text = strings.Replace(text, "scopes orders:read", "scopes orders:read\n\t\tresource http://localhost:{$API}/", 1)
	s := startOwn(t, text)
	request := newRequest(web, s.app+"/callback", "openid orders:read")

	for _, path := range []string{
		"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks",
		"/authorize?" + request.Encode(), "/authorize?" + request.Encode() + "&prompt=none", "/authorize?client_id=nobody",
		"/login", "/login?interaction=1", "/grants", "/end_session", "/userinfo", "/token",
	} {
		want := get(t, s.as+path)
		for _, headers := range [][]string{
			{"Host: evil.example"},
			{"Host: evil.example:" + strings.TrimPrefix(s.as, "http://localhost:")},
			{"Host: localhost", "Forwarded: host=evil.example;proto=https;for=evil.example"},
			{"Host: localhost", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /evil.example"},
			{"Host: localhost", "X-Host: evil.example", "X-Original-URL: /evil.example", "X-Rewrite-URL: /evil.example", "X-Forwarded-Server: evil.example"},
		} {
			got := raw(t, s.as, lines(append([]string{"GET " + path + " HTTP/1.1", "Connection: close"}, headers...)...))
			all := got.body
			for name, values := range got.header {
				all += "\n" + name + ": " + strings.Join(values, ", ")
			}
			if strings.Contains(all, "evil.example") || got.status != want.status {
				t.Errorf("%s with %q: status %d, want %d: %s", path, headers, got.status, want.status, all)
			}
			if l := got.header.Get("Location"); l != "" && shape(t, l) != shape(t, want.header.Get("Location")) {
				t.Errorf("%s with %q: redirected to %s", path, headers, l)
			}
			if strings.HasPrefix(path, "/.well-known/") && got.body != want.body {
				t.Errorf("%s with %q is another document: %s", path, headers, got.body)
			}
		}
		// A request line with an absolute address names a host too.
		if got := raw(t, s.as, lines("GET http://evil.example"+path+" HTTP/1.1", "Host: evil.example", "Connection: close")); strings.Contains(got.body+got.header.Get("Location"), "evil.example") {
			t.Errorf("%s in absolute form: %v %s", path, got.header, got.body)
		}
	}

	for _, path := range []string{"/orders", "/.well-known/oauth-protected-resource"} {
		got := raw(t, s.api, lines("GET "+path+" HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: evil.example", "Connection: close"))
		if all := got.header.Get("WWW-Authenticate") + got.body; strings.Contains(all, "evil.example") || !strings.Contains(all, s.api) {
			t.Errorf("%s: %s", path, all)
		}
	}
}

// shape is where an address leads, without what is different each time.
func shape(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Scheme + "://" + u.Host + u.Path
}
