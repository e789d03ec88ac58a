package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	sampleToken  = "2YotnFZFEjr1zCsicMWpAA.secret+/token=="
	sampleSecret = "s3cr%t: +/ü"
	sampleIssuer = "https://as.example.com"
	active       = `{"active":true,"sub":"alice","client_id":"shop","token_type":"Bearer","scope":"orders:read"}`
)

// clock is time that tests own.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Now().Truncate(time.Second).UnixNano())
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.nanos.Load()) }
func (c *clock) pass(by time.Duration) { c.nanos.Add(int64(by)) }

// endpoint is an authorization server's introspection endpoint over TLS and
// HTTP/2, and counts what arrives.
type endpoint struct {
	*httptest.Server
	calls atomic.Int64
}

func unstarted(handler http.HandlerFunc) *endpoint {
	e := &endpoint{}
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.calls.Add(1)
		_ = r.ParseForm() // an HTTP/1.1 server notices that the client is gone once it has read the body
		handler(w, r)
	}))
	e.EnableHTTP2 = true
	e.Config.ErrorLog = log.New(io.Discard, "", 0)
	return e
}

func serve(t testing.TB, handler http.HandlerFunc) *endpoint {
	t.Helper()
	e := unstarted(handler)
	e.StartTLS()
	t.Cleanup(e.Close)
	return e
}

// options reach the endpoint, try again at once and wait 10 s for it, which is
// never, unless something is wrong.
func (e *endpoint) options() Options {
	roots := x509.NewCertPool()
	roots.AddCert(e.Certificate())
	return Options{
		Endpoint: e.URL + "/introspect", TLS: &tls.Config{RootCAs: roots},
		Timeout: 10 * time.Second, After: atOnce,
	}
}

func atOnce(time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	c <- time.Time{}
	return c
}

func answering(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body) // who hangs up is looked after by the test
	}
}

func answeringStatus(status int, header, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(header, value)
		w.WriteHeader(status)
	}
}

// rawEndpoint speaks what it wants over plain TCP, once the request has come.
func rawEndpoint(t *testing.T, speak func(net.Conn)) (Options, *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls, done := &atomic.Int64{}, make(chan struct{})
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			request := make([]byte, 4096)
			if _, err := conn.Read(request); err == nil {
				speak(conn)
			}
			_ = conn.Close()
		}
	}()
	return Options{Endpoint: "http://" + listener.Addr().String(), Timeout: 10 * time.Second, After: atOnce}, calls
}

func open(t testing.TB, o Options) *Introspector {
	t.Helper()
	i, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

// ask introspects and fails the test on an error.
func ask(t testing.TB, i introspect.Introspector, token string) *introspect.Facts {
	t.Helper()
	f, err := i.Introspect(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wantUnavailable checks an error: promises 6 and 13 hold for every one.
func wantUnavailable(t testing.TB, i *Introspector, token, says string) {
	t.Helper()
	f, err := i.Introspect(context.Background(), token)
	if f != nil || !errors.Is(err, introspect.ErrUnavailable) {
		t.Fatalf("got %+v, %v; want ErrUnavailable", f, err)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("got %q, want it to say %q", err, says)
	}
	wantSecretless(t, token, err.Error(), i.Status().LastError)
}

func wantSecretless(t testing.TB, token string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range []string{token, sampleSecret, "planted"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q tells a secret", text)
			}
		}
	}
}

func wantCalls(t testing.TB, calls *atomic.Int64, want int64) {
	t.Helper()
	if got := calls.Load(); got != want {
		t.Errorf("%d requests arrived, want %d", got, want)
	}
}

// until yields until a condition that other goroutines bring about holds.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
