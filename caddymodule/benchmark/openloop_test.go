package main

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"time"
)

// An open loop begins every call in its time, however long those before take:
// here all wait until the last one has begun.
func TestOpenLoopWaitsForNoCall(t *testing.T) {
	const calls = 50
	all := make(chan struct{})
	var begun atomic.Int64
	var dues [calls]time.Time
	a, err := openLoop(t.Context(), 5000, calls, func(_ context.Context, i int, due time.Time) (time.Duration, error) {
		dues[i] = due
		if begun.Add(1) == calls { // the last one alone sees that
			close(all)
		}
		<-all
		return time.Since(due), nil
	})
	if err != nil || len(a.times) != calls || a.failed != 0 {
		t.Fatalf("%d of %d calls, %d failed, error %v", len(a.times), calls, a.failed, err)
	}
	for i := 1; i < calls; i++ {
		if step := dues[i].Sub(dues[i-1]); step != 200*time.Microsecond {
			t.Fatalf("call %d was due %s after the one before", i, step)
		}
	}
	// The first one waited for the last one, and that counts.
	if most, want := quantile(a.times, 1), (calls-1)*200*time.Microsecond; most < want {
		t.Errorf("at most %s, want %s or more", most, want)
	}
}

func TestOpenLoopCountsFailures(t *testing.T) {
	broken := errors.New("broken")
	a, err := openLoop(t.Context(), 10_000, 10, func(_ context.Context, i int, _ time.Time) (time.Duration, error) {
		if i%5 == 0 {
			return 0, broken
		}
		return time.Duration(i), nil
	})
	if err != nil || a.failed != 2 || !errors.Is(a.failure, broken) || a.share() != 0.8 {
		t.Errorf("%d failed, the first of %v, share %v, error %v", a.failed, a.failure, a.share(), err)
	}
}

func TestOpenLoopEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a, err := openLoop(ctx, 1, 1000, func(context.Context, int, time.Time) (time.Duration, error) {
		cancel()
		return 0, nil
	})
	if !errors.Is(err, context.Canceled) || len(a.times) != 1 {
		t.Errorf("%d calls, error %v", len(a.times), err)
	}
}

func TestArrivalRate(t *testing.T) {
	var a arrivals
	if a.rate() != 0 || a.share() != 0 {
		t.Error("nothing has a rate or a share")
	}
	start := time.Now()
	for i := range 11 {
		a.add(start.Add(time.Duration(i)*100*time.Millisecond), time.Millisecond, nil)
	}
	if got := a.rate(); math.Abs(got-10) > 1e-9 {
		t.Errorf("%v a second, want 10", got)
	}
}

// What is wanted of the rows of new tokens and of the revocation lag.
func TestFiguresAreGood(t *testing.T) {
	steady := func(perSecond, failed int, took time.Duration) arrivals {
		a, start := arrivals{failed: failed}, time.Now()
		for i := range 1001 {
			a.add(start.Add(time.Duration(i)*time.Second/time.Duration(perSecond)), took, nil)
		}
		return a
	}
	lags := []time.Duration{time.Millisecond, 2 * time.Millisecond, 900 * time.Millisecond}
	for _, test := range []struct {
		name string
		r    result
		good bool
	}{
		{"new tokens", newTokensResult(steady(1000, 0, 60*time.Millisecond), 60, 0), true},
		{"one failed", newTokensResult(steady(1000, 1, 60*time.Millisecond), 60, 0), false},
		{"one asked about twice", newTokensResult(steady(1000, 0, 60*time.Millisecond), 60, 1), false},
		{"too slow", newTokensResult(steady(1000, 0, 2*engineDelay), 60, 0), false},
		{"too few", newTokensResult(steady(900, 0, 60*time.Millisecond), 60, 0), false},
		{"a lag", lagResult(lags, 1, 10), true},
		{"a long lag", lagResult(append(lags, time.Second), 1, 10), false},
		{"entries are gone", lagResult(lags, 0.9, 10), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.r.good != test.good || test.r.err != nil || test.r.figure == "" {
				t.Errorf("%+v", test.r)
			}
		})
	}
	if r := newTokensResult(arrivals{failed: 3, failure: errors.New("down")}, 0, 0); r.err == nil {
		t.Error("no token was answered, and that was no error")
	}
}
