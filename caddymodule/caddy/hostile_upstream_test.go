package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHostileUpstream: an API that is slow, cuts off, never ends or speaks of
// other things harms nobody but itself. What it says about tokens is its own
// affair, and the gateway's refusals never come from there.
func TestHostileUpstream(t *testing.T) {
	there, gone := make(chan struct{}, 8), make(chan struct{}, 16)
	api := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		flush := func() { _ = http.NewResponseController(w).Flush() }
		switch r.URL.Path {
		case "/cut-off":
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("half"))
			flush()
			panic(http.ErrAbortHandler)
		case "/aborted":
			panic(http.ErrAbortHandler)
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					break
				}
			}
			gone <- struct{}{}
		case "/slow":
			there <- struct{}{}
			<-r.Context().Done()
			gone <- struct{}{}
		case "/its-own-401":
			w.Header().Set("WWW-Authenticate", `Basic realm="the API's own"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	s := startGateway(t, api.address)
	token := s.serviceToken("orders:read")
	call := func(path string) (*reply, error) {
		return try(plain, "GET", s.api+path, "", "Authorization", "Bearer "+token)
	}
	if r, err := call("/cut-off"); err == nil && r.body != "half" {
		t.Errorf("cut off: %d %q", r.status, r.body)
	}
	for path, want := range map[string]int{"/aborted": 502, "/its-own-401": 401, "/": 200} {
		r, err := call(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if r.status != want {
			t.Errorf("%s: %d", path, r.status)
		}
		if challenge := r.header.Get("WWW-Authenticate"); strings.Contains(challenge, "Bearer") {
			t.Errorf("%s: the gateway's challenge %s", path, challenge)
		}
	}
	before := s.goroutines()
	for _, path := range []string{"/endless", "/slow"} {
		for range 8 {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			ctx, goes := context.WithCancel(t.Context())
			if path == "/slow" { // its client goes when the API has the request
				go func() { <-there; goes() }()
			}
			r, err := client.Do(bearerTo(t, s.api+path, token).WithContext(ctx))
			if err == nil {
				_, err = io.CopyN(io.Discard, r.Body, 1<<20)
				r.Body.Close()
			}
			goes()
			client.CloseIdleConnections()
			if err != nil && path == "/endless" {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	for range 16 { // the API learns that nobody listens any more
		select {
		case <-gone:
		case <-time.After(patience):
			t.Fatal("a request goes on at the API after its client has gone")
		}
	}
	wait(t, "the gateway to be as before", func() error {
		if now := s.goroutines(); now > before+5 {
			return fmt.Errorf("%d goroutines, %d before", now, before)
		}
		return nil
	})
	if r, err := call("/"); err != nil || r.status != 200 {
		t.Errorf("afterwards: %v %v", r, err)
	}
}

func bearerTo(t *testing.T, address, token string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}
