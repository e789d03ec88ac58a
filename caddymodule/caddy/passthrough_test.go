package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// upstream is an API behind the gateway. It counts the requests that reach it.
type upstream struct {
	address string
	arrived atomic.Int64
}

// startUpstream serves HTTP/1.1, and HTTP/2 without TLS.
func startUpstream(t *testing.T, handler http.HandlerFunc) *upstream {
	t.Helper()
	u := new(upstream)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.arrived.Add(1)
		handler(w, r)
	}))
	s.Config.Protocols = protocols(true, true)
	s.Start()
	t.Cleanup(s.Close)
	u.address = strings.TrimPrefix(s.URL, "http://")
	return u
}

func protocols(http1, cleartextHTTP2 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(http1)
	p.SetUnencryptedHTTP2(cleartextHTTP2)
	return p
}

// clientOf speaks one protocol, and keeps its connections until the test ends.
func clientOf(t *testing.T, p *http.Protocols) *http.Client {
	transport := &http.Transport{Protocols: p, MaxIdleConnsPerHost: 16, ExpectContinueTimeout: patience}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// anyProtocol lets a gateway take HTTP/2 without TLS too. The machine is not told
// to trust its authority, and ports 80 and 443 are left alone.
const anyProtocol = "skip_install_trust\n\tauto_https disable_redirects\n\tservers {\n\t\tprotocols h1 h2 h2c\n\t}"

// startGateway runs a gateway before an address, as reverse_proxy names it.
func startGateway(t *testing.T, upstream string, replacements ...string) *server {
	t.Helper()
	text := caddyfile(t, append([]string{"global", anyProtocol}, replacements...)...)
	return startOwn(t, strings.ReplaceAll(text, "reverse_proxy 127.0.0.1:{$UP}", "reverse_proxy "+upstream))
}

// unreached fails when a request that was refused has come to the API.
func (u *upstream) unreached(t *testing.T, before int64) {
	t.Helper()
	if now := u.arrived.Load(); now != before {
		t.Errorf("%d requests reached the API", now-before)
	}
}

// TestMethodsAndTargets (promise 11): what a request is passes as it came, with
// every method and form of target; without a token the same request is a 401
// that leaves the connection usable.
func TestMethodsAndTargets(t *testing.T) {
	api := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Echo", fmt.Sprintf("%s %s %d %q", r.Method, r.RequestURI, len(r.Header["X-Many"]), body))
	})
	s := startGateway(t, api.address)
	authorization := "Authorization: Bearer " + s.serviceToken("orders:read")
	many := strings.Repeat("X-Many: "+strings.Repeat("v", 100)+"\r\n", 100)
	for _, test := range []struct{ name, line, headers, body, want string }{
		{"GET", "GET /orders", "", "", `GET /orders 0 ""`},
		{"HEAD", "HEAD /orders", "", "", `HEAD /orders 0 ""`},
		{"OPTIONS", "OPTIONS /orders", "Origin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n", "", `OPTIONS /orders 0 ""`},
		{"PROPFIND", "PROPFIND /files/", "Depth: 1\r\n", "<propfind/>", `PROPFIND /files/ 0 "<propfind/>"`},
		{"an unknown method", "PURGE-ALL /x", "", "", `PURGE-ALL /x 0 ""`},
		{"100 headers", "GET /orders", many, "", `GET /orders 100 ""`},
		{"the query as it is", "GET /orders?a=%2F&b=%20+;c&&=", "", "", `GET /orders?a=%2F&b=%20+;c&&= 0 ""`},
		{"the path as it is", "GET /a%2fb//c/%7Ed;e=f", "", "", `GET /a%2fb//c/%7Ed;e=f 0 ""`},
		{"absolute form", "GET http://localhost/orders?a=b", "", "", `GET /orders?a=b 0 ""`},
	} {
		t.Run(test.name, func(t *testing.T) {
			head := fmt.Sprintf("%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s", test.line, len(test.body), test.headers)
			before := api.arrived.Load()
			method, _, _ := strings.Cut(test.line, " ")
			got := answers(t, s.api, method, head+"\r\n"+test.body+head+authorization+"\r\nConnection: close\r\n\r\n"+test.body)
			if len(got) != 2 || got[0].status != http.StatusUnauthorized || got[1].status != http.StatusOK {
				t.Fatalf("without a token and with one: %v", statuses(got))
			}
			if challenge := got[0].header.Get("WWW-Authenticate"); challenge != `Bearer scope="orders:read"` {
				t.Errorf("challenge %q", challenge)
			}
			if echo := got[1].header.Get("X-Echo"); echo != test.want {
				t.Errorf("the API got %q, want %q", echo, test.want)
			}
			api.unreached(t, before+1)
		})
	}
}

// TestServerSentEvents: events arrive one by one, each before the next is made,
// and the API learns that the client has gone.
func TestServerSentEvents(t *testing.T) {
	events, gone := make(chan string), make(chan bool, 1)
	api := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case event := <-events:
				fmt.Fprintf(w, "data: %s\n\n", event)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				gone <- true
				return
			}
		}
	})
	s := startGateway(t, api.address)
	token := s.serviceToken("orders:read")
	for name, protocol := range map[string]*http.Protocols{"HTTP/1.1": protocols(true, false), "HTTP/2": protocols(false, true)} {
		t.Run(name, func(t *testing.T) {
			client := clientOf(t, protocol)
			before := api.arrived.Load()
			if r, err := try(client, "GET", s.api+"/events", ""); err != nil || r.status != http.StatusUnauthorized {
				t.Fatalf("without a token: %+v %v", r, err)
			}
			api.unreached(t, before)

			stream := openStream(t, client, s.api+"/events", token)
			for i := range 5 {
				select {
				case events <- fmt.Sprint(i):
				case <-time.After(patience):
					t.Fatalf("the API does not want event %d", i)
				}
				if got := stream.next(t); got != fmt.Sprint("data: ", i) {
					t.Fatalf("event %d is %q", i, got)
				}
			}
			stream.body.Close()
			receive(t, gone)
		})
	}
}

// receive waits for what a handler or a goroutine of the test has to say.
func receive[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(patience):
		t.Fatal("nothing comes")
	}
	return value
}

// stream is an answer that is read line by line.
type stream struct {
	body  io.Closer
	lines *bufio.Scanner
}

func openStream(t *testing.T, client *http.Client, address, token string) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d", address, resp.StatusCode)
	}
	return &stream{resp.Body, bufio.NewScanner(resp.Body)}
}

// next is the next line that is not empty; "" at the end.
func (s *stream) next(t *testing.T) string {
	t.Helper()
	for s.lines.Scan() {
		if line := s.lines.Text(); line != "" {
			return line
		}
	}
	return ""
}
