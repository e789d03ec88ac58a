package introspect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxFlights is how often one caller has a token introspected because a
// revocation overtook the answer, before it gives up.
const maxFlights = 4

var (
	errClosed    = errors.New("the cache is closed")
	errAborted   = errors.New("the introspection ended without an answer")
	errNoAnswer  = errors.New("the introspector gave neither facts nor an error")
	errOvertaken = errors.New("revocations kept overtaking the answer")
)

// flight is one introspection under way, or just done.
//
// It stays in the air until ristretto has its entry, a little longer than its
// waiters wait, so that a request in between joins it and asks nobody.
type flight struct {
	digest digest
	start  time.Time
	asOf   uint64 // revocations before the introspection began

	done  chan struct{} // closed when entry and err are set
	entry *entry
	err   error
}

func (f *flight) landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// flights are the introspections under way, one a token. Own code and not
// x/sync's singleflight: that one ends the process when a flight that others
// wait for panics (DoChan), leaves them waiting after runtime.Goexit, and
// cannot tell whether an answer is older than a revocation.
type flights struct {
	mu      sync.Mutex
	closed  bool
	inAir   map[digest]*flight
	running sync.WaitGroup
	life    context.Context // ends with the cache
	end     context.CancelFunc
}

func (fs *flights) init() {
	fs.inAir = make(map[digest]*flight)
	fs.life, fs.end = context.WithCancel(context.Background())
}

// close keeps new flights on the ground, ends the others' contexts and waits.
// It returns false if that was done before.
func (fs *flights) close() bool {
	fs.mu.Lock()
	first := !fs.closed
	fs.closed = true
	fs.mu.Unlock()
	fs.end()
	fs.running.Wait()
	return first
}

func (fs *flights) remove(f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.inAir[f.digest] == f {
		delete(fs.inAir, f.digest)
	}
}

// ask joins or starts a flight and waits for it. Every caller checks the answer
// itself, after it has arrived: one that a revocation overtook is given to
// nobody, and the token is introspected again.
func (c *Cache) ask(ctx context.Context, d digest, token string, from Introspector) (*Facts, error) {
	for range maxFlights {
		if err := context.Cause(ctx); err != nil {
			return nil, unavailable(err, token)
		}
		f, found := c.board(ctx, d, token, from)
		if found != nil {
			return found.facts, nil
		}
		if f == nil {
			return nil, unavailable(errClosed, token)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, unavailable(context.Cause(ctx), token)
		}
		if f.err != nil {
			return nil, f.err
		}
		if !c.revocations.stale(f.asOf, &f.entry.slots) {
			return c.arrived(f.entry), nil
		}
	}
	return nil, unavailable(errOvertaken, token)
}

// arrived returns an answer's facts, unless the token ended while it was on its
// way.
func (c *Cache) arrived(e *entry) *Facts {
	if e.facts.expired(c.options.Now().Unix()) {
		return &Facts{}
	}
	return e.facts
}

// board returns the flight to wait for, or the entry that one has left since
// this caller looked, or neither once the cache is closed. A flight that has
// landed serves as long as its entry holds; after that, the next one starts.
func (c *Cache) board(ctx context.Context, d digest, token string, from Introspector) (*flight, *entry) {
	fs := &c.flights
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		return nil, nil
	}
	now := c.options.Now()
	if f := fs.inAir[d]; f != nil && (!f.landed() || f.err == nil && c.holds(f.entry, now)) {
		c.joins.Add(1)
		return f, nil
	}
	for _, s := range [...]*shelf{c.positive, c.negative} {
		if e := s.get(&d); e != nil && c.holds(e, now) {
			return nil, e
		}
	}
	f := &flight{
		digest: d, start: now, asOf: c.revocations.current(),
		done: make(chan struct{}), err: errAborted,
	}
	fs.inAir[d] = f
	fs.running.Add(1)
	c.fetches.Add(1)
	go c.fly(context.WithoutCancel(ctx), f, token, from)
	return f, nil
}

// fly makes the introspection. It lands whatever the introspector does, panics
// and runtime.Goexit included.
func (c *Cache) fly(ctx context.Context, f *flight, token string, from Introspector) {
	defer c.flights.running.Done()
	ctx, cancel := context.WithTimeout(ctx, c.options.FetchTimeout)
	defer cancel()
	defer context.AfterFunc(c.flights.life, cancel)()
	defer c.land(f, token)
	defer func() {
		if v := recover(); v != nil {
			f.err = fmt.Errorf("the introspection panicked: %v", v)
		}
	}()
	defer func() { c.watch.Add(c.options.Now().Sub(f.start)) }()
	facts, err := from.Introspect(ctx, token)
	if err == nil && facts == nil {
		err = errNoAnswer
	}
	if err != nil {
		f.err = err
		return
	}
	f.entry = c.remember(f, facts)
	f.err = nil
}

// land publishes what has become of the flight. A failed one is forgotten
// first, so that whoever comes next tries again.
func (c *Cache) land(f *flight, token string) {
	if f.err != nil {
		f.err = unavailable(f.err, token)
		c.failures.Add(1)
		c.flights.remove(f)
		close(f.done)
		return
	}
	close(f.done)
	if f.entry.facts.Active {
		c.positive.settle()
	} else {
		c.negative.settle()
	}
	c.flights.remove(f)
}
