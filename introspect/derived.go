package introspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxDerived bounds the derivations that a token's facts keep values of;
	// the one that came first makes room. Derivations are as few as the ways
	// upstream, but a reload brings new ones to facts that outlive it.
	maxDerived = 8
	// maxDerivedLife bounds how long a value is kept.
	maxDerivedLife = 24 * time.Hour
	// renewalPause is how long a renewal that failed is not tried again.
	renewalPause = time.Second
)

var (
	errDerivationClosed = errors.New("the derivation is closed")
	errDerivationEnded  = errors.New("the derived value had ended when it arrived")
)

// Make makes a value from a token's facts, and says until when it is good: the
// zero time means for those only that wait for it now. It MUST return when the
// context ends. An error with a time is remembered until then. One that is a
// [*Refusal] is handed on as it is, and so must not quote the token.
type Make[T any] func(ctx context.Context, token string, f *Facts) (T, time.Time, error)

// DerivationOptions configure a [Derivation]. The zero value is good.
type DerivationOptions struct {
	// Timeout ends a making, however many wait for it; 0 means
	// [DefaultFetchTimeout].
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random draws from [0, 1), to spread renewals; nil means math/rand/v2's.
	Random func() float64
}

// Derivation makes a value from a token's facts for one purpose and keeps it
// with them: it is bounded as they are, and goes when they go, be it by
// revocation. Facts that no cache keeps have it made each time. A Derivation is
// safe for concurrent use; its owner closes it.
type Derivation[T any] struct {
	make    Make[T]
	options DerivationOptions
	key     *derivationKey

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
	life    context.Context // ends with the derivation
	end     context.CancelFunc
}

// derivationKey tells derivations apart. Facts refer to it and not to the
// derivation, so that they keep nothing alive of a configuration that has gone.
type derivationKey struct{ _ byte }

// NewDerivation returns a derivation.
func NewDerivation[T any](m Make[T], o DerivationOptions) *Derivation[T] {
	o.Timeout = cmp.Or(o.Timeout, DefaultFetchTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	d := &Derivation[T]{make: m, options: o, key: &derivationKey{}}
	d.life, d.end = context.WithCancel(context.Background())
	return d
}

// slot is the place of one derivation's value with one token's facts.
type slot[T any] struct {
	key    *derivationKey
	value  atomic.Pointer[derived[T]]
	mu     sync.Mutex // guards making, and writes of value
	making *making[T]
}

// derived is a value, or why there is none. It is immutable.
type derived[T any] struct {
	value      T
	err        error
	renew, end int64 // Unix nanoseconds; end 0: not to be kept
}

func (v *derived[T]) holds(now int64) bool { return v != nil && now < v.end }

// making is under way until done is closed. Then its value is there.
type making[T any] struct {
	done  chan struct{}
	value *derived[T]
}

// Of returns the value for a token. If there is none yet, the first caller has
// it made and the others wait for the same; the making has the first caller's
// values in its context but ends by Timeout, not with any caller. When between
// half and two thirds of a value's life are over it is renewed, while callers
// still get the old one; after its end, or the token's, none does.
//
// Errors wrap [ErrUnavailable] but for Make's refusals, which callers share:
// read only.
func (d *Derivation[T]) Of(ctx context.Context, token string, f *Facts) (T, error) {
	s := d.slot(f)
	if v := s.value.Load(); v != nil && d.options.Now().UnixNano() < v.renew {
		return v.value, v.err
	}
	return d.await(ctx, s, token, f)
}

func (d *Derivation[T]) slot(f *Facts) *slot[T] {
	for {
		list := f.derived.Load()
		var kept []any
		if list != nil {
			kept = *list
		}
		for _, k := range kept {
			if s, ok := k.(*slot[T]); ok && s.key == d.key {
				return s
			}
		}
		s := &slot[T]{key: d.key}
		grown := append([]any{s}, kept[:min(len(kept), maxDerived-1)]...)
		if f.derived.CompareAndSwap(list, &grown) {
			return s
		}
	}
}

func (d *Derivation[T]) await(ctx context.Context, s *slot[T], token string, f *Facts) (none T, err error) {
	if err := context.Cause(ctx); err != nil {
		return none, unavailable(err, token)
	}
	v, m := d.board(ctx, s, token, f)
	if v != nil {
		return v.value, v.err
	}
	if m == nil {
		return none, unavailable(errDerivationClosed, token)
	}
	select {
	case <-m.done:
	case <-ctx.Done():
		return none, unavailable(context.Cause(ctx), token)
	}
	if v = m.value; v.err == nil && v.end != 0 && !v.holds(d.options.Now().UnixNano()) {
		return none, unavailable(errDerivationEnded, token)
	}
	return v.value, v.err
}

// board returns the value that holds, or else the making to wait for, or neither
// once the derivation is closed. A value that is due has its renewal started.
func (d *Derivation[T]) board(ctx context.Context, s *slot[T], token string, f *Facts) (*derived[T], *making[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, now := s.value.Load(), d.options.Now().UnixNano()
	if s.making == nil && (!v.holds(now) || now >= v.renew) && d.enter() {
		s.making = &making[T]{done: make(chan struct{})}
		go d.run(context.WithoutCancel(ctx), s, s.making, token, f)
	}
	if v.holds(now) {
		return v, nil
	}
	return nil, s.making
}

// enter counts a making in, unless the derivation is closed.
func (d *Derivation[T]) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.running.Add(1)
	}
	return !d.closed
}

