package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// says answers with a status, a media type and a body.
func says(status int, mediaType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func vouches(subject string, claims any) string {
	text, _ := json.Marshal(map[string]any{"authenticated": true, "subject": subject, "claims": claims})
	return string(text)
}

// Whatever is wrong with the callback, people are told to try again later:
// neither that the password is wrong, nor that they are in. What was answered
// somehow counts as a guess, since the password may have been looked at.
func TestCallbackOutage(t *testing.T) {
	const form = "application/json"
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		counted bool
	}{
		"500":              {says(500, form, `{"authenticated":true,"subject":"s"}`), false},
		"503":              {says(503, "text/html", "<h1>"), false},
		"429":              {says(429, "text/html", "<h1>"), false},
		"401":              {says(401, form, rejected), true},
		"404":              {says(404, form, vouches("s", "")), true},
		"redirect":         {http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect).ServeHTTP, true},
		"204":              {says(204, form, ""), true},
		"no JSON":          {says(200, form, "authenticated"), true},
		"another type":     {says(200, "text/plain", vouches("s", "")), true},
		"wrong types":      {says(200, form, `{"authenticated":"true","subject":"s"}`), true},
		"number":           {says(200, form, `{"authenticated":true,"subject":12}`), true},
		"no subject":       {says(200, form, `{"authenticated":true}`), true},
		"empty subject":    {says(200, form, vouches("", "")), true},
		"subject of words": {says(200, form, vouches("a b", "")), true},
		"long subject":     {says(200, form, vouches(strings.Repeat("s", 256), "")), true},
		"claims no text":   {says(200, form, vouches("s", map[string]string{"email": "e"})), true},
		"claims no JSON":   {says(200, form, vouches("s", "email=e")), true},
		"claims a list":    {says(200, form, vouches("s", "[]")), true},
		"claims too long":  {says(200, form, vouches("s", `{"a":"`+strings.Repeat("a", maxClaimsText)+`"}`)), true},
		"claim no name":    {says(200, form, vouches("s", `{"#ja":1}`)), true},
		"too many claims":  {says(200, form, vouches("s", manyClaims(maxClaims+1))), true},
		"too long":         {says(200, form, vouches("s", "")+strings.Repeat(" ", maxAnswer)), true},
		"much too long":    {says(200, form, vouches("s", "")+strings.Repeat(" ", fetch.DefaultMaxBytes)), true},
		"broken off":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			o := newOperator(t)
			e := o.env(setting{log: l.logger()})
			o.instant(c.answer)
			b := e.browser()
			login := b.authorize()
			for range freeFailures {
				page := b.signIn(login).want(t, 503, "/login", "Signing in is not possible at this moment.")
				if page.header.Get("Retry-After") == "" || strings.Contains(page.body, "password is wrong") || b.cookie("-session") != nil {
					t.Fatalf("headers %v, page %s", page.header, page.body)
				}
			}
			o.instant(nil)
			if _, err := e.store.AccountBySubject(t.Context(), e.service.ID, "s"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("an account has been kept: %v", err)
			}
			want := 200
			if c.counted {
				want = 429
			}
			if page := b.signIn(login); page.status != want {
				t.Errorf("then: status %d, want %d", page.status, want)
			}
			if text := l.String(); !strings.Contains(text, `"level":"error"`) || strings.Contains(text, password) || strings.Contains(text, "s:e c") {
				t.Errorf("the log: %s", text)
			}
		})
	}
}

func manyClaims(n int) string {
	claims := map[string]int{}
	for i := range n {
		claims[fmt.Sprint("c", i)] = i
	}
	text, _ := json.Marshal(claims)
	return string(text)
}

// A callback that takes too long, or is not there, is an outage too.
func TestCallbackOutOfReach(t *testing.T) {
	o := newOperator(t)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	o.instant(func(http.ResponseWriter, *http.Request) { <-done })
	e := o.env(setting{fetch: fetch.New(fetch.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: time.Millisecond})})
	b := e.browser()
	b.signIn(b.authorize()).want(t, 503, "/login", "not possible at this moment")
	e = o.env(setting{service: func(s *model.Service) { s.AuthenticationCallback.Endpoint = "http://127.0.0.1:1/" }})
	b = e.browser()
	login := b.authorize()
	for range freeFailures + 1 {
		b.signIn(login).want(t, 503, "/login", "not possible at this moment")
	}
}

// Whoever does not come to ask in time is told to try again, not that somebody
// is wrong.
func TestCallbackWaitsNoLongerThanItShould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &callbackAPI{pool: newPool(1, 1)}
		c.pool.working <- struct{}{}
		began := time.Now()
		_, err := c.ask(t.Context(), question{})
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, errUnusable) || time.Since(began) != callbackTime {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// Passwords and tokens are in no log, whatever becomes of a sign-in.
func TestThreat34CallbackSecretsStayOutOfLogs(t *testing.T) {
	var l log
	o := newOperator(t)
	e := o.env(setting{log: l.logger()})
	b := e.browser()
	login := b.authorize()
	b.submit(login, "username", e.user, "password", "wrong-"+password)
	b.signIn(login).want(t, 200, "/consent", "")
	if text := l.String(); strings.Contains(text, password) || !strings.Contains(text, "sign-in failed") || !strings.Contains(text, "signed in") {
		t.Errorf("the log: %s", text)
	}
}

// The store's failures are the store's: nobody is in whose account was not kept.
func TestCallbackAccountCannotBeKept(t *testing.T) {
	o := newOperator(t)
	u := new(unavailable)
	e := o.env(setting{wrap: func(s store.Store) store.Store { u.Store = s; return u }})
	b := e.browser()
	login := b.authorize()
	u.off.Store(true)
	for range freeFailures + 1 {
		b.signIn(login).want(t, 503, "/login", "")
		if err, _ := (<-e.errs).(error); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
	}
	u.off.Store(false)
	b.signIn(login).want(t, 200, "/consent", "")
}
