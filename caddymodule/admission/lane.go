// Package admission bounds how many requests a server works on at once, and how
// many wait. It knows no HTTP.
package admission

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// ErrFull says that a lane has no place, and too many wait for one or this one
// has waited long enough: come again later.
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
	// Waiting is how many more may be on their way in: their bodies arrive, or
	// they wait for a place. Default: 4 for each that is worked on.
	Waiting int `json:"waiting,omitempty"`
}

// Check finds limits that make no sense.
func (l *Limits) Check() error {
	if min(l.AtOnce, l.Waiting) < 0 || max(l.AtOnce, l.Waiting) > Most {
		return fmt.Errorf("%d requests at once, %d waiting: neither may be negative or above %d", l.AtOnce, l.Waiting, Most)
	}
	return nil
}

// Lane is a way in, with places for those who are worked on and a room for those
// who wait for one. It is safe for concurrent use.
type Lane struct {
	places, room chan struct{}
	patience     time.Duration
	refused      func()
}

// New makes a lane. refused, which may be nil, is called for each request that
// is turned away.
func New(l Limits, patience time.Duration, refused func()) *Lane {
	if l.AtOnce == 0 {
		l.AtOnce = max(leastAtOnce, perProcessor*runtime.GOMAXPROCS(0))
	}
	if l.Waiting == 0 {
		l.Waiting = waitingPerPlace * l.AtOnce
	}
	if patience == 0 {
		patience = DefaultPatience
	}
	if refused == nil {
		refused = func() {}
	}
	return &Lane{
		places: make(chan struct{}, l.AtOnce), room: make(chan struct{}, l.Waiting),
		patience: patience, refused: refused,
	}
}

// Enter takes a place, which Leave gives back. Before that it calls receive,
// unless it is nil, for what takes its time and needs no place; what that takes
// is not counted as waiting. The error is ErrFull, receive's or the context's.
// When the room is full, receive is not called.
func (l *Lane) Enter(ctx context.Context, receive func() error) error {
	select {
	case l.room <- struct{}{}:
	default:
		l.refused()
		return ErrFull
	}
	defer func() { <-l.room }()
	if receive != nil {
		if err := receive(); err != nil {
			return err
		}
	}
	return l.wait(ctx)
}

func (l *Lane) wait(ctx context.Context) error {
	select {
	case l.places <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	select {
	case l.places <- struct{}{}:
		return nil
	case <-timer.C:
		l.refused()
		return ErrFull
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave gives a place back.
func (l *Lane) Leave() { <-l.places }

// Load is how many requests are worked on, and how many are on their way in.
func (l *Lane) Load() (working, waiting int) { return len(l.places), len(l.room) }
