package engine_test

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// bell is where clients are told of sign-outs, and the clock of what is tried
// again: pauses end at once, the rest when a test says so.
type bell struct {
	mu      sync.Mutex
	answers map[string][]fetch.Response // by address, in turn; then 200
	hang    chan struct{}               // nil: requests are answered
	pauses  []time.Duration

	rings    chan ring
	outcomes chan model.Event
	look     chan time.Time // ends the wait for the next look at the store
	close    chan time.Time // ends the wait for requests under way
}

type ring struct{ address, token string }

func newBell() *bell {
	return &bell{
		answers: map[string][]fetch.Response{}, rings: make(chan ring, 1000), outcomes: make(chan model.Event, 1000),
		look: make(chan time.Time), close: make(chan time.Time, 1),
	}
}

func (b *bell) Get(context.Context, string, ...string) (fetch.Document, error) {
	return fetch.Document{}, fetch.ErrForbidden
}

func (b *bell) Do(ctx context.Context, r fetch.Request) (fetch.Response, error) {
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || r.Method != "POST" || r.ContentType != "application/x-www-form-urlencoded" || len(form) != 1 {
		return fetch.Response{}, fmt.Errorf("not a logout request: %+v %v", r, err)
	}
	b.mu.Lock()
	hang, answer := b.hang, fetch.Response{Status: 200}
	if planned := b.answers[r.Address]; len(planned) > 0 {
		answer, b.answers[r.Address] = planned[0], planned[1:]
	}
	b.mu.Unlock()
	b.rings <- ring{r.Address, form.Get("logout_token")}
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return fetch.Response{}, fmt.Errorf("%w: %w", fetch.ErrUnavailable, ctx.Err())
		}
	}
	switch status := answer.Status; {
	case status == 0, status >= 500:
		return answer, fetch.ErrUnavailable
	case status == 1:
		return fetch.Response{}, fetch.ErrForbidden
	case status == 299:
		return answer, fetch.ErrTooLarge
	case status >= 300:
		return answer, fetch.ErrUnexpected
	}
	return answer, nil
}

func (b *bell) after(d time.Duration) <-chan time.Time {
	switch d {
	case time.Minute:
		return b.look
	case 5 * time.Second:
		return b.close
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pauses = append(b.pauses, d)
	over := make(chan time.Time, 1)
	over <- time.Time{}
	return over
}

func (b *bell) plan(address string, statuses ...int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, status := range statuses {
		b.answers[address] = append(b.answers[address], fetch.Response{Status: status})
	}
}

func (b *bell) hangs(until chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hang = until
}

const patience = time.Minute

// rung waits for one request.
func (b *bell) rung(t testing.TB) ring {
	t.Helper()
	select {
	case r := <-b.rings:
		return r
	case <-time.After(patience):
		t.Fatal("no client was told")
		return ring{}
	}
}

// outcome waits for the end of one notice.
func (b *bell) outcome(t testing.TB) model.Event {
	t.Helper()
	select {
	case e := <-b.outcomes:
		return e
	case <-time.After(patience):
		t.Fatal("nothing came of it")
		return model.Event{}
	}
}

// looks lets the engine look for abandoned notices, and waits until it has.
func (b *bell) looks(t testing.TB, times int) {
	t.Helper()
	for range times + 1 { // the last is received when the look before it is over
		select {
		case b.look <- time.Time{}:
		case <-time.After(patience):
			t.Fatal("the engine does not look")
		}
	}
}

// quiet fails if a client has been told.
func (b *bell) quiet(t testing.TB) {
	t.Helper()
	select {
	case r := <-b.rings:
		t.Errorf("%s was told", r.address)
	default:
	}
}

// hall is a house whose clients have a bell.
type hall struct {
	*house
	*bell
	shut func()
}

// openHall opens an engine on a store.
func openHall(t testing.TB, st store.Store, clients map[string]model.Settings) *hall {
	t.Helper()
	h := &hall{bell: newBell(), shut: func() {},
		house: &house{TB: t, store: st, users: new(users), watch: &watch{now: time.Now().Truncate(time.Second)}}}
	h.options = engine.Options{
		Store: st, MasterKey: masterKey, Services: []engine.Declaration{declareWith(t, issuer, nil, clients)}, Subjects: h.users,
		Now: h.clock, Fetch: h.bell, After: h.after, Observe: func(e model.Event) {
			h.observe(e)
			if e.Operation == "backchannel_logout" {
				h.outcomes <- e
			}
		},
	}
	h.replace()
	return h
}

// replace opens an engine and then closes the one before, as a reload does.
func (h *hall) replace() {
	h.Helper()
	e, err := engine.New(h.Context(), h.options)
	if err != nil {
		h.Fatal(err)
	}
	h.shut()
	h.shut = sync.OnceFunc(e.Close)
	h.Cleanup(h.shut)
	h.engine = e
	h.service, _ = e.Service(issuer)
}
