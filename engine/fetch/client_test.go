package fetch

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGet(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "Application/JWK-Set+JSON; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=600")
		_, _ = io.WriteString(w, `{"keys":[]}`)
	})
	c := newTestClient(t, s, Options{})
	got, err := c.Get(t.Context(), under(t, s, "example.com")+"/jwks", "application/json", "application/jwk-set+json")
	want := Document{Body: []byte(`{"keys":[]}`), ContentType: "application/jwk-set+json", MaxAge: 10 * time.Minute}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestWhatIsSent: the engine's own, and nothing of an earlier answer's or of
// the environment's.
func TestWhatIsSent(t *testing.T) {
	var last http.Header
	var uri, host string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/start" {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
			http.Redirect(w, r, "/end?q", http.StatusFound)
			return
		}
		last, uri, host = r.Header.Clone(), r.RequestURI, r.Host
	})
	c := newTestClient(t, s, Options{})
	if c.secure.Proxy != nil || c.plain.Proxy != nil { // net/http reads the environment once only
		t.Error("a proxy may be used")
	}
	if _, err := c.Get(t.Context(), under(t, s, "example.com")+"/start#fragment"); err != nil {
		t.Fatal(err)
	}
	want := http.Header{"User-Agent": {"Gatehouse"}, "Accept": {"*/*"}, "Accept-Encoding": {"identity"}}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Error(diff)
	}
	if uri != "/end?q" || !strings.HasPrefix(host, "example.com:") {
		t.Errorf("%s of %s", uri, host)
	}
}

