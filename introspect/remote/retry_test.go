package remote

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// pauses is an After that passes at once and remembers.
type pauses []time.Duration

func (p *pauses) after(d time.Duration) <-chan time.Time {
	*p = append(*p, d)
	return atOnce(d)
}

// failing answers with the statuses in turn, and with active facts after that.
func failing(statuses ...int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(statuses) == 0 {
			answering("application/json", active)(w, r)
			return
		}
		w.WriteHeader(statuses[0])
		statuses = statuses[1:]
	}
}

// What may pass is tried again, after pauses that double and of which chance
// takes any part; everything else is not.
func TestRetry(t *testing.T) {
	for _, test := range []struct {
		name     string
		statuses []int
		attempts int
		calls    int64
		ok       bool
	}{
		{"at the second attempt", []int{503}, 3, 2, true},
		{"at the third", []int{502, 429}, 3, 3, true},
		{"one too late", []int{503, 503, 503}, 3, 3, false},
		{"only one attempt", []int{504}, 1, 1, false},
		{"our mistake", []int{401}, 3, 1, false},
		{"their mistake", []int{500}, 3, 1, false},
		{"a mistake after the first attempt", []int{503, 400}, 3, 2, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := serve(t, failing(test.statuses...))
			var waited pauses
			o := e.options()
			o.Attempts, o.After = test.attempts, waited.after
			if f, err := open(t, o).Introspect(context.Background(), sampleToken); (err == nil) != test.ok || test.ok && !f.Active {
				t.Errorf("got %+v, %v", f, err)
			}
			wantCalls(t, &e.calls, test.calls)
			if len(waited) != int(test.calls)-1 {
				t.Errorf("waited %v", waited)
			}
			for n, pause := range waited {
				if pause < 0 || pause > firstPause<<n {
					t.Errorf("pause %d was %s", n, pause)
				}
			}
		})
	}
}

func TestPausesAreRandom(t *testing.T) {
	var waited pauses
	i := open(t, Options{Endpoint: "https://as.example.com/", After: waited.after})
	for range 300 {
		i.pause(context.Background(), 40, 0)
	}
	least, most := waited[0], waited[0]
	for _, pause := range waited {
		least, most = min(least, pause), max(most, pause)
	}
	if least < 0 || least > longestPause/4 || most < longestPause*3/4 || most > longestPause {
		t.Errorf("300 pauses from %s to %s", least, most)
	}
	i.options.Random = bytes.NewReader(nil)
	if got := i.part(longestPause); got != longestPause {
		t.Errorf("without randomness the pause is %s", got)
	}
}

// Retry-After (RFC 9110 §10.2.3) is honoured when it is short; when it is not,
// the caller hears at once that there is nothing to wait for.
func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]int64{"1": 3, "2": 1, "86400": 1} {
		e := serve(t, answeringStatus(503, "Retry-After", text))
		var waited pauses
		o := e.options()
		o.After = waited.after
		wantUnavailable(t, open(t, o), sampleToken, "503")
		wantCalls(t, &e.calls, want)
		for _, pause := range waited {
			if pause != time.Second {
				t.Errorf("Retry-After: %s waits %s", text, pause)
			}
		}
	}
}

// The caller's context bounds all attempts and pauses together. The error says
// what the last attempt that was made has met.
func TestContextEndsInAPause(t *testing.T) {
	e := serve(t, answeringStatus(503, "X-Nothing", ""))
	ctx, cancel := context.WithCancel(context.Background())
	o := e.options()
	o.After = func(time.Duration) <-chan time.Time {
		cancel()
		return nil
	}
	_, err := open(t, o).Introspect(ctx, sampleToken)
	if !errors.Is(err, introspect.ErrUnavailable) || err.Error() != "token introspection is unavailable: "+e.Listener.Addr().String()+": the endpoint cannot serve: 503" {
		t.Errorf("got %v", err)
	}
	wantCalls(t, &e.calls, 1)
}

// So it is when the caller stops waiting for a later attempt, which alone would
// say nothing.
func TestContextEndsInALaterAttempt(t *testing.T) {
	g, first := newGate(), true
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		g.serve(w, r)
	})
	o := e.options()
	o.Failures, o.Now = 1, newClock().now
	i := open(t, o)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-g.arrived
		cancel()
	}()
	_, err := i.Introspect(ctx, sampleToken)
	if got := i.Status(); got.Breaker != Open || got.Requests != 2 || got.LastError != "the endpoint cannot serve: 503" {
		t.Errorf("got %v, %+v", err, got)
	}
}

// A caller that stops waiting says nothing about the endpoint; one whose time
// is up does.
func TestContextEndsInAnAttempt(t *testing.T) {
	for _, test := range []struct {
		name  string
		cause error
		want  Breaker
	}{
		{"cancelled", context.Canceled, Closed},
		{"time is up", context.DeadlineExceeded, Open},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGate()
			e := serve(t, g.serve)
			o := e.options()
			o.Failures, o.Now = 1, newClock().now
			i := open(t, o)
			ctx, cancel := context.WithCancelCause(context.Background())
			go func() {
				<-g.arrived
				cancel(test.cause)
			}()
			if _, err := i.Introspect(ctx, sampleToken); !errors.Is(err, test.cause) || !errors.Is(err, introspect.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if got := i.Status().Breaker; got != test.want {
				t.Errorf("the breaker is %s", got)
			}
			wantCalls(t, &e.calls, 1)
		})
	}
}
