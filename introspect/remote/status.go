package remote

import "time"

// Breaker is the state of the circuit breaker.
type Breaker string

// The states of the breaker.
const (
	Closed   Breaker = "closed"    // calls are made
	Open     Breaker = "open"      // calls fail at once
	HalfOpen Breaker = "half-open" // one call is made, or will be, to see whether others may
)

// Status is an introspector's account of itself. The counters only grow.
type Status struct {
	Breaker   Breaker
	OpenUntil time.Time // when an open breaker lets a call through

	InFlight int    // requests under way
	Requests uint64 // requests made, each attempt counted
	Failures uint64 // calls that were made and gave no facts
	Rejected uint64 // calls that the breaker kept back

	// LastError says why the last of the Failures failed, and LastErrorAt when;
	// neither goes away with success. It quotes nothing that was sent or
	// received, but the status and a known error code.
	LastError   string
	LastErrorAt time.Time
}

type lastFailure struct {
	reason string
	at     time.Time
}

// Status returns the state and the counters.
func (i *Introspector) Status() Status {
	s := Status{
		Requests: i.requests.Load(), Failures: i.failures.Load(), Rejected: i.rejected.Load(),
	}
	if i.life.Err() == nil { // Close keeps the slots
		s.InFlight = len(i.slots)
	}
	s.Breaker, s.OpenUntil = i.breaker.state()
	if last := i.last.Load(); last != nil {
		s.LastError, s.LastErrorAt = last.reason, last.at
	}
	return s
}
