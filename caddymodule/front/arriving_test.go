package front

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

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

// post sends a form, or a part of it. The status is 0 when no answer comes.
func (r *rawRequest) post(path, body, length string) *http.Response {
	_, err := io.WriteString(r.Conn, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "+length+"\r\n\r\n"+body)
	if err != nil {
		return new(http.Response)
	}
	resp, err := http.ReadResponse(r.Reader, nil)
	if err != nil {
		return new(http.Response)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp
}

// withheld sends a form, of which all but the end comes, and returns the status
// that is answered; 0: the context has ended before.
type withheld func(ctx context.Context, path string) (status int)

const sent, kept = 5000, requestBytes + 16<<10 // bytes

// ways are those in which a client can withhold a form: each over a connection of
// its own, or all over one.
func (f *front) ways() map[string]withheld {
	server := f.secure()
	return map[string]withheld{
		"HTTP/1.1": func(ctx context.Context, path string) int {
			conn := f.dial()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			return conn.post(path, strings.Repeat("a", sent), strconv.Itoa(sent+1)).StatusCode
		},
		"HTTP/2": func(ctx context.Context, path string) int {
			end, _ := io.Pipe()
			body := struct {
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(strings.Repeat("a", sent)), end), end}
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+path, body)
			if err != nil {
				return 0
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			resp, err := server.Client().Do(r)
			if err != nil {
				return 0
			}
			resp.Body.Close()
			return resp.StatusCode
		},
	}
}

// Threat: clients that withhold their bodies, more of them than there is room,
// over many connections or one. They hold no place, and keep nobody out: who
// comes finds room, and the oldest of them are told to come again.
func TestSlowClientsKeepNobodyOut(t *testing.T) {
	o := narrow
	o.BodyTimeout = caddy.Duration(time.Minute)
	f := newNarrow(t, o)
	const most, crowd = 8, 60
	f.handler.entrance.Arrivals = admission.NewRoom(most * kept)
	for name, withhold := range f.ways() {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var all sync.WaitGroup
			before := f.turnedAway(admission.Arriving)
			for i := range crowd {
				path := []string{"/login", "/token", "/authorize"}[i%3]
				all.Go(func() {
					if status := withhold(ctx, path); status != 503 && (status != 0 || ctx.Err() == nil) {
						t.Errorf("%s: %d", path, status)
					}
				})
			}
			await(t, "a full room", func() bool {
				return f.turnedAway(admission.Arriving) >= before+crowd-most && f.handler.entrance.Arrivals.Load() == most
			})
			for range 2 * most {
				if a := f.get("/authorize"); a.status != 400 {
					t.Errorf("a page: %d", a.status)
				}
				for path, want := range map[string]int{"/login": 400, "/token": 401, "/authorize": 400} {
					if resp := f.dial().post(path, "grant_type=authorization_code", "29"); resp.StatusCode != want {
						t.Errorf("%s: %d", path, resp.StatusCode)
					}
				}
			}
			stop()
			all.Wait()
			await(t, "an empty room", func() bool { return f.handler.entrance.Arrivals.Load() == 0 })
			for _, lane := range f.handler.entrance.Lanes() {
				if working, waiting := lane.Load(); working+waiting+f.turnedAway(lane.Name) != 0 {
					t.Errorf("%s: %d work, %d wait, %d were turned away", lane.Name, working, waiting, f.turnedAway(lane.Name))
				}
			}
		})
	}
}

// Whose body is there when it is turned away keeps its connection: a new one
// would cost more. Whose body is not there is answered all the same.
func TestTurnedAwayConnection(t *testing.T) {
	f := newNarrow(t, narrow)
	empty := fill(t, f.handler.entrance.Machines, false)
	there := f.dial()
	if resp := there.post("/token", "a=b", "3"); resp.StatusCode != 503 || resp.Close {
		t.Errorf("%s, Connection: close is %v", resp.Status, resp.Close)
	}
	empty()
	for range 2 {
		if resp := there.post("/token", "a=b", "3"); resp.StatusCode != 400 && resp.StatusCode != 401 || resp.Close {
			t.Errorf("later: %s, Connection: close is %v", resp.Status, resp.Close)
		}
	}
	f.handler.entrance.Arrivals = admission.NewRoom(requestBytes)
	if resp := f.dial().post("/token", "a", "1000"); resp.StatusCode != 503 || !resp.Close {
		t.Errorf("withheld: %s, Connection: close is %v", resp.Status, resp.Close)
	}
}

