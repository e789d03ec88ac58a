package feed_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/feed"
)

// Promise 5: what was asked before the stream began may have been revoked, and is
// dropped once the stream has begun; then each line counts, in its order.
func TestEveryKindIsRevoked(t *testing.T) {
	e := newEngine(t, says(greeting,
		`{"position":"p1","kind":"token","id":"123","at":1700000000250}`+"\n",
		`{"position":"p2","kind":"grant","id":"9223372036854775807","at":1700000000250}`+"\n"+`{"position":"p3","kind":"client","id":"1","at":1700000000500}`+"\n",
		`{"position":"p4","kind":"subject","subject":"c3ViamVjdA","at":1700000000000}`+"\n",
		`{"position":"p5"}`+"\n",
		`{"position":"p6","kind":"service","at":1700000009000}`+"\n", // by a clock ahead of this one
	))
	r := follow(t, e, nil)
	revoke := func(kind introspect.Kind, id int64, subject string) string {
		return "revoke " + fmt.Sprint(introspect.Revocation{Kind: kind, Service: 7, ID: id, Subject: subject})
	}
	r.want("gap", "connected gap=true",
		revoke(introspect.RevokeToken, 123, ""), "lag 250ms", revoke(introspect.RevokeGrant, 9223372036854775807, ""), "lag 250ms",
		revoke(introspect.RevokeClient, 1, ""), "lag 0s", revoke(introspect.RevokeSubject, 0, "c3ViamVjdA"), "lag 500ms",
		revoke(introspect.RevokeService, 0, ""), "lag 0s")
	if diff := cmp.Diff(feed.Status{Connected: true, Since: now, Position: "p6"}, r.Status()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(url.Values{"client_id": {"gateway"}}, await(t, e.forms, "a request")); diff != "" {
		t.Errorf("the form: %s", diff)
	}
}

// Promise 5: a connection that ends is followed by another that goes on where it
// was; nothing is dropped that need not be.
func TestGoesOnWhereItWas(t *testing.T) {
	e := newEngine(t, ends(greeting, revoked("p1", 1)), ends(greeting, `{"position":"p2"}`+"\n"), says(greeting, revoked("p3", 3)))
	r := follow(t, e, nil)
	r.want("gap", "connected gap=true", "revoke", "lag", "disconnected: revocation stream: EOF")
	if s := r.Status(); s.Connected || s.Since != now || s.Position != "p1" {
		t.Errorf("status %+v", s)
	}
	r.again()
	r.want("connected gap=false", "disconnected")
	r.again()
	r.want("connected gap=false", "revoke", "lag")
	for _, want := range []string{"", "p1", "p2"} {
		if got := await(t, e.forms, "a request").Get("after"); got != want {
			t.Errorf("after=%q, want %q", got, want)
		}
	}
}

// What the engine says it cannot tell, everything is asked again for.
func TestGapOfTheEngine(t *testing.T) {
	e := newEngine(t, ends(greeting), says(`{"position":"other.1","gap":true,"service":"7"}`+"\n"))
	r := follow(t, e, nil)
	r.want("gap", "connected gap=true", "disconnected")
	r.again()
	r.want("gap", "connected gap=true")
	if got := r.Status().Position; got != "other.1" {
		t.Errorf("the position is %q", got)
	}
}

// A kind of a later engine may mean any token; an old position that comes again
// means its token again, and nothing else.
func TestOddEvents(t *testing.T) {
	e := newEngine(t, says(greeting, `{"position":"p1","kind":"planet","id":"1","at":1700000000250}`+"\n",
		revoked("p2", 2), revoked("p1", 1), revoked("p1", 1), `{"position":"p0"}`+"\n", revoked("p3", 3)))
	r := follow(t, e, nil)
	r.want("gap", "connected", "gap", "lag")
	for _, token := range []string{"2", "1", "1", "3"} {
		r.want(" 7 "+token+" ", "lag")
	}
}

// A hostile or broken engine: what cannot be read may have been a revocation,
// and ends the connection; what was cut off comes again.
func TestHostileLines(t *testing.T) {
	for name, c := range map[string]struct {
		lines string
		gap   bool
		err   string
	}{
		"endless line":      {strings.Repeat("x", 1<<20), true, "4096 bytes"},
		"long line":         {`{"position":"` + strings.Repeat("p", 4096) + `"}` + "\n", true, "4096 bytes"},
		"no JSON":           {"\n", true, "JSON"},
		"no object":         {"[]\n", true, "JSON"},
		"another type":      {`{"position":"p1","kind":"token","id":1,"at":1}` + "\n", true, "JSON"},
		"no position":       {`{"kind":"token","id":"1","at":1}` + "\n", true, "position"},
		"no id":             {`{"position":"p1","kind":"token","at":1}` + "\n", true, "id"},
		"an id below all":   {`{"position":"p1","kind":"grant","id":"-1","at":1}` + "\n", true, "id"},
		"an id above all":   {`{"position":"p1","kind":"client","id":"9223372036854775808","at":1}` + "\n", true, "id"},
		"no subject":        {`{"position":"p1","kind":"subject","at":1}` + "\n", true, "subject"},
		"no time":           {`{"position":"p1","kind":"service"}` + "\n", true, "time"},
		"cut within a line": {`{"position":"p1","kind":"tok`, false, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, ends(greeting, c.lines))
			r := follow(t, e, nil)
			r.want("gap", "connected")
			if c.gap {
				r.want("gap")
			}
			r.want(c.err)
			r.again()
			await(t, e.forms, "the first request")
			if got := await(t, e.forms, "the second request").Get("after"); got != "p0" {
				t.Errorf("it goes on at %q", got)
			}
		})
	}
}

