package jwt

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// answer is one with a status, a media type and a body.
func answer(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// endless never ends.
func endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for r.Context().Err() == nil {
		if _, err := w.Write(bytes.Repeat([]byte(" "), 64<<10)); err != nil {
			return
		}
	}
}

// slow begins an answer and then says nothing more.
func slow(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"keys":[`))
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// never answers, not even when it is no longer waited for: TLS says so before
// the connection is closed, and net/http takes what still comes in between.
func never(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// cut ends in the middle.
func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(`{"keys":[`))
}

const secretText = "s3cr3t-of-the-other-side"

// Promise 10 and threat 21: an issuer that misbehaves costs bounded
// time and memory, reaches no other host, and makes no token active. What it
// said is not in the errors (threat 34).
func TestHostileKeys(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	elsewhere := newIssuer(t, s.public(t))
	plain := httptest.NewServer(http.HandlerFunc(elsewhere.handlers[pathJWKS]))
	t.Cleanup(plain.Close)
	many := make([]object, 10_000)
	for n := range many {
		many[n] = s.public(t).with(object{"kid": fmt.Sprint(n)})
	}
	good := string(jwks(s.public(t)))
	redirect := func(to string) http.HandlerFunc { return http.RedirectHandler(to, http.StatusFound).ServeHTTP }
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		err     string
	}{
		"no answer":               {never, "deadline exceeded"},
		"slow":                    {slow, "deadline exceeded"},
		"endless":                 {endless, "more than 262144 bytes"},
		"cut off":                 {cut, "cut off"},
		"no JSON":                 {answer(200, "application/json", "<"+secretText+">"), "not a JWK Set"},
		"no JWK Set":              {answer(200, "application/json", `{"`+secretText+`":1}`), "not a JWK Set"},
		"HTML":                    {answer(200, "text/html", good), "media type"},
		"no type":                 {answer(200, "", good), "media type"},
		"a malformed type":        {answer(200, "application/json; "+secretText, good), "media type"},
		"an error":                {answer(500, "application/json", good+secretText), "status 500"},
		"a status of success":     {answer(203, "application/json", good), "status 203"},
		"a redirect to nowhere":   {answer(302, "application/json", good), "status 302"},
		"a redirect with choices": {answer(300, "application/json", good), "status 300"},
		"a redirect elsewhere":    {redirect(elsewhere.URL + pathJWKS), "another host"},
		"a redirect to http":      {redirect(plain.URL), "another host"},
		"a redirect to http here": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+pathJWKS, http.StatusFound)
		}, "another host"},
		"a redirect to a file":     {redirect("file:///etc/passwd"), "another host"},
		"a redirect to itself":     {redirect(pathJWKS), "redirects"},
		"10,000 keys":              {answer(200, "application/json", string(jwks(many...))), "more than 262144 bytes"},
		"1,000 keys":               {answer(200, "application/json", string(jwks(many[:1000]...))), "more than 100 keys"},
		"an empty set":             {answer(200, "application/json", `{"keys":[]}`), "no key that can be used"},
		"symmetric keys alone":     {answer(200, "application/json", `{"keys":[{"kty":"oct","kid":"k1","k":"AAAA"}]}`), "no key that can be used"},
		"a key that breaks others": {answer(200, "application/json", `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"k1"}]}`), "no key that can be used"},
	} {
		t.Run(name, func(t *testing.T) {
			is := newIssuer(t)
			is.on(pathJWKS, c.handler)
			i, _ := is.introspector(t, func(o *Options) {
				o.Roots.AddCert(elsewhere.Certificate())
				if strings.Contains(c.err, "deadline") {
					o.Timeout = 200 * time.Millisecond
				}
			})
			_, err := i.Introspect(t.Context(), is.token(t, s))
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), secretText) {
				t.Errorf("the error is %v, want one with %q", err, c.err)
			}
		})
	}
	elsewhere.wantFetches(t, 0, "redirects")
}

// The same of metadata. RFC 8414 §3.3, OpenID Connect Discovery 1.0 §4.3: those
// of another issuer are not used.
func TestHostileMetadata(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	evil := newIssuer(t, s.public(t))
	says := func(issuer, jwksURI any) http.HandlerFunc {
		return answer(200, "application/json", string(object{"issuer": issuer, "jwks_uri": jwksURI}.json()))
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		err     string
	}{
		"another issuer":          {says(evil.URL, evil.URL+pathJWKS), "another issuer"},
		"no issuer":               {says(nil, evil.URL+pathJWKS), "another issuer"},
		"an issuer that quotes":   {says(secretText, evil.URL+pathJWKS), "another issuer"},
		"a redirect elsewhere":    {http.RedirectHandler(evil.URL+pathOpenID, http.StatusFound).ServeHTTP, "another host"},
		"no answer":               {never, "deadline exceeded"},
		"endless":                 {endless, "cut off, or no document"},
		"no JSON":                 {answer(200, "application/json", secretText), "no document"},
		"an error with a body":    {answer(500, "text/plain", secretText), "status 500"},
		"HTML and nothing else":   {answer(200, "text/html", secretText), "status 404"},
		"no document of any kind": {http.NotFound, "status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			is := newIssuer(t, s.public(t))
			is.on(pathOpenID, c.handler)
			i, _ := is.introspector(t, func(o *Options) {
				o.Roots.AddCert(evil.Certificate())
				if strings.Contains(c.err, "deadline") {
					o.Timeout = 200 * time.Millisecond
				}
			})
			_, err := i.Introspect(t.Context(), is.token(t, s))
			if err == nil || !strings.Contains(err.Error(), "metadata: ") || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), secretText) {
				t.Errorf("the error is %v, want one with %q", err, c.err)
			}
			is.wantFetches(t, 0, "no keys")
		})
	}
	for name, address := range map[string]any{
		"nothing": nil, "http": "http://as.example.com/jwks", "http on this machine": "http://127.0.0.1:1/jwks",
		"a file": "file:///etc/passwd", "data": "data:application/json,{}", "relative": "/jwks",
		"with a password": "https://a:b@as.example.com/jwks", "no URL": "https://[",
	} {
		t.Run("jwks_uri: "+name, func(t *testing.T) {
			is := newIssuer(t)
			is.on(pathOpenID, says(is.URL, address))
			i, _ := is.introspector(t, nil)
			if _, err := i.Introspect(t.Context(), is.token(t, s)); err == nil || !strings.Contains(err.Error(), "jwks_uri must be") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	evil.wantFetches(t, 0, "all of them")
}

// RFC 8414 §3: metadata may be where OAuth alone puts them, which for an issuer
// with a path is before the path (§3.1).
func TestOAuthMetadata(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	for name, path := range map[string]string{"no path": "", "a path": "/tenants/a%20b", "a slash": "/"} {
		t.Run(name, func(t *testing.T) {
			is := newIssuer(t, s.public(t))
			issuer := is.URL + path
			is.on(pathOpenID, answer(200, "text/html", "a page for everything"))
			is.on(pathOAuth+strings.TrimSuffix(strings.ReplaceAll(path, "%20", " "), "/"), func(w http.ResponseWriter, _ *http.Request) {
				is.json(w, object{"issuer": issuer, "jwks_uri": is.URL + pathJWKS}.json())
			})
			i, _ := is.introspector(t, func(o *Options) { o.Issuer = issuer })
			token := s.sign(t, claims().with(object{"iss": issuer}).json(), nil)
			want(t, i, token, "active", "its token")

			is.on(pathOAuth+strings.TrimSuffix(strings.ReplaceAll(path, "%20", " "), "/"), answer(200, "application/json", string(object{"issuer": testIssuer, "jwks_uri": is.URL + pathJWKS}.json())))
			other, _ := is.introspector(t, func(o *Options) { o.Issuer = issuer })
			want(t, other, token, "unavailable", "the metadata of another")
		})
	}
}

// A redirect within the host is followed.
func TestRedirectWithin(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	for hop := range maxRedirects {
		is.on(fmt.Sprint("/", hop), http.RedirectHandler([]string{"/1", "/2", pathJWKS}[hop], http.StatusMovedPermanently).ServeHTTP)
	}
	i, _ := is.introspector(t, func(o *Options) { o.JWKSURI = is.URL + "/0" })
	want(t, i, is.token(t, s), "active", "three redirects")
}

// The certificate is verified, and an issuer that is not there is an outage.
func TestUnreachable(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	untrusted, _ := is.introspector(t, func(o *Options) { o.Roots = x509.NewCertPool() })
	_, err := untrusted.Introspect(t.Context(), is.token(t, s))
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an untrusted certificate: %v", err)
	}
	gone, _ := is.introspector(t, nil)
	is.Server.Close()
	if _, err := gone.Introspect(t.Context(), is.token(t, s)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a closed port: %v", err)
	}
	if got := clean(t.Context(), errors.New(secretText)); strings.Contains(got.Error(), secretText) {
		t.Errorf("an unknown error is quoted: %v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := clean(ended, errors.New(secretText)); !errors.Is(got, context.Canceled) {
		t.Errorf("an ended context: %v", got)
	}
}

// A host that takes connections and says nothing keeps none of them: what
// net/http dials outlives the request that it was dialled for.
func TestMuteHost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	c := newClock()
	o := options(c.now)
	o.Issuer, o.Timeout = "https://"+listener.Addr().String(), 100*time.Millisecond
	i := open(t, o)
	until(t, "a connection", func() bool { // before which the time of a fetch may be over, where the machine pauses
		want(t, i, newSigner(t, "ES256", "k1").token(t), "unavailable", "a mute host")
		c.pass(time.Hour)
		return len(accepted) > 0
	})
	conn := <-accepted
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
}
