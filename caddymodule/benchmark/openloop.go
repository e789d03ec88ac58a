package main

import (
	"context"
	"sync"
	"time"
)

// arrivals is what came of an open loop.
type arrivals struct {
	times       []time.Duration // of those that succeeded
	failed      int
	failure     error // the first
	first, last time.Time
}

// openLoop begins calls at a steady rate, whether or not those before have come
// to an end, and waits for all of them: as users do, who do not know that the
// server is busy. A call gets the time at which it was due, and whoever counts
// from there counts what a server that stalls does to those that wait. It
// returns the time that is to be counted.
func openLoop(ctx context.Context, perSecond, calls int, call func(ctx context.Context, i int, due time.Time) (time.Duration, error)) (arrivals, error) {
	var (
		a     arrivals
		mu    sync.Mutex
		group sync.WaitGroup
	)
	start := time.Now()
	for i := range calls {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		if err := wait(ctx, time.Until(due)); err != nil {
			break
		}
		group.Go(func() {
			took, err := call(ctx, i, due)
			mu.Lock()
			defer mu.Unlock()
			a.add(time.Now(), took, err)
		})
	}
	group.Wait()
	return a, context.Cause(ctx)
}

// wait returns after a while, or when the context ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return context.Cause(ctx) // which may have ended as well
	}
}

func (a *arrivals) add(at time.Time, took time.Duration, err error) {
	if err != nil {
		a.failed++
		if a.failure == nil {
			a.failure = err
		}
		return
	}
	if len(a.times) == 0 {
		a.first = at
	}
	a.last = at
	a.times = append(a.times, took)
}

// rate is how many succeeded a second, from the first to the last.
func (a *arrivals) rate() float64 {
	if len(a.times) < 2 {
		return 0
	}
	return float64(len(a.times)-1) / a.last.Sub(a.first).Seconds()
}

// share is that of those that succeeded.
func (a *arrivals) share() float64 {
	return float64(len(a.times)) / float64(max(1, len(a.times)+a.failed))
}
