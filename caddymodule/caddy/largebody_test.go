package main_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestLargeBodies: a request body of 1 GiB passes byte by byte, of known length
// or not, and the gateway's memory does not grow with it.
func TestLargeBodies(t *testing.T) {
	whole := int64(1 << 30)
	if testing.Short() {
		whole = 64 << 20
	}
	// The race detector keeps some three bytes for each, and what is not yet
	// collected counts too.
	most := int64(size(64, 256)) << 20
	api := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d %x %v", n, sum.Sum(nil), err)
	})
	s := startGateway(t, api.address)
	token := s.serviceToken("orders:read")
	upload := func(t *testing.T, client *http.Client, size int64, known bool) {
		t.Helper()
		body := &generated{left: size, sum: sha256.New()}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.api+"/upload", body)
		if err != nil {
			t.Fatal(err)
		}
		if r.ContentLength = -1; known {
			r.ContentLength = size
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Expect", "100-continue")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if want := fmt.Sprintf("%d %x <nil>", size, body.sum.Sum(nil)); resp.StatusCode != http.StatusOK || string(got) != want {
			t.Errorf("%d %s %v, want %s", resp.StatusCode, got, err, want)
		}
	}
	for _, test := range []struct {
		name     string
		protocol *http.Protocols
		size     int64
		known    bool
	}{
		{"HTTP/1.1", protocols(true, false), whole, true},
		{"HTTP/1.1, chunked", protocols(true, false), whole, false},
		{"HTTP/2", protocols(false, true), whole / 8, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := clientOf(t, test.protocol)
			upload(t, client, 8<<20, test.known) // what one connection needs is there now
			before := s.peakMemory()
			upload(t, client, test.size, test.known)
			if grown := s.peakMemory() - before; grown > most {
				t.Errorf("%d bytes made the gateway grow by %d", test.size, grown)
			}
		})
	}
}

// TestLargeBodiesRefused (promise 9): a body with a bad token is neither asked
// for, when the client waits to be (RFC 9110 §10.1.1), nor read to its end, nor
// sent on; the answer is there before the body.
func TestLargeBodiesRefused(t *testing.T) {
	api := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	s := startGateway(t, api.address)
	const size, buffers = 1 << 30, 32 << 20 // the kernels' may hold a few MiB
	for _, test := range []struct {
		name, token, headers string
		sends                bool // without being asked to
	}{
		{"no token, Expect", "", "Content-Length: 1073741824\r\nExpect: 100-continue\r\n", false},
		{"a bad token, Expect", "unknown", "Content-Length: 1073741824\r\nExpect: 100-Continue\r\n", false},
		{"a bad token, Expect, chunked", "unknown", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", false},
		{"no token", "", "Content-Length: 1073741824\r\n", true},
		{"a bad token", "unknown", "Content-Length: 1073741824\r\n", true},
		{"a bad token, chunked", "unknown", "Transfer-Encoding: chunked\r\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := dial(t, s.api)
			head := "POST /upload HTTP/1.1\r\nHost: localhost\r\n" + test.headers
			if test.token != "" {
				head += "Authorization: Bearer " + test.token + "\r\n"
			}
			if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
				t.Fatal(err)
			}
			sent := make(chan int64, 1)
			go func() {
				var n int64
				if test.sends {
					_, _ = io.WriteString(conn, "40000000\r\n") // a chunk's size, if it is one
					n, _ = io.Copy(conn, &generated{left: size, sum: sha256.New()})
				}
				sent <- n
			}()
			r, err := readAnswer(bufio.NewReader(conn), http.MethodPost)
			if err != nil || r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" || r.header.Get("Connection") != "close" {
				t.Fatalf("%+v %v", r, err)
			}
			if n := receive(t, sent); n > buffers {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
	api.unreached(t, 0)
}

// generated is a body that is made while it is read.
type generated struct {
	left  int64
	block int64
	sum   hash.Hash
}

func (g *generated) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), g.left))
	for i := range min(8, n) {
		p[i] = byte(g.block >> (8 * i)) // the rest is what the last Read left there
	}
	g.left -= int64(n)
	g.block++
	g.sum.Write(p[:n])
	return n, nil
}

var peakPattern = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most that the server has held so far, in bytes.
func (s *server) peakMemory() int64 {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "status"))
	if err != nil {
		s.t.Fatal(err)
	}
	match := peakPattern.FindSubmatch(text)
	if match == nil {
		s.t.Fatalf("no VmHWM in %s", text)
	}
	n, err := strconv.ParseInt(string(match[1]), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n << 10
}
