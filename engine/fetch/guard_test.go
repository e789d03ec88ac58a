package fetch

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var quiet = log.New(io.Discard, "", 0)

// TestThreat21AfterDNS: a name leads nowhere that its address may not.
func TestThreat21AfterDNS(t *testing.T) {
	forbidden, connections := counted(t, "127.0.0.1:0")
	for _, addr := range append([]string{"::ffff:127.0.0.1"}, specialAddresses...) {
		c := newTestClient(t, forbidden, Options{Allow: prefixes("10.99.0.0/16"), Resolve: resolveTo(addr)})
		_, err := c.Get(t.Context(), under(t, forbidden, "example.com"))
		if !errors.Is(err, ErrForbidden) {
			t.Errorf("a name with the address %s: %v", addr, err)
		}
	}
	if connections.Load() != 0 {
		t.Error("it was connected to")
	}
}

// TestThreat21Rebinding: a name that had a permitted address the first time and
// has a forbidden one the second time. 127.0.0.1 is the permitted one.
func TestThreat21Rebinding(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	_, connections := counted(t, "127.0.0.2:"+port)
	var asked atomic.Int64
	c := newTestClient(t, s, Options{Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
		if asked.Add(1) == 1 {
			return resolveTo("127.0.0.1")(ctx, host)
		}
		return resolveTo("127.0.0.2")(ctx, host)
	}})
	if _, err := c.Get(t.Context(), under(t, s, "example.com")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	_, err := c.Get(t.Context(), under(t, s, "example.com"))
	wantError(t, err, ErrForbidden)
	if connections.Load() != 0 || asked.Load() != 2 {
		t.Errorf("%d connections, %d lookups", connections.Load(), asked.Load())
	}
}

// TestThreat21TheSocketIsJudged: whatever found the address, the socket that is
// about to connect to it is where it is judged.
func TestThreat21TheSocketIsJudged(t *testing.T) {
	_, connections := counted(t, "127.0.0.1:0")
	d := newDialer("https", newRules(nil), Options{}.withDefaults())
	for _, address := range []string{"127.0.0.1:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "[fe80::1%lo]:443", "0.0.0.0:443", ":443", "localhost:443", ""} {
		if err := d.control("tcp", address, nil); !errors.Is(err, ErrForbidden) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if err := d.control("tcp4", "8.8.8.8:443", nil); err != nil {
		t.Error(err)
	}
	// The dialer resolves localhost by itself here.
	if _, err := d.net.DialContext(t.Context(), "tcp", "localhost:443"); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
	if connections.Load() != 0 {
		t.Error("it was connected to")
	}
}

// TestThreat21OneOfManyAddresses: the permitted addresses of a name are used,
// and its forbidden ones are not.
func TestThreat21OneOfManyAddresses(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	_, connections := counted(t, "127.0.0.2:"+port)
	c := newTestClient(t, s, Options{Resolve: resolveTo("127.0.0.2", "10.0.0.1", "::1", "127.0.0.1")})
	if _, err := c.Get(t.Context(), under(t, s, "example.com")); err != nil {
		t.Error(err)
	}
	if connections.Load() != 0 {
		t.Error("the forbidden address was connected to")
	}
}

func TestThreat21Redirects(t *testing.T) {
	_, connections := counted(t, "127.0.0.2:0")
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	var location atomic.Value
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			_, _ = io.WriteString(w, "end")
			return
		}
		w.Header().Set("Location", location.Load().(string))
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, secretBody)
	})
	c := newTestClient(t, s, Options{Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
		if host == "inside.example.com" {
			return resolveTo("127.0.0.2")(ctx, host)
		}
		return resolveTo("127.0.0.1")(ctx, host)
	}})
	for _, test := range []struct {
		to   string
		want error
	}{
		{"/end", nil},
		{"end#fragment", nil},
		{under(t, s, "example.com") + "/end", nil},
		{plain.URL, ErrForbidden}, // https to http, although the address is allowed
		{strings.Replace(under(t, s, "example.com"), "https", "http", 1), ErrForbidden},
		{under(t, s, "127.0.0.2"), ErrForbidden},
		{under(t, s, "inside.example.com"), ErrForbidden},
		{under(t, s, "::1"), ErrForbidden},
		{"https://169.254.169.254/latest/meta-data/", ErrForbidden},
		{"//10.0.0.1/", ErrForbidden},
		{"https://user@example.com/", ErrForbidden},
		{"https://2130706433/", ErrForbidden},
		{"https://example.com:22/", ErrForbidden},
		{"file:///etc/passwd", ErrForbidden},
		{"ftp://example.com/", ErrForbidden},
		{"https://[::1", ErrUnexpected},
		{"/again", ErrUnexpected}, // for ever
	} {
		location.Store(test.to)
		document, err := c.Get(t.Context(), s.URL)
		switch {
		case !errors.Is(err, test.want) || (err == nil) != (test.want == nil):
			t.Errorf("to %s: %v", test.to, err)
		case err == nil && string(document.Body) != "end":
			t.Errorf("to %s: %q", test.to, document.Body)
		case err != nil && strings.Contains(err.Error(), secretBody):
			t.Errorf("the error has the body: %v", err)
		}
	}
	if connections.Load() != 0 {
		t.Error("the forbidden address was connected to")
	}
}

