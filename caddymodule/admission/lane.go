// Package admission bounds how many requests a server works on at once, how many
// wait, and how much of them is kept while they arrive. It knows no HTTP.
package admission

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// ErrFull says that there is no place, and too many wait for one or this one has
// waited long enough, or that it made way while it arrived: come again later.
var ErrFull = errors.New("too many requests at once")

const (
	// leastAtOnce is as many as one group of commits of the store takes.
	leastAtOnce     = 256
	perProcessor    = 16
	waitingPerPlace = 4
	// Most is how high a limit can be.
	Most = 1 << 20
	// DefaultPatience is how long a request waits for a place.
	DefaultPatience = time.Second
)

// Limits bound a lane. What is zero has a default.
type Limits struct {
	// AtOnce is how many requests are worked on at once. Default: 16 for each
	// processor, and 256 at least.
	AtOnce int `json:"at_once,omitempty"`
	// Waiting is how many more may wait for a place. Default: 4 for each that is
	// worked on.
	Waiting int `json:"waiting,omitempty"`
}

// Check finds limits that make no sense.
func (l *Limits) Check() error {
	if min(l.AtOnce, l.Waiting) < 0 || max(l.AtOnce, l.Waiting) > Most {
		return fmt.Errorf("%d requests at once, %d waiting: neither may be negative or above %d", l.AtOnce, l.Waiting, Most)
	}
	return nil
}

// filled is the limits with the defaults in them.
func (l Limits) filled() Limits {
	if l.AtOnce == 0 {
		l.AtOnce = max(leastAtOnce, perProcessor*runtime.GOMAXPROCS(0))
	}
	if l.Waiting == 0 {
		l.Waiting = waitingPerPlace * l.AtOnce
	}
	return l
}

// Lane is a way in, with places for those who are worked on and seats for those
// who wait for one. It is safe for concurrent use.
type Lane struct {
	// Name is what metrics call it.
	Name          string
	places, seats chan struct{}
	patience      time.Duration
}

func newLane(name string, l Limits, patience time.Duration) *Lane {
	return &Lane{Name: name, places: make(chan struct{}, l.AtOnce), seats: make(chan struct{}, l.Waiting), patience: patience}
}

// Enter takes a place, which Leave gives back. The error is ErrFull, also when
// the context's deadline ends the wait, or context.Canceled.
func (l *Lane) Enter(ctx context.Context) error {
	select {
	case l.places <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.seats <- struct{}{}:
		defer func() { <-l.seats }()
	default:
		return ErrFull
	}
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	select {
	case l.places <- struct{}{}:
		return nil
	case <-timer.C:
		return ErrFull
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return ErrFull // it has waited for as long as it could
		}
		return ctx.Err()
	}
}

// Leave gives a place back.
func (l *Lane) Leave() { <-l.places }

// Load is how many requests are worked on, and how many wait.
func (l *Lane) Load() (working, waiting int) { return len(l.places), len(l.seats) }
