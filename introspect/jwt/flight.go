package jwt

import (
	"context"
	"fmt"
	"time"
)

// maxBackoff bounds the time between two fetches after failures, unless
// MinInterval is longer.
const maxBackoff = time.Minute

// flight is a fetch of the keys, under way or done. The last one is kept: until
// the next may begin, it is the answer to everybody who wishes for one.
type flight struct {
	before error // why the one before failed, if it did

	done     chan struct{} // closed when the rest is set
	held     *holding
	err      error
	failures int       // in a row, up to this one
	next     time.Time // no fetch before
}

func (f *flight) landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// trouble returns why the last fetch that is done failed, if it did.
func (f *flight) trouble() error {
	switch {
	case f == nil:
		return nil
	case f.landed():
		return f.err
	}
	return f.before
}

// serves reports whether the flight is the answer to a wish for a fetch.
func (f *flight) serves(now time.Time) bool {
	return f != nil && (!f.landed() || now.Before(f.next))
}

// refresh returns keys as new as the interval allows: those of the fetch under
// way or of a new one, for which it waits until ctx ends, or those of the last
// one if a new one would come too soon. Its error is the fetch's.
func (k *KeySet) refresh(ctx context.Context) (*holding, error) {
	f := k.board(k.source.Now())
	select {
	case <-f.done:
		return f.held, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// board returns the flight that a wish for a fetch is answered by. It waits for
// none, and takes the lock only where one may have to begin.
func (k *KeySet) board(now time.Time) *flight {
	last := k.last.Load()
	if !last.serves(now) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if last = k.last.Load(); !last.serves(now) {
			return k.begin(last)
		}
	}
	if last.landed() {
		k.throttled.Add(1)
	}
	return last
}

// begin starts a flight after the last one. Its caller has the lock.
func (k *KeySet) begin(last *flight) *flight {
	f := &flight{done: make(chan struct{})}
	if k.life.Err() != nil {
		f.err = errClosed
		close(f.done)
		return f
	}
	if last != nil {
		f.before, f.failures = last.err, last.failures
	}
	k.last.Store(f)
	k.fetches.Add(1)
	k.running.Add(1)
	go k.fly(f)
	return f
}

// fly makes the fetch. It depends on none of those who wait for it.
func (k *KeySet) fly(f *flight) {
	defer k.running.Done()
	defer close(f.done)
	ctx, cancel := context.WithTimeout(k.life, k.source.Timeout)
	defer cancel()
	start := k.source.Now()
	ring, err := k.origin.fetch(ctx, start)
	if err != nil {
		f.err = fmt.Errorf("fetching the keys: %w", err)
		f.failures++
	} else {
		f.failures = 0
		f.held = k.holding(ring, start)
		k.held.Store(f.held)
	}
	f.next = start.Add(k.interval(f.failures))
}

// holding counts a keyring's times from the fetch's start, when the issuer had
// not yet said what it holds. Fetches ahead are spread over a tenth.
func (k *KeySet) holding(ring *keyring, start time.Time) *holding {
	refresh := float64(k.source.Refresh)
	return &holding{
		keyring: ring,
		fetched: start,
		ahead:   start.Add(time.Duration(refresh * (0.8 + k.source.Random()/10))),
		due:     start.Add(k.source.Refresh),
		end:     start.Add(k.source.MaxStale),
	}
}

// interval is the time from a fetch's start to the next one, spread by a tenth.
func (k *KeySet) interval(failures int) time.Duration {
	interval := k.source.MinInterval
	for range failures - 1 {
		if interval >= maxBackoff/2 {
			interval = max(interval, maxBackoff)
			break
		}
		interval *= 2
	}
	return interval + time.Duration(float64(interval)*k.source.Random()/10)
}
