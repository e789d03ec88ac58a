package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// TestHostileExchange: whatever the server does, the client gets a 503 in time,
// and no error quotes a token (promises 6 and 13).
func TestHostileExchange(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the token went to another server")
	}))
	defer elsewhere.Close()
	header := func(w http.ResponseWriter) http.ResponseWriter {
		w.Header().Set("Content-Type", "application/json")
		return w
	}
	for name, answer := range map[string]http.HandlerFunc{
		"slow": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"slow body": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(header(w), `{"access_token":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(header(w), `{"access_token":"`)
			for chunk := strings.Repeat("a", 4096); ; {
				if _, err := fmt.Fprint(w, chunk); err != nil {
					return
				}
			}
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4096")
			fmt.Fprint(header(w), issue(`"expires_in":100`))
		},
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"token in the redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/?"+sampleToken, http.StatusSeeOther)
		},
		"another type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, issue(`"expires_in":100`))
		},
		"echo": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(header(w), r.PostFormValue("subject_token"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.does(func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm() // net/http notices that a client has gone once the body is read
				answer(w, r)
			})
			e := s.exchange(t, ExchangeOptions{Timeout: 300 * time.Millisecond})
			got, err := e.Token(t.Context(), sampleToken, activeFacts())
			if got != "" || !errors.Is(err, introspect.ErrUnavailable) || strings.Contains(err.Error(), sampleToken) {
				t.Error(got, err)
			}
		})
	}
}

// TestPromise13ExchangeErrorsQuoteNoToken, whoever made them.
func TestPromise13ExchangeErrorsQuoteNoToken(t *testing.T) {
	s := newServer(t)
	e := s.exchange(t, ExchangeOptions{Authorize: func(_ context.Context, form url.Values, _ http.Header) error {
		return fmt.Errorf("cannot sign %s", form.Encode())
	}})
	_, err := e.Token(t.Context(), sampleToken, activeFacts())
	if !errors.Is(err, introspect.ErrUnavailable) || strings.Contains(err.Error(), sampleToken) || !strings.Contains(err.Error(), introspect.Digest8(sampleToken)) {
		t.Error(err)
	}
	s.wantCalls(t, 0, "without credentials")
}

// TestExchangeWithATransportOfItsOwn: over plain http on loopback, and nobody
// there.
func TestExchangeWithATransportOfItsOwn(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, issue(`"expires_in":100`))
	}))
	e, err := NewExchange(ExchangeOptions{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got := exchanged(t, e, activeFacts()); got != "exchangedNUMBER" {
		t.Error(got)
	}
	s.Close()
	if got, err := e.Token(t.Context(), sampleToken, activeFacts()); !errors.Is(err, introspect.ErrUnavailable) {
		t.Error(got, err)
	}
}
