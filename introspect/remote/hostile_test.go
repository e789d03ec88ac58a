package remote

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// A hostile endpoint, or one that breaks: each time the call ends, in bounds
// and with ErrUnavailable (promise 6). What is worth another attempt gets it.
func TestHostileEndpoint(t *testing.T) {
	bomb := &bytes.Buffer{}
	w := gzip.NewWriter(bomb)
	if _, err := w.Write(bytes.Repeat([]byte(" "), 8<<20)); err != nil || w.Close() != nil {
		t.Fatal("no bomb")
	}
	hang := func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // a return would end the answer as if it were whole
	}
	for _, test := range []struct {
		name     string
		timeout  time.Duration
		handler  http.HandlerFunc
		want     string
		attempts uint64
	}{
		{"says nothing", 200 * time.Millisecond, hang, "no answer within 200ms", 3},
		{"stops within the body", 200 * time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
			answering("application/json", `{"active":`)(w, r)
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
		}, "no answer within 200ms", 3},
		{"cuts the body off", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			answering("application/json", active)(w, r)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "the connection broke", 3},
		{"never ends the body", 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for err := error(nil); err == nil; {
				_, err = io.WriteString(w, strings.Repeat(" ", 8<<10))
			}
		}, "more than 65536 bytes", 1},
		{"promises a huge body", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(int64(1)<<40))
			answering("application/json", strings.Repeat(" ", introspect.MaxFactsBytes+1))(w, r)
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
		}, "more than 65536 bytes", 1},
		{"sends a bomb", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			answering("application/json", bomb.String())(w, r)
		}, "compressed", 1},
		{"sends another type", 0, answering("text/html", active), "not application/json", 1},
		{"sends no type", 0, answering("", active), "not application/json", 1},
		{"sends a signed answer unasked", 0, answering(mediaTypeSigned, active), "not application/json", 1},
		{"sends two types", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{"application/json", "text/html"}
			_, _ = io.WriteString(w, active)
		}, "not application/json", 1},
		{"sends huge headers", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Planted", strings.Repeat("a", 2*maxHeaderBytes))
			answering("application/json", active)(w, r)
		}, "the connection broke", 3},
		{"floods with early hints", 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Link", "</"+strings.Repeat("a", 4<<10)+">")
			for range 100 {
				w.WriteHeader(http.StatusEarlyHints)
			}
			_, _ = io.WriteString(w, active)
		}, "the connection broke", 3},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			t.Run(test.name+" over "+protocol, func(t *testing.T) {
				e := unstarted(test.handler)
				e.EnableHTTP2 = protocol == "HTTP/2"
				e.StartTLS()
				t.Cleanup(e.Close)
				o := e.options()
				if test.timeout != 0 {
					o.Timeout = test.timeout
				}
				i := open(t, o)
				wantUnavailable(t, i, sampleToken, test.want)
				if got := i.Status().Requests; got != test.attempts {
					t.Errorf("%d attempts, want %d", got, test.attempts)
				}
			})
		}
	}
}

// What no HTTP server would say.
func TestHostileConnection(t *testing.T) {
	flood := func(what string) func(net.Conn) {
		return func(conn net.Conn) {
			_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(conn, what)
			}
		}
	}
	say := func(what string) func(net.Conn) {
		return func(conn net.Conn) { _, _ = io.WriteString(conn, what) } // the client need not listen
	}
	for name, speak := range map[string]func(net.Conn){
		"hangs up": func(net.Conn) {},
		"resets": func(conn net.Conn) {
			if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Error(err)
			}
		},
		"speaks something else":        say("planted banner 220 ESMTP\r\n"),
		"echoes the token":             say("HTTP/1.1 200 " + sampleToken + "\r\n" + sampleToken + "\r\n\r\n"),
		"never ends the headers":       flood("X-Planted: " + strings.Repeat("a", 1<<10) + "\r\n"),
		"never ends one header":        flood("planted"),
		"contradicts itself on length": say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\nContent-Length: 16\r\n\r\n{\"active\":true} "),
		"cuts a chunk off":             say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{\"active\":true}\r\n"),
		"ends before the length":       say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"active\":true}"),
		"switches protocols":           say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: planted\r\n\r\n" + active),
	} {
		t.Run(name, func(t *testing.T) {
			o, calls := rawEndpoint(t, speak)
			wantUnavailable(t, open(t, o), sampleToken, "")
			if got := calls.Load(); got < 1 || got > 3 {
				t.Errorf("%d connections", got)
			}
		})
	}
}
