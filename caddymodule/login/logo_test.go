package login

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
)

// pictures is a fetcher with one picture, which counts how often it is asked.
type pictures struct {
	kind  string // empty: there is no picture
	asked atomic.Int64
}

// Get is part of engine.Fetcher.
func (p *pictures) Get(_ context.Context, _ string, accept ...string) (fetch.Document, error) {
	p.asked.Add(1)
	for _, kind := range accept {
		if kind == p.kind {
			return fetch.Document{Body: []byte("a picture"), ContentType: kind}, nil
		}
	}
	return fetch.Document{}, fetch.ErrUnexpected
}

// Do is part of engine.Fetcher.
func (p *pictures) Do(context.Context, fetch.Request) (fetch.Response, error) {
	return fetch.Response{}, fetch.ErrForbidden
}

// A client's picture is served from here, is a picture and no document, and is
// asked for once, however many people look (OpenID Connect Dynamic Client
// Registration §2, logo_uri; threats.md 21 and 33).
func TestLogo(t *testing.T) {
	e := newEnv(t)
	for kind, shown := range map[string]bool{"image/png": true, "image/webp": true, "image/svg+xml": false, "text/html": false, "": false} {
		t.Run(kind, func(t *testing.T) {
			source := &pictures{kind: kind}
			s := *e.server
			now := time.Now()
			s.logos = &logos{fetch: source, now: func() time.Time { return now }}
			for range 5 {
				body, got := s.logos.get(t.Context(), "https://client.example/logo")
				if (body != nil) != shown || got != kind && shown {
					t.Fatalf("%d bytes of %q", len(body), got)
				}
			}
			if n := source.asked.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
			now = now.Add(logoAge)
			if s.logos.get(t.Context(), "https://client.example/logo"); source.asked.Load() != 2 {
				t.Error("the picture is kept for ever")
			}
		})
	}
	for _, path := range []string{"1", "zz", "", "../style.css", "1?x"} {
		w := httptest.NewRecorder()
		if _, err := e.server.ServePage(w, httptest.NewRequest(http.MethodGet, "/login/logo/"+path, nil)); err != nil || w.Code != http.StatusNotFound {
			t.Errorf("%q: %d %v", path, w.Code, err)
		}
	}
}
