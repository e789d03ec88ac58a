package front

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// narrow is one place and one who waits in each lane.
var narrow = Overload{
	People: admission.Limits{AtOnce: 1, Waiting: 1}, Machines: admission.Limits{AtOnce: 1, Waiting: 1},
	QueueTimeout: caddy.Duration(time.Millisecond),
}

func newNarrow(t *testing.T, o Overload) *front {
	t.Helper()
	return newFrontOn(t, model.Settings{}, o, func(s store.Store) store.Store { return s })
}

// fill takes all places of a lane, and its room too if that is to be full, until
// the test ends or empty is called.
func fill(t *testing.T, lane *admission.Lane, room bool) (empty func()) {
	t.Helper()
	if err := lane.Enter(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	stay, there := make(chan struct{}), make(chan struct{})
	if room {
		go func() {
			_ = lane.Enter(t.Context(), func() error { close(there); <-stay; return io.EOF })
		}()
		<-there
	}
	return func() {
		lane.Leave()
		close(stay)
	}
}

func (f *front) get(path string) answered {
	f.t.Helper()
	return f.do(http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.http.URL+path, nil))
}

// RFC 9110 §10.2.3, RFC 6749 §5.2: who finds no place is told so at once, in the
// form of the endpoint, and one lane is never in the other's way. The documents
// that everybody needs are there in any case.
func TestLanesAreApart(t *testing.T) {
	for name, room := range map[string]bool{"no place": false, "no room to wait": true} {
		t.Run(name, func(t *testing.T) {
			f := newNarrow(t, narrow)
			token := func() answered {
				return f.do(direct(t, f.http.URL+"/token", url.Values{"grant_type": {"password"}}), nil)
			}
			empty := fill(t, f.handler.machines, room)
			if a := token(); a.status != 503 || a.header.Get("Retry-After") == "" || a.body["error"] != "temporarily_unavailable" {
				t.Errorf("token: %d %v %v", a.status, a.header, a.body)
			}
			for path, want := range map[string]int{"/authorize": 400, "/login/style.css": 200, "/login/nothing": 418, "/jwks": 200, "/.well-known/oauth-authorization-server": 200} {
				if a := f.get(path); a.status != want {
					t.Errorf("%s beside machines: %d, want %d", path, a.status, want)
				}
			}
			empty()
			defer fill(t, f.handler.people, room)()
			for _, path := range []string{"/authorize", "/login", "/grants", "/end_session"} {
				if a := f.get(path); a.status != 503 || a.header.Get("Retry-After") == "" || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
					t.Errorf("%s: %d %v", path, a.status, a.header)
				}
			}
			if a := token(); a.status != 400 {
				t.Errorf("token beside people: %d %v", a.status, a.body)
			}
		})
	}
}

// rawRequest sends a request, of whose body only a part comes, and reads the answer.
type rawRequest struct {
	net.Conn
	*bufio.Reader
}

func (f *front) dial() *rawRequest {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.http.URL, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &rawRequest{conn, bufio.NewReader(conn)}
}

func (r *rawRequest) post(t *testing.T, path, body string, length string) *http.Response {
	t.Helper()
	_, err := io.WriteString(r.Conn, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "+length+"\r\n\r\n"+body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp
}

// A request that is turned away is answered whether its body comes or not. Where
// the body is there, the connection goes on: a new one would cost more.
func TestTurnedAwayBeforeTheBody(t *testing.T) {
	f := newNarrow(t, narrow)
	empty := fill(t, f.handler.machines, true)
	withheld := f.dial()
	if resp := withheld.post(t, "/token", "a", "1000"); resp.StatusCode != 503 || !resp.Close {
		t.Errorf("%s, Connection: close is %v", resp.Status, resp.Close)
	}
	there := f.dial()
	if resp := there.post(t, "/token", "a=b", "3"); resp.StatusCode != 503 || resp.Close {
		t.Errorf("%s, Connection: close is %v", resp.Status, resp.Close)
	}
	empty()
	for range 2 {
		if resp := there.post(t, "/token", "a=b", "3"); resp.StatusCode != 400 && resp.StatusCode != 401 || resp.Close {
			t.Errorf("later: %s, Connection: close is %v", resp.Status, resp.Close)
		}
	}
}

// A client that sends slowly holds no place, and is told to go after a while
// (RFC 9110 §15.5.9).
func TestSlowBodyHoldsNoPlace(t *testing.T) {
	o := narrow
	o.BodyTimeout = caddy.Duration(200 * time.Millisecond)
	f := newNarrow(t, o)
	for name, server := range map[string]*httptest.Server{"HTTP/1.1": f.http, "HTTP/2": f.secure()} {
		for path, lane := range map[string]*admission.Lane{"/token": f.handler.machines, "/login": f.handler.people, "/authorize": f.handler.people} {
			t.Run(name+path, func(t *testing.T) {
				body, never := io.Pipe()
				defer never.Close()
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				over := make(chan struct{})
				go func() {
					defer close(over)
					resp, err := server.Client().Do(r)
					if err != nil || resp.StatusCode != http.StatusRequestTimeout {
						t.Errorf("%v %v", resp, err)
						return
					}
					resp.Body.Close()
				}()
				for waiting := 0; waiting == 0; {
					var working int
					if working, waiting = lane.Load(); working > 0 {
						t.Fatal("it has a place")
					}
					select {
					case <-over:
						t.Fatal("it never waited")
					case <-time.After(time.Millisecond):
					}
				}
				<-over
				if working, waiting := lane.Load(); working+waiting != 0 {
					t.Errorf("afterwards %d, %d", working, waiting)
				}
			})
		}
	}
}

// A body that is too large is refused in the endpoint's own words, though it was
// read before the endpoint saw it; of the rest nothing is kept.
func TestLargeBodyIsRefused(t *testing.T) {
	f := newNarrow(t, Overload{})
	for path, want := range map[string]int{"/token": 413, "/introspect": 413, "/login": 413} {
		resp, err := http.Post(f.http.URL+path, "application/x-www-form-urlencoded", strings.NewReader(strings.Repeat("a", 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// unread is a connection whose other side does not read.
type unread struct {
	*httptest.ResponseRecorder
	writing, read chan struct{}
	deadline      time.Time
}

func (u *unread) SetWriteDeadline(at time.Time) error {
	u.deadline = at
	return nil
}

func (u *unread) Write(b []byte) (int, error) {
	close(u.writing)
	<-u.read
	return len(b), nil
}

// A client that does not read its answer holds no place either, and over HTTP/2
// is given up.
func TestUnreadAnswerHoldsNoPlace(t *testing.T) {
	f := newNarrow(t, narrow)
	u := &unread{ResponseRecorder: httptest.NewRecorder(), writing: make(chan struct{}), read: make(chan struct{})}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/authorize", nil)
	r.ProtoMajor, r.ProtoMinor = 2, 0
	done := make(chan error, 1)
	before := time.Now()
	go func() { done <- f.handler.ServeHTTP(u, r, caddyhttp.HandlerFunc(nil)) }()
	select {
	case <-u.writing:
	case err := <-done:
		t.Fatalf("nothing was written: %v", err)
	}
	if working, waiting := f.handler.people.Load(); working+waiting != 0 {
		t.Errorf("%d work, %d wait", working, waiting)
	}
	if u.deadline.Before(before.Add(stuck)) || u.deadline.After(time.Now().Add(stuck)) {
		t.Errorf("the deadline is %s", u.deadline)
	}
	close(u.read)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
