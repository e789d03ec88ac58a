package login

import (
	"context"
	"errors"
	"runtime"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// ErrBusy says that more sign-ins are waiting than the machine can work off soon.
var ErrBusy = errors.New("too many sign-ins at once")

// queuePerWorker bounds who waits for a worker: about half a second of work.
const queuePerWorker = 16

// pool bounds how much is done at once, and how much may wait for it: password
// hashes, which take memory and processor time, and questions to callbacks.
type pool struct {
	admitted chan struct{} // who waits or works
	others   chan struct{} // those of them who are not preferred: half, so that people find room
	turn     chan struct{} // who takes workers
	working  chan struct{}
}

func newPool(workers, queuePerWorker int) *pool {
	room := workers * (1 + queuePerWorker)
	return &pool{
		admitted: make(chan struct{}, room), others: make(chan struct{}, max(1, room/2)),
		turn: make(chan struct{}, 1), working: make(chan struct{}, workers),
	}
}

// do runs f when so many workers are free, or all if there are fewer. It
// returns ErrBusy, or the context's error, when f was not run.
func (p *pool) do(ctx context.Context, workers int, f func()) error {
	if !store.Preferred(ctx) {
		if !enter(p.others) {
			return ErrBusy
		}
		defer leave(p.others, 1)
	}
	if !enter(p.admitted) {
		return ErrBusy
	}
	defer leave(p.admitted, 1)
	workers = min(max(workers, 1), cap(p.working))
	if err := p.take(ctx, workers); err != nil {
		return err
	}
	defer leave(p.working, workers)
	f()
	return nil
}

// take takes workers, one caller after the other: two that had half of what
// they need each would wait for ever.
func (p *pool) take(ctx context.Context, workers int) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer leave(p.turn, 1)
	for taken := range workers {
		select {
		case p.working <- struct{}{}:
		case <-ctx.Done():
			leave(p.working, taken)
			return ctx.Err()
		}
	}
	return nil
}

func enter(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		return false
	}
}

func leave(places chan struct{}, n int) {
	for range n {
		<-places
	}
}

// Hashers look at passwords, for all services of a process: one a processor at
// a time, each in about 19 MiB. A hash from elsewhere that takes more takes the
// places of several, so that all together take no more than that, or than the
// one that takes most.
type Hashers struct{ pool *pool }

// NewHashers returns hashers that have nothing to do yet.
func NewHashers() *Hashers { return &Hashers{newPool(runtime.GOMAXPROCS(0), queuePerWorker)} }
