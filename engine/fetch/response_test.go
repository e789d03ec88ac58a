package fetch

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestBodyIsBounded(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			ended := make(chan struct{}, 1)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != version {
					t.Errorf("%s", r.Proto)
				}
				switch r.URL.Path {
				case "/exact":
					_, _ = io.WriteString(w, strings.Repeat("a", 1000))
				case "/stated":
					w.Header().Set("Content-Length", "1000000000000")
					w.WriteHeader(http.StatusOK)
				case "/endless":
					for block := []byte(strings.Repeat(secretBody, 100)); ; {
						if _, err := w.Write(block); err != nil {
							ended <- struct{}{}
							return
						}
					}
				default:
					_, _ = io.WriteString(w, strings.Repeat("a", 1001))
				}
			}))
			s.EnableHTTP2 = version == "HTTP/2.0"
			c := newTestClient(t, start(t, s), Options{MaxBytes: 1000})
			if document, err := c.Get(t.Context(), s.URL+"/exact"); err != nil || len(document.Body) != 1000 {
				t.Errorf("%d bytes, %v", len(document.Body), err)
			}
			for _, path := range []string{"/more", "/stated", "/endless"} {
				_, err := c.Get(t.Context(), s.URL+path)
				wantError(t, err, ErrTooLarge)
			}
			select {
			case <-ended:
			case <-time.After(5 * time.Second):
				t.Error("the endless answer goes on")
			}
		})
	}
}

// TestEncodedBody (threat 21): a small body that would become a large one is
// not inflated, and not taken for what it is not.
func TestEncodedBody(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 1<<24))
	_ = z.Close()
	coding := ""
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", coding)
		_, _ = w.Write(bomb.Bytes())
	})
	c := newTestClient(t, s, Options{})
	for _, coding = range []string{"gzip", "GZIP", "br", "identity, gzip", "deflate"} {
		_, err := c.Get(t.Context(), s.URL)
		wantError(t, err, ErrUnexpected)
	}
	coding = "Identity"
	if document, err := c.Get(t.Context(), s.URL); err != nil || !bytes.Equal(document.Body, bomb.Bytes()) {
		t.Errorf("%d bytes of %d, %v", len(document.Body), bomb.Len(), err)
	}
}

func TestMediaType(t *testing.T) {
	var sent []string
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = sent
		_, _ = io.WriteString(w, secretBody)
	})
	c := newTestClient(t, s, Options{})
	for _, test := range []struct {
		sent string
		kind string
		ok   bool
	}{
		{"application/json", "application/json", true},
		{"Application/JSON ; charset=utf-8", "application/json", true},
		{"text/html", "text/html", false},
		{"application/jsonx", "application/jsonx", false},
		{"json", "", false},
		{"application/json, text/html", "", false},
		{"application/json|text/html", "", false},
		{"", "", false},
	} {
		sent = nil
		if test.sent != "" {
			sent = strings.Split(test.sent, "|")
		}
		document, err := c.Get(t.Context(), s.URL)
		if err != nil || document.ContentType != test.kind {
			t.Errorf("%q is %q, %v", test.sent, document.ContentType, err)
		}
		_, err = c.Get(t.Context(), s.URL, "application/jwk-set+json", "application/json", "")
		if (err == nil) != test.ok || err != nil && !errors.Is(err, ErrUnexpected) {
			t.Errorf("%q: %v", test.sent, err)
		}
	}
}

func TestOnlyStatus200(t *testing.T) {
	status := 0
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			_, _ = io.WriteString(w, secretBody)
		}
	})
	c := newTestClient(t, s, Options{})
	for _, status = range []int{201, 203, 204, 206, 300, 301, 304, 305, 400, 401, 403, 404, 410} {
		_, err := c.Get(t.Context(), s.URL)
		wantError(t, err, ErrUnexpected)
	}
	for _, status = range []int{408, 429, 500, 502, 503, 599} {
		_, err := c.Get(t.Context(), s.URL)
		wantError(t, err, ErrUnavailable)
	}
}

// TestFreshness is RFC 9111 §4.2 and §5.2.
func TestFreshness(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	date := now.Add(-time.Hour).Format(http.TimeFormat)
	in := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, test := range []struct {
		header []string
		want   time.Duration
	}{
		{nil, 0},
		{[]string{"Cache-Control", "max-age=60"}, time.Minute},
		{[]string{"Cache-Control", "public , Max-Age=60, must-revalidate"}, time.Minute},
		{[]string{"Cache-Control", `max-age="60"`}, time.Minute},
		{[]string{"Cache-Control", "public", "Cache-Control", "max-age=60"}, time.Minute},
		{[]string{"Cache-Control", "max-age=60, max-age=30"}, 30 * time.Second},
		{[]string{"Cache-Control", "max-age=60, no-store"}, 0},
		{[]string{"Cache-Control", "no-cache, max-age=60"}, 0},
		{[]string{"Cache-Control", "max-age=-1"}, 0},
		{[]string{"Cache-Control", "max-age="}, 0},
		{[]string{"Cache-Control", "max-age"}, 0},
		{[]string{"Cache-Control", "max-age=1e3"}, 0},
		{[]string{"Cache-Control", "max-age=31536000"}, MaxFreshness},
		{[]string{"Cache-Control", "max-age=99999999999999999999999"}, MaxFreshness},
		{[]string{"Cache-Control", "max-age=60", "Age", "20"}, 40 * time.Second},
		{[]string{"Cache-Control", "max-age=60", "Age", "90"}, 0},
		{[]string{"Cache-Control", "max-age=60", "Age", "soon"}, 0},
		{[]string{"Cache-Control", "x-max-age=60"}, 0},
		{[]string{"Expires", in(time.Minute)}, time.Minute},
		{[]string{"Expires", in(time.Minute), "Date", date}, time.Hour + time.Minute},
		{[]string{"Expires", in(time.Minute), "Cache-Control", "max-age=0"}, 0},
		{[]string{"Expires", in(time.Minute), "Cache-Control", "no-store"}, 0},
		{[]string{"Expires", in(1000 * time.Hour)}, MaxFreshness},
		{[]string{"Expires", in(-time.Hour)}, 0},
		{[]string{"Expires", "0"}, 0},
	} {
		h := http.Header{}
		for i := 0; i < len(test.header); i += 2 {
			h.Add(test.header[i], test.header[i+1])
		}
		if got := freshness(h, now); got != test.want {
			t.Errorf("%v: %s", test.header, got)
		}
	}
}
