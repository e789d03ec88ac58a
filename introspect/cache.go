package introspect

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Defaults of [Options].
const (
	DefaultMaxEntries   = 100_000
	DefaultTTL          = time.Minute
	DefaultMaxNegative  = 10_000
	DefaultNegativeTTL  = 5 * time.Second
	DefaultFetchTimeout = 5 * time.Second
)

// Options configure a [Cache]. Where zero stands for a default, a negative
// number is an error.
type Options struct {
	// Identity names who is asked: the engine or issuer, as the URL of its
	// introspection endpoint. Client names as whom. Answers depend on both, so
	// both are part of every key. Identity is required.
	Identity, Client string

	// MaxEntries bounds the tokens that are remembered as active.
	MaxEntries int64
	// TTL is how long an answer is believed, unless the token ends earlier.
	TTL time.Duration

	// MaxNegative bounds the tokens that are remembered as inactive, and
	// NegativeTTL is for how long. They have room of their own: however many
	// invented tokens arrive, they push no valid one out.
	MaxNegative int64
	NegativeTTL time.Duration

	// FetchTimeout ends an introspection, however many wait for it.
	FetchTimeout time.Duration

	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	if o.Identity == "" {
		errs = append(errs, errors.New("the identity of the engine or issuer is missing"))
	}
	errs = append(errs,
		orDefault("max entries", &o.MaxEntries, DefaultMaxEntries),
		orDefault("ttl", &o.TTL, DefaultTTL),
		orDefault("max negative entries", &o.MaxNegative, DefaultMaxNegative),
		orDefault("fetch timeout", &o.FetchTimeout, DefaultFetchTimeout))
	errs = append(errs, orDefault("negative ttl", &o.NegativeTTL, min(DefaultNegativeTTL, o.TTL)))
	if o.NegativeTTL > o.TTL {
		errs = append(errs, fmt.Errorf("negative ttl %s must not exceed the ttl %s", o.NegativeTTL, o.TTL))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := errors.Join(errs...); err != nil {
		return o, fmt.Errorf("introspection cache: %w", err)
	}
	return o, nil
}

func orDefault[T ~int64](name string, value *T, otherwise T) error {
	switch {
	case *value < 0:
		return fmt.Errorf("%s must not be negative, is %v", name, *value)
	case *value == 0:
		*value = otherwise
	}
	return nil
}

// Cache remembers facts about tokens and asks for them once, however many
// requests wait. It is safe for concurrent use.
//
// What it promises rests on the check that each entry passes when it is used,
// and never on what ristretto does: an entry that is dropped, late or still
// there after its time costs an introspection and nothing else.
type Cache struct {
	options     Options
	keys        keyer
	revocations *revocations
	tally       tally
	watch       Stopwatch

	positive *shelf
	negative *shelf

	flights flights
	joins, fetches,
	failures atomic.Uint64
}

// entry is an answer and what is needed to tell whether it still holds. It is
// immutable.
type entry struct {
	digest   digest
	asOf     uint64 // revocations before the introspection began
	slots    slots
	deadline int64 // Unix nanoseconds: of the token's end, or counted from the introspection's start; never moved
	facts    *Facts
}

// NewCache returns a cache, which its owner closes. It fails on options that
// make no sense.
func NewCache(options Options) (*Cache, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cache{
		options:     options,
		keys:        newKeyer(options.Identity, options.Client),
		revocations: newRevocations(options.Now),
	}
	if c.positive, err = newShelf(options.MaxEntries); err != nil {
		return nil, fmt.Errorf("introspection cache: %w", err)
	}
	if c.negative, err = newShelf(options.MaxNegative); err != nil {
		c.positive.close()
		return nil, fmt.Errorf("introspection cache: %w", err)
	}
	c.flights.init()
	return c, nil
}

// Over returns an introspector that answers from memory as long as the facts
// hold, and otherwise asks from, once for all that wait. Whoever shares a cache
// puts it over introspectors that give the same answers.
//
// from is given a context with the caller's values that ends by FetchTimeout,
// not with the caller's, which only ends the caller's own wait. Facts of an
// inactive token are an answer like any other. Every error wraps
// [ErrUnavailable], and none is remembered. The facts are shared: read only.
func (c *Cache) Over(from Introspector) Introspector { return &cached{c, from} }

type cached struct {
	cache *Cache
	from  Introspector
}

// Introspect is part of [Introspector].
func (c *cached) Introspect(ctx context.Context, token string) (*Facts, error) {
	d := c.cache.keys.digest(token)
	if facts := c.cache.lookup(&d); facts != nil {
		return facts, nil
	}
	return c.cache.ask(ctx, d, token, c.from)
}

// lookup is the way of nearly every request: no lock but ristretto's shared
// one, nothing allocated.
func (c *Cache) lookup(d *digest) *Facts {
	now := c.options.Now()
	s, ok := c.tally.begin()
	if !ok {
		return nil
	}
	if e := c.positive.get(d); e != nil && c.holds(e, now) {
		s.hits.Add(1)
		return e.facts
	}
	if e := c.negative.get(d); e != nil && c.holds(e, now) {
		s.negatives.Add(1)
		return e.facts
	}
	s.misses.Add(1)
	return nil
}

// holds reports whether an entry may be used: its deadline, which is no later
// than the token's exp, has not come, and nothing that concerns it was revoked
// since. It looks at the entry alone: the facts are another place in memory.
func (c *Cache) holds(e *entry, now time.Time) bool {
	return now.UnixNano() < e.deadline && !c.revocations.stale(e.asOf, &e.slots)
}

// remember makes an entry of an answer and puts it away. A token that the
// engine calls active but that has expired by our clock is not active.
func (c *Cache) remember(f *flight, facts *Facts) *entry {
	now := c.options.Now()
	if !facts.Active || facts.expired(now.Unix()) {
		facts = &Facts{}
	}
	e := &entry{digest: f.digest, asOf: f.asOf, facts: facts, slots: c.revocations.slotsOf(facts)}
	shelf, ttl := c.negative, c.options.NegativeTTL
	if facts.Active {
		shelf, ttl = c.positive, c.options.TTL
	}
	if facts.Active && c.revocations.unsettled(f.start, &e.slots) {
		ttl = min(ttl, brief)
	}
	deadline := f.start.Add(ttl)
	if exp := facts.ExpiresAt; exp != 0 && exp <= deadline.Unix() {
		deadline = time.Unix(exp, 0) // on that second it is over (RFC 7519 §4.1.4)
	}
	e.deadline = deadline.UnixNano()
	if c.holds(e, now) {
		shelf.put(e, deadline.Sub(now))
	}
	return e
}

// Revoke makes the facts about what v names unbelievable, at once: no call of
// Introspect that returns after Revoke has returned gives an answer that was
// asked for before, be it remembered or under way. Call it after the change is
// committed at the engine that is asked next. It takes no lock and does not fail.
func (c *Cache) Revoke(v Revocation) { c.revocations.revoke(v) }

// Purge does what [Cache.Revoke] does for every token and frees the memory.
func (c *Cache) Purge() {
	c.revocations.purge()
	c.positive.clear()
	c.negative.clear()
}

// Stats returns the counters.
func (c *Cache) Stats() Stats {
	s := Stats{
		Joins: c.joins.Load(), Fetches: c.fetches.Load(), Failures: c.failures.Load(),
		Evictions: c.positive.evictions.Load() + c.negative.evictions.Load(),
		Entries:   c.positive.size(), Negatives: c.negative.size(),
		Times: c.watch.Times(),
	}
	c.tally.add(&s)
	return s
}

// Close ends the introspections under way and waits for them and for the
// cache's goroutines. Introspect returns [ErrUnavailable] from then on.
// Closing again does nothing.
func (c *Cache) Close() {
	if !c.flights.close() {
		return
	}
	c.tally.close()
	c.positive.close()
	c.negative.close()
}