// A client that sends slowly holds no place, and is told to go after a while
// (RFC 9110 §15.5.9).
func TestSlowBodyHoldsNoPlace(t *testing.T) {
	o := narrow
	o.BodyTimeout = caddy.Duration(200 * time.Millisecond)
	f := newNarrow(t, o)
	for name, withhold := range f.ways() {
		for _, path := range []string{"/token", "/login", "/authorize"} {
			t.Run(name+path, func(t *testing.T) {
				for seen := false; !seen; { // in a pause of the machine's it comes and goes unseen
					status := make(chan int, 1)
					go func() { status <- withhold(t.Context(), path) }()
					await(t, "one that arrives", func() bool {
						seen = f.handler.entrance.Arrivals.Load() == 1
						return seen || len(status) == 1
					})
					for _, lane := range f.handler.entrance.Lanes() {
						if working, waiting := lane.Load(); working+waiting != 0 {
							t.Errorf("%s: %d work, %d wait", lane.Name, working, waiting)
						}
					}
					if got := <-status; got != http.StatusRequestTimeout {
						t.Fatalf("got %d", got)
					}
				}
				if f.handler.entrance.Arrivals.Load() != 0 {
					t.Error("it arrives for ever")
				}
			})
		}
	}
}

// A body that is too large is refused in the endpoint's own words, though it was
// read before the endpoint saw it, and of the rest nothing is kept or read: what
// an endpoint may be sent is its own limit, and not the largest of all.
func TestLargeBodyIsRefused(t *testing.T) {
	f := newFront(t, model.Settings{
		"maxRequestBytes": raw(200_000), "maxRegistrationBytes": raw(300_000), "dynamicRegistrationSupported": raw(true),
	})
	for path, limit := range map[string]int{
		"/login": 16 << 10, "/consent": 16 << 10, "/grants": 16 << 10,
		"/authorize": 200_000, "/end_session": 200_000, "/token": 200_000, "/introspect": 200_000, "/revoke": 200_000,
		"/register": 300_000,
	} {
		body := strings.NewReader(strings.Repeat("a", 1<<20))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, issuer+path, body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if path == "/register" {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		if err := f.handler.ServeHTTP(w, r, caddyhttp.HandlerFunc(nil)); err != nil {
			t.Fatal(err)
		}
		if read := 1<<20 - body.Len(); w.Code != 413 || read != limit+1 {
			t.Errorf("%s: %d after %d bytes, want 413 after %d", path, w.Code, read, limit+1)
		}
	}
}

// The memory of a body follows what has come, never what was announced, up to its
// limit; the room knows all of it, and gets it back.
func TestBodyMemory(t *testing.T) {
	const limit = 20_000
	text := strings.Repeat("0123456789", limit)
	for size, kept := range map[int]int64{0: 1 << 10, 1: 1 << 10, 1<<10 - 1: 1 << 10, 1<<10 + 1: 4 << 10, 4<<10 + 1: 16 << 10, 16<<10 + 1: limit + 1, limit: limit + 1, limit + 1: limit + 1, 5 * limit: limit + 1} {
		for name, slow := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with its end": iotest.DataErrReader} {
			read := func(free int64) (arriving, error) {
				a, room := arriving{limit: limit}, admission.NewRoom(free)
				err := a.fill(slow(strings.NewReader(text[:size])), room, func() {})
				if err := room.Take(new(admission.Arrival), free); err != nil || room.Load() != 0 {
					t.Errorf("%d bytes %s: what was taken is not given back", size, name)
				}
				return a, err
			}
			a, err := read(requestBytes + kept)
			if err != nil || string(a.text) != text[:min(size, limit+1)] || int64(cap(a.text)) != kept {
				t.Errorf("%d bytes %s: %d of %d came, and %v", size, name, len(a.text), cap(a.text), err)
			}
			if a.discard(); a.text != nil || a.first != nil || a.Len() != 0 {
				t.Errorf("%d bytes %s: something is left", size, name)
			}
			if a, err := read(requestBytes + kept - 1); err != admission.ErrFull || a.text != nil {
				t.Errorf("%d bytes %s in less room: %d, %v", size, name, len(a.text), err)
			}
		}
	}
}

// Who does not read an answer keeps no body of its request in memory.
func TestBodyIsGoneWithThePlace(t *testing.T) {
	p := &place{ResponseWriter: httptest.NewRecorder()}
	p.body.limit = 1 << 10
	if err := p.body.fill(strings.NewReader("a=b"), admission.NewRoom(1<<20), func() {}); err != nil || p.body.Len() != 3 {
		t.Fatalf("%d bytes, %v", p.body.Len(), err)
	}
	p.WriteHeader(http.StatusOK)
	if p.body.text != nil || p.body.first != nil || p.body.Len() != 0 {
		t.Error("the body is kept beside the answer")
	}
}
