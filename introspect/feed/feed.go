// Package feed follows what an engine elsewhere revokes, so that a cache forgets
// it within a second (the stream at gatehouse_revocation_stream_endpoint).
package feed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	// silence is how long a connection may bring nothing: three heartbeats.
	silence = 15 * time.Second
	// shortest and longest are the bounds of the pause before another connection,
	// which doubles each time.
	shortest, longest = 100 * time.Millisecond, 10 * time.Second
	// maxLine bounds a line, in bytes.
	maxLine = 4 << 10
)

// Options configure a [Follower]. Revoke, Gap and Observe are called by Run alone,
// one at a time, and must be quick.
type Options struct {
	// Endpoint is the address of the stream.
	Endpoint string
	// Client makes the requests. Its Timeout does not count, since the answer has
	// no end, and it follows no redirect: the request has credentials.
	Client *http.Client
	// Authorize adds the credentials to a request, anew for each, as they are added
	// to an introspection request: to the form or to the header.
	Authorize func(ctx context.Context, form url.Values, header http.Header) error
	// Revoke is told what is no longer to be believed.
	Revoke func(introspect.Revocation)
	// Gap is called when anything that was believed before may have been revoked:
	// at first, and whenever something may have been missed.
	Gap func()
	// Observe is told what happens; nil: nobody is.
	Observe func(Event)

	Now    func() time.Time                     // nil: the clock
	After  func(time.Duration) <-chan time.Time // nil: time.After
	Random func() float64                       // in [0, 1), for the pauses; nil: math/rand
}

// EventKind says what an [Event] is about.
type EventKind uint8

// The kinds of events.
const (
	Connected    EventKind = 1 // the stream has begun
	Disconnected EventKind = 2 // the stream has ended, or could not begin
	Revoked      EventKind = 3 // Revoke has returned
)

// Event is something that operators want to know.
type Event struct {
	Kind EventKind
	Gap  bool  // Connected: something may have been missed before
	Err  error // Disconnected: why
	// Lag is the time between the writing of the revocation at the engine, by its
	// clock, and the return of Revoke, by this one's; never negative.
	Lag time.Duration
}

// Status is how a follower stands. While it is not connected, what is remembered
// is believed until it expires.
type Status struct {
	Connected bool
	Since     time.Time     // when that began; zero before the first connection
	Position  string        // where a connection would go on
	Lag       time.Duration // of the last revocation
}

// Follower follows one stream.
type Follower struct {
	options Options

	mu     sync.Mutex
	status Status
}

// New makes a follower. It fails on options that are missing.
func New(o Options) (*Follower, error) {
	address, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || address.Host == "":
		return nil, fmt.Errorf("revocation stream: %q is no address", o.Endpoint)
	case o.Client == nil || o.Authorize == nil || o.Revoke == nil || o.Gap == nil:
		return nil, errors.New("revocation stream: Client, Authorize, Revoke and Gap are required")
	}
	client := *o.Client
	client.Timeout = 0
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.Client = &client
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return &Follower{options: o}, nil
}

// Run follows the stream until the context ends, over as many connections as it
// takes. Call it once.
func (f *Follower) Run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; failures++ {
		steady, err := f.follow(ctx)
		if steady {
			failures = 0
		}
		f.update(func(s *Status) {
			if s.Connected {
				s.Connected, s.Since = false, f.options.Now()
			}
		})
		f.options.Observe(Event{Kind: Disconnected, Err: err})
		select {
		case <-ctx.Done():
		case <-f.options.After(f.pause(failures)):
		}
	}
}

// pause is drawn from the upper half of what is due, so that the followers of an
// engine that was down do not come at once.
func (f *Follower) pause(failures int) time.Duration {
	due := longest
	if failures < 7 { // 12.8 s
		due = min(longest, shortest<<failures)
	}
	return due/2 + time.Duration(f.options.Random()*float64(due/2))
}

// Status returns how the follower stands. It is safe for concurrent use.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *Follower) update(change func(*Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}
