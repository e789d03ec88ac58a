package jwt

import (
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	pathOpenID = "/.well-known/openid-configuration"
	pathOAuth  = "/.well-known/oauth-authorization-server"
	pathJWKS   = "/jwks"
)

// issuer is an authorization server with metadata and keys, over real TLS. It
// counts what it is asked for.
type issuer struct {
	*httptest.Server
	metadata, keysAsked, connections atomic.Int64

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc
	asked    map[string]bool // what requests were for
}

func newIssuer(t testing.TB, keys ...object) *issuer {
	t.Helper()
	is := &issuer{handlers: map[string]http.HandlerFunc{}, asked: map[string]bool{}}
	is.Server = httptest.NewUnstartedServer(is)
	is.Config.ErrorLog = log.New(io.Discard, "", 0)
	is.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			is.connections.Add(1)
		case http.StateClosed:
			is.connections.Add(-1)
		}
	}
	is.StartTLS()
	t.Cleanup(is.Server.Close)
	is.on(pathOpenID, func(w http.ResponseWriter, _ *http.Request) {
		is.json(w, object{"issuer": is.URL, "jwks_uri": is.URL + pathJWKS}.json())
	})
	is.publish(keys...)
	return is
}

// ServeHTTP is part of http.Handler.
func (is *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case pathOpenID:
		is.metadata.Add(1)
	case pathJWKS:
		is.keysAsked.Add(1)
	}
	is.mu.Lock()
	is.asked[r.RequestURI] = true
	handler := is.handlers[r.URL.Path]
	is.mu.Unlock()
	if handler == nil {
		http.NotFound(w, r)
		return
	}
	handler(w, r)
}

func (is *issuer) on(path string, handler http.HandlerFunc) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.handlers[path] = handler
}

func (is *issuer) json(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(body)
}

func (is *issuer) publish(keys ...object) {
	body := jwks(keys...)
	is.on(pathJWKS, func(w http.ResponseWriter, _ *http.Request) { is.json(w, body) })
}

// down makes the keys' endpoint fail.
func (is *issuer) down() {
	is.on(pathJWKS, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
}

// stuck makes the keys' endpoint hang until the test releases it, or ends.
func (is *issuer) stuck(t testing.TB, keys ...object) (release func()) {
	gate := make(chan struct{})
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	body := jwks(keys...)
	is.on(pathJWKS, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-gate:
			is.json(w, body)
		case <-r.Context().Done():
		}
	})
	return release
}

func (is *issuer) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(is.Certificate())
	return pool
}

// introspector returns one for the issuer, and its clock.
func (is *issuer) introspector(t testing.TB, change func(*Options)) (*Introspector, *clock) {
	t.Helper()
	c := newClock()
	o := options(c.now)
	o.Issuer, o.Roots = is.URL, is.roots()
	if change != nil {
		change(&o)
	}
	return open(t, o), c
}

// token is a good token of the issuer.
func (is *issuer) token(t testing.TB, s *signer) string {
	return s.sign(t, claims().with(object{"iss": is.URL, "exp": start.Unix() + 1e6}).json(), nil)
}

func (is *issuer) wantFetches(t testing.TB, wanted int64, when string) {
	t.Helper()
	if got := is.keysAsked.Load(); got != wanted {
		t.Errorf("%s: the keys were fetched %d times, want %d", when, got, wanted)
	}
}
