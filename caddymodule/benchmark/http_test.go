package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

func TestReadResponse(t *testing.T) {
	for _, test := range []struct {
		name, answer, body string
		fails              bool
	}{
		{name: "plain", answer: "HTTP/1.1 200 OK\r\nServer: Caddy\r\nContent-Length: 5\r\n\r\nhello", body: "hello"},
		{name: "lower case, no space", answer: "HTTP/1.1 200 OK\r\ncontent-length:2\r\nDate: now\r\n\r\nok", body: "ok"},
		{name: "no body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", body: ""},
		{name: "not 200", answer: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", fails: true},
		{name: "2000 is not 200", answer: "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", fails: true},
		{name: "chunked", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", fails: true},
		{name: "no number", answer: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", fails: true},
		{name: "cut off in the head", answer: "HTTP/1.1 200 OK\r\nContent-", fails: true},
		{name: "cut off in the body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", fails: true},
		{name: "more than was announced", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", fails: true},
		{name: "larger than the buffer", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhello", fails: true},
		{name: "a head without end", answer: strings.Repeat("x", 2000), fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once":      strings.NewReader(test.answer),
				"byte by byte": iotest.OneByteReader(strings.NewReader(test.answer)),
			} {
				if name == "byte by byte" && test.name == "more than was announced" {
					continue // the rest has not come yet when the answer is complete
				}
				body, err := readResponse(r, make([]byte, 1024))
				if (err != nil) != test.fails || string(body) != test.body {
					t.Errorf("%s: body %q, error %v", name, body, err)
				}
			}
		})
	}
}

func TestRequestsAreWellFormed(t *testing.T) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(post("localhost:1", "/token", tokenForm)))))
	if err != nil {
		t.Fatal(err)
	}
	id, secret, _ := r.BasicAuth()
	if id != clientID || secret != clientSecret || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != scope {
		t.Errorf("%s, %s, %v", id, secret, r.Form)
	}
	r, err = http.ReadRequest(bufio.NewReader(strings.NewReader(string(get("localhost:1", "/orders", "Authorization: Bearer a\r\n")))))
	if err != nil || r.URL.Path != "/orders" || r.Header.Get("Authorization") != "Bearer a" {
		t.Errorf("%v, %v", r, err)
	}
}

func TestLoad(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1); r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, "good")
	}))
	defer server.Close()
	address := server.Listener.Addr().String()

	t.Run("counts every request, and no more than asked for", func(t *testing.T) {
		l := &load{address: address, request: get(address, "/", ""), begin: []byte("go"), connections: 3, most: 100}
		s, err := l.run(context.Background(), time.Minute)
		if err != nil || s.operations != 100 || requests.Load() != 100 {
			t.Errorf("%d operations of %d requests, error %v", s.operations, requests.Load(), err)
		}
	})
	t.Run("sends a new request each time", func(t *testing.T) {
		paths := make(chan string, 4)
		paths <- "/"
		paths <- "/"
		paths <- "/broken"
		l := &load{address: address, connections: 1, next: func() []byte { return get(address, <-paths, "") }}
		if s, err := l.run(context.Background(), time.Minute); err == nil || s.operations != 2 {
			t.Errorf("%d operations before the broken one, error %v", s.operations, err)
		}
	})
	t.Run("another status is an error", func(t *testing.T) {
		l := &load{address: address, request: get(address, "/broken", ""), connections: 2}
		if _, err := l.run(context.Background(), time.Minute); err == nil {
			t.Error("no error")
		}
	})
	t.Run("another body is an error", func(t *testing.T) {
		l := &load{address: address, request: get(address, "/", ""), begin: []byte("bad"), connections: 2}
		if _, err := l.run(context.Background(), time.Minute); err == nil {
			t.Error("no error")
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		l := &load{address: address, request: get(address, "/", ""), connections: 2}
		if _, err := l.run(ctx, time.Minute); err == nil {
			t.Error("no error")
		}
	})
}

func TestUpstream(t *testing.T) {
	u, err := startUpstream()
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	at := u.port()
	l := &load{address: at.address(), request: get(at.host(), "/orders", ""), begin: []byte(upstreamBody), connections: 2, most: 50}
	if s, err := l.run(context.Background(), time.Minute); err != nil || s.operations != 50 {
		t.Errorf("%d operations, error %v", s.operations, err)
	}
}