// run makes a value. It lands whatever Make does, panics and runtime.Goexit
// included.
func (d *Derivation[T]) run(ctx context.Context, s *slot[T], m *making[T], token string, f *Facts) {
	defer d.running.Done()
	ctx, cancel := context.WithTimeout(ctx, d.options.Timeout)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()
	m.value = &derived[T]{err: unavailable(errAborted, token)}
	defer d.land(s, m)
	defer func() {
		if v := recover(); v != nil {
			m.value.err = unavailable(fmt.Errorf("the derivation panicked: %v", v), token)
		}
	}()
	start := d.options.Now()
	value, until, err := d.make(ctx, token, f)
	v := &derived[T]{value: value, err: refusalOr(err, token)}
	v.renew, v.end = d.times(f, start, until)
	if err != nil {
		v.renew = v.end // an error is forgotten, not renewed
	}
	m.value = v
}

// times returns when a value is renewed whose making began at start, and when
// it ends.
func (d *Derivation[T]) times(f *Facts, start, until time.Time) (renew, end int64) {
	if until.IsZero() {
		return 0, 0
	}
	if last := start.Add(maxDerivedLife); until.After(last) {
		until = last
	}
	if f.ExpiresAt != 0 && f.ExpiresAt <= until.Unix() {
		until = time.Unix(f.ExpiresAt, 0)
	}
	life := float64(until.Sub(start))
	return start.UnixNano() + int64(life*(2.0/3-d.options.Random()/6)), until.UnixNano()
}

func refusalOr(err error, token string) error {
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok && refusal != nil {
		return refusal
	}
	return unavailable(err, token)
}

// land publishes what was made. An old value outlives a renewal that failed.
func (d *Derivation[T]) land(s *slot[T], m *making[T]) {
	s.mu.Lock()
	now := d.options.Now().UnixNano()
	if old := s.value.Load(); m.value.err != nil && old.holds(now) {
		again := min(now+int64(renewalPause), old.end)
		s.value.Store(&derived[T]{value: old.value, renew: again, end: old.end})
	} else {
		s.value.Store(m.value)
	}
	s.making = nil
	s.mu.Unlock()
	close(m.done)
}

// Close ends the makings under way and waits for them. From then on Of knows
// what was made before and nothing else. Closing again does nothing.
func (d *Derivation[T]) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.end()
	d.running.Wait()
}
