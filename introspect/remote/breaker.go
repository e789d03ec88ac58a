package remote

import (
	"sync"
	"time"
)

// An open breaker lets nobody through for firstRest; each probe that fails
// doubles it, up to longestRest.
const (
	firstRest   = time.Second
	longestRest = 30 * time.Second
)

// outcome is what a call says about the endpoint, whatever it says about the
// token.
type outcome uint8

const (
	unknown  outcome = iota // nobody was asked, or the caller did not wait
	rejected                // nobody was asked, because the breaker is open
	answered                // it is there, even if the answer is of no use
	failed                  // it cannot be reached, or says itself that it cannot serve
)

// breaker spares an endpoint that is down, and those who would wait for it.
//
// It opens after a number of failed calls in a row, each with all its attempts:
// a run needs no window and no least number of calls to judge by, and an
// endpoint that answers now and then is better asked than left alone. Only
// failures that no token can bring about count; otherwise whoever invents
// tokens could close the endpoint for everybody. What was under way when it
// opened is not heard.
type breaker struct {
	failures int // in a row, to open it
	now      func() time.Time

	mu      sync.Mutex
	run     int           // failed calls in a row
	rest    time.Duration // 0 while closed
	until   time.Time     // when the rest ends
	probing bool          // one call is on its way to see whether it is over
}

// enter asks to make a call, which leave ends. The call of a probe is the only
// one that an open breaker lets through.
func (b *breaker) enter() (probe, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.rest == 0:
		return false, true
	case b.probing || b.now().Before(b.until):
		return false, false
	}
	b.probing = true
	return true, true
}

func (b *breaker) leave(probe bool, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rest != 0 && !probe {
		return
	}
	b.probing = false
	switch o {
	case answered:
		b.run, b.rest = 0, 0
	case failed:
		if b.run++; probe || b.run >= b.failures {
			b.rest = min(max(2*b.rest, firstRest), longestRest)
			b.until = b.now().Add(b.rest)
		}
	}
}

// state returns the state for [Status], and when an open breaker's rest ends.
func (b *breaker) state() (Breaker, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.rest == 0:
		return Closed, time.Time{}
	case b.probing || !b.now().Before(b.until):
		return HalfOpen, time.Time{}
	}
	return Open, b.until
}

// isOpen reports whether calls are kept back, but for a probe.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rest != 0
}