func TestPost(t *testing.T) {
	var body, user, password, contentType, accept string
	status := http.StatusNoContent
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		bytes, _ := io.ReadAll(r.Body)
		body, contentType, accept = string(bytes), r.Header.Get("Content-Type"), r.Header.Get("Accept")
		user, password, _ = r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = io.WriteString(w, secretBody)
		}
	})
	c := newTestClient(t, s, Options{})
	request := Request{
		Method: "POST", Address: s.URL, ContentType: "application/x-www-form-urlencoded", Body: []byte("logout_token=a"),
		Username: "gatehouse", Password: "pa:ss", Accept: []string{"application/json", "application/problem+json"},
	}
	for _, test := range []struct {
		status int
		want   error
	}{
		{200, nil}, {201, nil}, {204, nil},
		{304, ErrUnexpected}, {400, ErrUnexpected}, {401, ErrUnexpected}, {404, ErrUnexpected},
		{408, ErrUnavailable}, {429, ErrUnavailable}, {500, ErrUnavailable}, {503, ErrUnavailable},
	} {
		status = test.status
		response, err := c.Do(t.Context(), request)
		if !errors.Is(err, test.want) || response.Status != test.status {
			t.Errorf("%d: %d, %v", test.status, response.Status, err)
		}
		if err != nil && (len(response.Body) > 0 || strings.Contains(err.Error(), secretBody)) {
			t.Errorf("%d: the body came with %v", test.status, err)
		}
		if err == nil && test.status != 204 && string(response.Body) != secretBody {
			t.Errorf("%d: %q", test.status, response.Body)
		}
	}
	got := []string{body, user, password, contentType, accept}
	want := []string{"logout_token=a", "gatehouse", "pa:ss", "application/x-www-form-urlencoded", "application/json, application/problem+json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesInRequests(t *testing.T) {
	c := newTestClient(t, nil, Options{})
	for _, r := range []Request{
		{Method: "PUT"}, {Method: "get"}, {Body: []byte("a")}, {ContentType: "text/plain"}, {Method: "POST", Username: "a:b"},
	} {
		r.Address = "https://127.0.0.1/"
		_, err := c.Do(t.Context(), r)
		if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrForbidden) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// TestDevelopment: http is for loopback addresses that are allowed, by name or
// by number.
func TestDevelopment(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	for _, test := range []struct {
		allow []netip.Prefix
		host  string
		addr  string
		want  error
	}{
		{prefixes("127.0.0.0/8"), "127.0.0.1", "", nil},
		{prefixes("127.0.0.0/8"), "localhost", "127.0.0.1", nil},
		{prefixes("::1/128"), "localhost", "127.0.0.1", ErrForbidden},
		{prefixes("127.0.0.0/8", "10.0.0.0/8"), "localhost", "10.0.0.1", ErrForbidden},
		{prefixes("127.0.0.0/8"), "localhost", "8.8.8.8", ErrForbidden},
		{prefixes("10.0.0.0/8"), "127.0.0.1", "", ErrForbidden},
		{prefixes("10.0.0.0/8"), "localhost", "10.0.0.1", ErrForbidden},
		{prefixes("10.0.0.0/8"), "10.0.0.1", "", ErrForbidden},
	} {
		o := Options{Allow: test.allow}
		if test.addr != "" {
			o.Resolve = resolveTo(test.addr)
		}
		_, err := newTestClient(t, nil, o).Get(t.Context(), under(t, s, test.host))
		if !errors.Is(err, test.want) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func TestTLS(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	start(t, old)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	stranger := newTestClient(t, nil, Options{Roots: x509.NewCertPool()})
	friend := newTestClient(t, s, Options{})
	for _, test := range []struct {
		name    string
		client  *Client
		address string
		reason  string
	}{
		{"unknown issuer", stranger, s.URL, "issuer"},
		{"another host", friend, under(t, s, "example.org"), "another host"},
		{"TLS 1.1", friend, old.URL, ""},
		{"no TLS", friend, strings.Replace(plain.URL, "http:", "https:", 1), ""},
	} {
		_, err := test.client.Get(t.Context(), test.address)
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestSlowAnswers (threat 21): the time limit is over everything.
func TestSlowAnswers(t *testing.T) {
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, secretBody)
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}
	body := serve(t, drip)
	header := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // a return would be an answer, which may still arrive
	})
	redirects := serve(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(120 * time.Millisecond)
		http.Redirect(w, r, "/", http.StatusFound)
	})
	silent := raw(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	o := Options{Timeout: 300 * time.Millisecond, MaxBytes: 1 << 30}
	stuck := o
	stuck.Resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, test := range []struct {
		name    string
		client  *Client
		address string
	}{
		{"body", newTestClient(t, body, o), body.URL},
		{"header", newTestClient(t, header, o), header.URL},
		{"redirects", newTestClient(t, redirects, o), redirects.URL},
		{"TLS handshake", newTestClient(t, nil, o), "https://" + silent},
		{"resolver", newTestClient(t, nil, stuck), "https://example.com/"},
	} {
		t.Run(test.name, func(t *testing.T) {
			within(t, 10*time.Second, func() {
				_, err := test.client.Get(t.Context(), test.address)
				wantError(t, err, ErrUnavailable)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newTestClient(t, body, o).Get(ctx, body.URL); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled by the caller: %v", err)
	}
}

// TestNothingOfTheAnswerIsInErrors: a service that speaks something else does
// not tell what it is.
func TestNothingOfTheAnswerIsInErrors(t *testing.T) {
	for _, answer := range []string{
		secretBody + "\r\n",
		"HTTP/1.1 " + secretBody + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + secretBody + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: " + secretBody + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secretBody + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secretBody + "\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + secretBody,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + secretBody + "\r\n\r\n",
		"HTTP/1.1 404 " + secretBody + "\r\n\r\n" + secretBody,
		"HTTP/1.1 302 Found\r\nLocation: " + secretBody + "://a\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://" + secretBody + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: " + secretBody + "\r\nContent-Encoding: " + secretBody + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat(secretBody, maxHeaderBytes) + "\r\n\r\n",
	} {
		address := raw(t, func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, answer)
			}
		})
		_, err := newTestClient(t, nil, Options{}).Get(t.Context(), "http://"+address)
		if err == nil || strings.Contains(err.Error(), secretBody) || strings.Contains(err.Error(), secretBody[:8]) {
			t.Errorf("%.80q: %v", answer, err)
		}
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnexpected) && !errors.Is(err, ErrForbidden) {
			t.Errorf("%.80q: %v", answer, err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // nobody listens there now
	c := newTestClient(t, nil, Options{})
	_, err = c.Get(t.Context(), "https://"+l.Addr().String())
	wantError(t, err, ErrUnavailable)
	for _, resolve := range []func(context.Context, string) ([]netip.Addr, error){
		resolveTo(),
		func(context.Context, string) ([]netip.Addr, error) { return nil, &net.DNSError{Err: secretBody} },
	} {
		_, err = newTestClient(t, nil, Options{Resolve: resolve}).Get(t.Context(), "https://example.com")
		wantError(t, err, ErrUnavailable)
	}
}

// raw starts a server that speaks whatever speak does, and returns its address.
func raw(t *testing.T, speak func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				speak(conn)
			}()
		}
	}()
	return l.Addr().String()
}
