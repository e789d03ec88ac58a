package admission

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// A lane works on no more than it may, keeps no more waiting than it may, and
// turns the others away at once, without receiving anything from them.
func TestLaneIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		l := New(Limits{AtOnce: 2, Waiting: 3}, time.Minute, func() { refused++ })
		for range 2 {
			if err := l.Enter(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		results := make(chan error, 3)
		for range 3 {
			go func() { results <- l.Enter(t.Context(), nil) }()
		}
		synctest.Wait()
		if working, waiting := l.Load(); working != 2 || waiting != 3 {
			t.Fatalf("%d work, %d wait", working, waiting)
		}
		start := time.Now()
		err := l.Enter(t.Context(), func() error { t.Error("it received"); return nil })
		if !errors.Is(err, ErrFull) || refused != 1 || !time.Now().Equal(start) {
			t.Errorf("one too many: %v, %d refused, after %s", err, refused, time.Since(start))
		}
		for range 5 {
			l.Leave()
			synctest.Wait()
		}
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if working, waiting := l.Load(); working != 0 || waiting != 0 {
			t.Errorf("afterwards %d work, %d wait", working, waiting)
		}
	})
}

// Who waits does so for as long as the lane's patience or its own context lasts,
// and leaves nothing behind.
func TestLaneWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		l := New(Limits{AtOnce: 1, Waiting: 1}, 3*time.Second, func() { refused++ })
		if err := l.Enter(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := l.Enter(t.Context(), nil); !errors.Is(err, ErrFull) || refused != 1 || time.Since(start) != 3*time.Second {
			t.Errorf("patience: %v after %s", err, time.Since(start))
		}
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Enter(ctx, nil); !errors.Is(err, context.DeadlineExceeded) || refused != 1 || time.Since(start) != time.Second {
			t.Errorf("deadline: %v after %s", err, time.Since(start))
		}
		l.Leave()
		if err := l.Enter(t.Context(), nil); err != nil {
			t.Errorf("when there is a place: %v", err)
		}
	})
}

// What is still arriving takes no place from those who are there, and what
// cannot be received takes none at all.
func TestLaneReceivesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Limits{AtOnce: 1, Waiting: 2}, time.Second, nil)
		there := make(chan struct{})
		slow := make(chan error, 1)
		go func() { slow <- l.Enter(t.Context(), func() error { <-there; return nil }) }()
		synctest.Wait()
		if err := l.Enter(t.Context(), nil); err != nil {
			t.Errorf("beside one that is slow: %v", err)
		}
		l.Leave()
		close(there)
		if err := <-slow; err != nil {
			t.Errorf("the slow one: %v", err)
		}
		l.Leave()
		broken := errors.New("broken off")
		if err := l.Enter(t.Context(), func() error { return broken }); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if working, waiting := l.Load(); working != 0 || waiting != 0 {
			t.Errorf("afterwards %d work, %d wait", working, waiting)
		}
	})
}

// What is not set follows the machine; what makes no sense is refused.
func TestLimits(t *testing.T) {
	l := New(Limits{}, 0, nil)
	want := max(256, 16*runtime.GOMAXPROCS(0))
	if cap(l.places) != want || cap(l.room) != 4*want || l.patience != DefaultPatience {
		t.Errorf("%d at once, %d waiting, %s", cap(l.places), cap(l.room), l.patience)
	}
	for _, bad := range []Limits{{AtOnce: -1}, {Waiting: -1}, {AtOnce: Most + 1}, {Waiting: Most + 1}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if err := (&Limits{AtOnce: Most, Waiting: 1}).Check(); err != nil {
		t.Error(err)
	}
}
