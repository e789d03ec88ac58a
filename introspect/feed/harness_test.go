package feed_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/feed"
)

const (
	stream   = "application/x-ndjson"
	greeting = `{"position":"p0","gap":false,"service":"7"}` + "\n"
	patience = time.Minute
)

// now is when the tests happen.
var now = time.UnixMilli(1_700_000_000_500)

// engine is what a follower follows: each connection gets the next answer, and
// those after the last one nothing at all.
type engine struct {
	*httptest.Server
	answers []http.HandlerFunc
	served  atomic.Int32
	forms   chan url.Values
}

func newEngine(t *testing.T, answers ...http.HandlerFunc) *engine {
	e := &engine{answers: answers, forms: make(chan url.Values, 100)}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
			t.Errorf("%s: %v", r.Method, err)
		}
		n := int(e.served.Add(1)) // before the test hears of it, which may bring the next request
		e.forms <- r.PostForm
		if n <= len(e.answers) {
			e.answers[n-1](w, r)
			return
		}
		<-r.Context().Done()
	}))
	t.Cleanup(e.Close)
	return e
}

// says answers with lines, and then holds the connection open.
func says(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ends(lines...)(w, r)
		<-r.Context().Done()
	}
}

// ends answers with lines, and then ends the answer.
func ends(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", stream)
		for _, line := range lines {
			_, _ = w.Write([]byte(line))
		}
		_ = http.NewResponseController(w).Flush()
	}
}

// revoked is a line that revokes a token.
func revoked(position string, token int) string {
	return fmt.Sprintf(`{"position":%q,"kind":"token","id":"%d","at":1700000000250}`+"\n", position, token)
}

// run is a follower that runs, its clock, and in one row what it did.
type run struct {
	*testing.T
	*feed.Follower
	did    chan string
	pauses chan pause
	silent chan time.Time // ends the wait for a line
}

type pause struct {
	time.Duration
	end chan time.Time
}

func follow(t *testing.T, e *engine, change func(*feed.Options)) *run {
	t.Helper()
	r := &run{T: t, did: make(chan string, 1000), pauses: make(chan pause, 1000), silent: make(chan time.Time)}
	o := feed.Options{
		Endpoint: e.URL, Client: e.Client(), Now: func() time.Time { return now }, After: r.after,
		Random: func() float64 { return 0 },
		Authorize: func(_ context.Context, form url.Values, header http.Header) error {
			form.Set("client_id", "gateway")
			header.Set("Authorization", "Basic x")
			return nil
		},
		Gap:     func() { r.did <- "gap" },
		Revoke:  func(v introspect.Revocation) { r.did <- fmt.Sprint("revoke ", v) },
		Observe: r.observe,
	}
	if change != nil {
		change(&o)
	}
	var err error
	if r.Follower, err = feed.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { r.Follower.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

func (r *run) after(d time.Duration) <-chan time.Time {
	if d == 15*time.Second {
		return r.silent
	}
	end := make(chan time.Time, 1)
	r.pauses <- pause{d, end}
	return end
}

func (r *run) observe(e feed.Event) {
	switch e.Kind {
	case feed.Connected:
		r.did <- fmt.Sprintf("connected gap=%v", e.Gap)
	case feed.Disconnected:
		r.did <- fmt.Sprint("disconnected: ", e.Err)
	case feed.Revoked:
		r.did <- fmt.Sprint("lag ", e.Lag)
	}
}

// want waits until the follower has done these things, in this order and
// nothing between; each text need be a part alone.
func (r *run) want(things ...string) {
	r.Helper()
	for _, thing := range things {
		if got := await(r.T, r.did, thing); !strings.Contains(got, thing) {
			r.Fatalf("it did %q, want %q", got, thing)
		}
	}
}

// again ends the pause before another connection, and returns what it was.
func (r *run) again() time.Duration {
	r.Helper()
	p := await(r.T, r.pauses, "a pause")
	p.end <- now
	return p.Duration
}

func await[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited for %s", what)
		panic("unreachable")
	}
}
