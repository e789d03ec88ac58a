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
// turns the others away at once.
func TestLaneIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane("people", Limits{AtOnce: 2, Waiting: 3}, time.Minute)
		for range 2 {
			if err := l.Enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		results := make(chan error, 3)
		for range 3 {
			go func() { results <- l.Enter(t.Context()) }()
		}
		synctest.Wait()
		if working, waiting := l.Load(); working != 2 || waiting != 3 {
			t.Fatalf("%d work, %d wait", working, waiting)
		}
		start := time.Now()
		if err := l.Enter(t.Context()); !errors.Is(err, ErrFull) || !time.Now().Equal(start) {
			t.Errorf("one too many: %v after %s", err, time.Since(start))
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
		l := newLane("people", Limits{AtOnce: 1, Waiting: 1}, 3*time.Second)
		if err := l.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := l.Enter(t.Context()); !errors.Is(err, ErrFull) || time.Since(start) != 3*time.Second {
			t.Errorf("patience: %v after %s", err, time.Since(start))
		}
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Enter(ctx); !errors.Is(err, ErrFull) || time.Since(start) != time.Second {
			t.Errorf("deadline: %v after %s", err, time.Since(start))
		}
		gone, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		if err := l.Enter(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone: %v", err)
		}
		l.Leave()
		if err := l.Enter(t.Context()); err != nil {
			t.Errorf("when there is a place: %v", err)
		}
	})
}

// What is not set follows the machine; what makes no sense is refused.
func TestLimits(t *testing.T) {
	want := max(256, 16*runtime.GOMAXPROCS(0))
	if got := (Limits{}).filled(); got != (Limits{want, 4 * want}) {
		t.Errorf("got %+v", got)
	}
	if got := (Limits{AtOnce: 3}).filled(); got != (Limits{3, 12}) {
		t.Errorf("got %+v", got)
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

// The lane of those who finish what people have begun is its own, and a quarter
// as wide as theirs: made-up codes take no place from those who sign in.
func TestEntrance(t *testing.T) {
	type size struct {
		name            string
		places, waiting int
		patience        time.Duration
	}
	for _, c := range []struct {
		options Options
		want    [3]size
	}{
		{Options{People: Limits{20, 40}, Machines: Limits{5, 6}},
			[3]size{{"people", 20, 40, time.Second}, {"machines", 5, 6, time.Second}, {"finishing", 5, 10, time.Second}}},
		{Options{People: Limits{1, 1}, Machines: Limits{2, 0}, Patience: time.Minute},
			[3]size{{"people", 1, 1, time.Minute}, {"machines", 2, 8, time.Minute}, {"finishing", 1, 1, time.Minute}}},
	} {
		for i, l := range NewEntrance(c.options).Lanes() {
			if got := (size{l.Name, cap(l.places), cap(l.seats), l.patience}); got != c.want[i] {
				t.Errorf("%+v: got %+v, want %+v", c.options, got, c.want[i])
			}
		}
	}
}