// What is no stream is not believed: nothing is revoked, and what is remembered
// stays (promise 6).
func TestNoStream(t *testing.T) {
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		err    string
	}{
		"401":              {answer(401, "application/json", `{"error":"invalid_client"}`), "401"},
		"503":              {answer(503, stream, greeting), "503"},
		"204":              {answer(204, stream, ""), "204"},
		"a redirect":       {answer(307, stream, greeting), "307"},
		"another type":     {answer(200, "application/json", greeting), "x-ndjson"},
		"no type":          {answer(200, "", greeting), "x-ndjson"},
		"nothing":          {ends(), "EOF"},
		"cut in the first": {ends(`{"position":"p0","gap":fal`), "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, c.answer)
			r := follow(t, e, nil)
			r.want(c.err)
			if n := e.served.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
			if s := r.Status(); s != (feed.Status{}) {
				t.Errorf("status %+v", s)
			}
		})
	}
	for name, first := range map[string]string{
		"an event": revoked("p1", 1), "no gap": `{"position":"p0","service":"7"}` + "\n", "no service": `{"position":"p0","gap":false}` + "\n",
	} {
		t.Run("the first line has "+name, func(t *testing.T) {
			r := follow(t, newEngine(t, ends(first)), nil)
			r.want("gap", "disconnected: revocation stream: malformed: the first line")
		})
	}
}

// A connection that brings nothing ends, before its first line as after it, and
// one that brings heartbeats goes on.
func TestSilence(t *testing.T) {
	beat := make(chan string)
	e := newEngine(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(w http.ResponseWriter, r *http.Request) {
		ends(greeting)(w, r)
		for {
			select {
			case line := <-beat:
				ends(line)(w, r)
			case <-r.Context().Done():
				return
			}
		}
	})
	r := follow(t, e, nil)
	await(t, e.forms, "the first request")
	r.silent <- now
	r.want(feed.ErrSilent.Error())
	r.again()
	r.want("gap", "connected")
	for range 10 {
		beat <- `{"position":"p"}` + "\n"
	}
	beat <- revoked("p1", 1)
	r.want("revoke", "lag")
	beat <- `{"position":"half` // no line
	r.silent <- now
	r.want(feed.ErrSilent.Error())
}

// The pauses double up to ten seconds, half of each drawn, and begin anew after a
// connection that was good for more than its first line.
func TestPauses(t *testing.T) {
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	answers := []http.HandlerFunc{down, down, down, down, down, down, down, down, down, ends(greeting), ends(greeting, `{"position":"p1"}`+"\n"), down}
	drawn := 0 // by the follower, before the test hears of the pause
	r := follow(t, newEngine(t, answers...), func(o *feed.Options) {
		o.Random = func() float64 {
			if drawn++; drawn > 8 {
				return 0.999999
			}
			return 0
		}
	})
	var got []time.Duration
	for range answers {
		got = append(got, r.again().Round(time.Millisecond))
	}
	ms := time.Millisecond
	want := []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 10_000 * ms, 10_000 * ms, 100 * ms, 200 * ms}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Without credentials there is no request.
func TestNoCredentials(t *testing.T) {
	e := newEngine(t)
	r := follow(t, e, func(o *feed.Options) {
		o.Authorize = func(context.Context, url.Values, http.Header) error { return errors.New("the key is not there") }
	})
	r.want("the key is not there")
	if e.served.Load() != 0 {
		t.Error("there was a request")
	}
}

// Threat 35: a configuration that cannot work is an error at the start.
func TestNew(t *testing.T) {
	o := feed.Options{
		Endpoint: "https://as.example.com/revocations", Client: http.DefaultClient,
		Authorize: func(context.Context, url.Values, http.Header) error { return nil },
		Revoke:    func(introspect.Revocation) {}, Gap: func() {},
	}
	if _, err := feed.New(o); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*feed.Options){
		"no endpoint": func(o *feed.Options) { o.Endpoint = "" }, "a path": func(o *feed.Options) { o.Endpoint = "/revocations" },
		"no client": func(o *feed.Options) { o.Client = nil }, "no credentials": func(o *feed.Options) { o.Authorize = nil },
		"nothing to revoke": func(o *feed.Options) { o.Revoke = nil }, "nothing to purge": func(o *feed.Options) { o.Gap = nil },
	} {
		broken := o
		change(&broken)
		if _, err := feed.New(broken); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
