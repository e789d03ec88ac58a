package login

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
)

const (
	maxLogos       = 100 // remembered
	logoAge        = time.Hour
	logoFailureAge = 5 * time.Minute
	logoMaxAge     = "3600" // seconds, in browsers
)

// logoTypes are the pictures that are shown. SVG is a document that may hold a
// script (threats.md 33).
var logoTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// logos fetches the pictures of clients and serves them from here: the content
// policy allows no other place, and the client learns nothing of who looks at
// a page. It is safe for concurrent use.
type logos struct {
	fetch engine.Fetcher // nil: no picture is shown
	now   func() time.Time

	mu    sync.Mutex
	known map[string]*logo // by address
}

// logo is a picture, or that there is none. Its lock is held while it is
// fetched, so that one request answers everybody who waits.
type logo struct {
	mu    sync.Mutex
	body  []byte
	kind  string
	until time.Time
}

func (l *logos) get(ctx context.Context, address string) ([]byte, string) {
	entry := l.entry(address)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	now := l.now()
	if now.Before(entry.until) {
		return entry.body, entry.kind
	}
	document, err := l.fetch.Get(ctx, address, logoTypes...)
	if err != nil {
		entry.body, entry.kind, entry.until = nil, "", now.Add(logoFailureAge)
		return nil, ""
	}
	entry.body, entry.kind, entry.until = document.Body, document.ContentType, now.Add(logoAge)
	return entry.body, entry.kind
}

func (l *logos) entry(address string) *logo {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil || len(l.known) >= maxLogos {
		l.known = map[string]*logo{}
	}
	if l.known[address] == nil {
		l.known[address] = new(logo)
	}
	return l.known[address]
}

// logoPath is where the pictures of clients are, by client.
func (p Paths) logoPath() string { return p.Login + "/logo/" }

// showLogo serves the picture of a client.
func (s *Server) showLogo(w http.ResponseWriter, r *http.Request) error {
	notFound := &refusal{status: http.StatusNotFound, key: "error.gone"}
	id, ok := parseID(strings.TrimPrefix(r.URL.Path, s.paths.logoPath()))
	if !ok || s.logos.fetch == nil {
		return notFound
	}
	client, err := s.engine.Client(r.Context(), s.service.ID, id)
	if err != nil {
		return notFound
	}
	address := webAddress(inLanguage(s.look(r).locale, client.LogoURI, client.LogoURIs))
	if address == "" {
		return notFound
	}
	body, kind := s.logos.get(r.Context(), address)
	if body == nil {
		return notFound
	}
	h := w.Header()
	secureHeaders(h)
	h.Set("Cache-Control", "private, max-age="+logoMaxAge)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
	return nil
}