func TestRedirectsAreCounted(t *testing.T) {
	var requests atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if rest := r.URL.Path[1:]; rest != "" {
			http.Redirect(w, r, "/"+rest[1:], http.StatusTemporaryRedirect)
		}
	})
	c := newTestClient(t, s, Options{})
	if _, err := c.Get(t.Context(), s.URL+"/aaa"); err != nil || requests.Load() != 4 {
		t.Errorf("three redirects: %v after %d requests", err, requests.Load())
	}
	requests.Store(0)
	if _, err := c.Get(t.Context(), s.URL+"/aaaa"); !errors.Is(err, ErrUnexpected) || requests.Load() != 4 {
		t.Errorf("four redirects: %v after %d requests", err, requests.Load())
	}
}

// TestWhatIsNotRedirected: what was meant for one address is not for another.
func TestWhatIsNotRedirected(t *testing.T) {
	var requests atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("Location", "/other")
		w.WriteHeader(http.StatusPermanentRedirect)
	})
	c := newTestClient(t, s, Options{})
	for _, r := range []Request{
		{Method: "POST", ContentType: "application/json", Body: []byte("{}")},
		{Method: "POST"},
		{Method: "GET", Username: "user"},
		{Password: "password"},
	} {
		requests.Store(0)
		r.Address = s.URL
		response, err := c.Do(t.Context(), r)
		wantError(t, err, ErrUnexpected)
		if requests.Load() != 1 || response.Status != http.StatusPermanentRedirect {
			t.Errorf("%d requests, status %d", requests.Load(), response.Status)
		}
	}
}

// TestSlowAddressDoesNotBlockTheNext is RFC 8305 §5.
func TestSlowAddressDoesNotBlockTheNext(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	d := newDialer("https", newRules(prefixes("127.0.0.0/8")), Options{Resolve: resolveTo("127.0.0.3", "127.0.0.1")}.withDefaults())
	held := make(chan struct{})
	d.net.Control = func(network, address string, raw syscall.RawConn) error {
		if strings.HasPrefix(address, "127.0.0.3:") {
			<-held
		}
		return d.control(network, address, raw)
	}
	defer close(held)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	within(t, 10*time.Second, func() {
		conn, err := d.dial(t.Context(), "tcp", "example.com:"+port)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	})
}

// TestAttemptsAreBounded: a name with many addresses is no way to many hosts.
func TestAttemptsAreBounded(t *testing.T) {
	var many []string
	for range 300 {
		many = append(many, "127.0.0.1")
	}
	d := newDialer("https", newRules(nil), Options{Resolve: resolveTo(many...)}.withDefaults())
	var attempts atomic.Int64
	d.net.Control = func(network, address string, raw syscall.RawConn) error {
		attempts.Add(1)
		return d.control(network, address, raw)
	}
	_, err := d.dial(t.Context(), "tcp", "example.com:443")
	wantError(t, err, ErrForbidden)
	if attempts.Load() != maxAttempts {
		t.Errorf("%d attempts", attempts.Load())
	}
}

// TestForbiddenOnlyWhenAllIs: a host that was permitted and did not answer may
// be asked again.
func TestForbiddenOnlyWhenAllIs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // nobody listens there now
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, addrs := range [][]string{{"10.0.0.1", "127.0.0.1"}, {"127.0.0.1", "10.0.0.1"}} {
		c := newTestClient(t, nil, Options{Resolve: resolveTo(addrs...)})
		_, err := c.Get(t.Context(), "https://example.com:"+port)
		wantError(t, err, ErrUnavailable)
	}
}

// TestConnectingEndsToo: a transport goes on connecting when the request is
// over. That has an end as well.
func TestConnectingEndsToo(t *testing.T) {
	o := Options{Timeout: 50 * time.Millisecond}.withDefaults()
	o.Resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) {
		select {
		case <-ctx.Done():
		case <-time.After(30 * time.Second):
		}
		return nil, ctx.Err()
	}
	within(t, 10*time.Second, func() {
		_, err := newDialer("https", newRules(nil), o).dial(context.Background(), "tcp", "example.com:443")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	var connected atomic.Bool
	closed := make(chan struct{}, 100)
	silent := raw(t, func(conn net.Conn) {
		connected.Store(true)
		_, _ = io.Copy(io.Discard, conn)
		closed <- struct{}{}
	})
	for tries := 0; !connected.Load(); tries++ { // the time may be over before that, where the machine pauses
		if tries == 100 {
			t.Fatal("it does not connect")
		}
		_, err := newTestClient(t, nil, o).Get(t.Context(), "https://"+silent)
		wantError(t, err, ErrUnavailable)
	}
	await(t, closed, 1)
}
