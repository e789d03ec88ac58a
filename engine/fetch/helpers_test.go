package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const secretBody = "hush, these words stay out of errors"

// serve starts an https server on 127.0.0.1. Its certificate is for that
// address and example.com.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	return start(t, s)
}

func start(t *testing.T, s *httptest.Server) *httptest.Server {
	t.Helper()
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// newTestClient makes a client that trusts a server, and to which 127.0.0.1
// alone is allowed unless the options say otherwise.
func newTestClient(t *testing.T, s *httptest.Server, o Options) *Client {
	t.Helper()
	if o.Allow == nil {
		o.Allow = prefixes("127.0.0.1/32")
	}
	if s != nil && o.Roots == nil {
		o.Roots = x509.NewCertPool()
		o.Roots.AddCert(s.Certificate())
	}
	if o.Resolve == nil {
		o.Resolve = resolveTo("127.0.0.1")
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

func resolveTo(addrs ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) ([]netip.Addr, error) {
		var all []netip.Addr
		for _, a := range addrs {
			all = append(all, netip.MustParseAddr(a))
		}
		return all, nil
	}
}

// under returns a server's URL with another host name or address.
func under(t *testing.T, s *httptest.Server, host string) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}

// wantError holds a result against what every error promises.
func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v, not %v", err, want)
	}
	if strings.Contains(err.Error(), secretBody) {
		t.Errorf("the error has the body: %v", err)
	}
}

// within fails when a time limit did not hold.
func within(t *testing.T, most time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > most {
		t.Errorf("took %s", took)
	}
}

// counted is a server on another loopback address that nobody may reach.
func counted(t *testing.T, address string) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	connections := new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	_ = s.Listener.Close() // replaced
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	return start(t, s), connections
}
