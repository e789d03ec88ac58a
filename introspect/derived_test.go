package introspect

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// maker makes numbered values and counts them. The first waits at the gate, if
// there is one.
type maker struct {
	calls   atomic.Int64
	arrived chan struct{}
	release chan struct{}
	until   func() time.Time
	err     error
}

func (m *maker) make(ctx context.Context, _ string, _ *Facts) (string, time.Time, error) {
	n := m.calls.Add(1)
	if m.arrived != nil {
		m.arrived <- struct{}{}
		select {
		case <-m.release:
		case <-ctx.Done():
			return "", time.Time{}, ctx.Err()
		}
	}
	return fmt.Sprint("value", n), m.until(), m.err
}

func newTestDerivation(t testing.TB, m Make[string], now func() time.Time) *Derivation[string] {
	t.Helper()
	d := NewDerivation(m, DerivationOptions{Now: now, Random: func() float64 { return 0 }})
	t.Cleanup(d.Close)
	return d
}

func derive(t testing.TB, d *Derivation[string], f *Facts) string {
	t.Helper()
	value, err := d.Of(t.Context(), sampleToken, f)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestPromise04OneDerivationPerToken(t *testing.T) {
	const users = 64
	m := &maker{arrived: make(chan struct{}), release: make(chan struct{}), until: func() time.Time { return time.Now().Add(time.Hour) }}
	d := newTestDerivation(t, m.make, nil)
	f := activeFacts()
	var barrier, done sync.WaitGroup
	barrier.Add(users)
	for range users {
		done.Go(func() {
			barrier.Done()
			barrier.Wait()
			if got := derive(t, d, f); got != "value1" {
				t.Error(got)
			}
		})
	}
	barrier.Wait()
	<-m.arrived
	m.release <- struct{}{}
	done.Wait()
	if got := m.calls.Load(); got != 1 {
		t.Errorf("made %d times for %d users", got, users)
	}
}

func TestPromise04WhoGivesUpCancelsNoDerivation(t *testing.T) {
	m := &maker{arrived: make(chan struct{}), release: make(chan struct{}), until: func() time.Time { return time.Now().Add(time.Hour) }}
	d := newTestDerivation(t, m.make, nil)
	f := activeFacts()
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := d.Of(ctx, sampleToken, f)
		gone <- err
	}()
	<-m.arrived
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	stayed := make(chan string)
	go func() { stayed <- derive(t, d, f) }()
	m.release <- struct{}{}
	if got := <-stayed; got != "value1" || m.calls.Load() != 1 {
		t.Errorf("the one that stayed got %s of %d", got, m.calls.Load())
	}
}

// TestPromise03DerivedValuesEnd: what is derived ends at its own time or at the
// token's exp, on the second, whichever comes first.
func TestPromise03DerivedValuesEnd(t *testing.T) {
	for _, test := range []struct {
		name   string
		until  time.Duration // 0: the zero time
		exp    int64         // from now, 0: none
		before time.Duration
		after  time.Duration
	}{
		{"its own", 60 * time.Second, 0, 60*time.Second - 1, 60 * time.Second},
		{"the token's", 60 * time.Second, 30, 30*time.Second - 1, 30 * time.Second},
		{"a day", 1e6 * time.Hour, 0, maxDerivedLife - 1, maxDerivedLife},
		{"a token of very long life", 60 * time.Second, 1 << 55, 60*time.Second - 1, 60 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClock()
			start := c.now()
			m := &maker{until: func() time.Time { return start.Add(test.until) }}
			d := newTestDerivation(t, m.make, c.now)
			f := activeFacts()
			if test.exp != 0 {
				f.ExpiresAt = c.unix() + test.exp
			}
			derive(t, d, f)
			m.err = errors.New("cannot be renewed")
			c.pass(test.before)
			if got := derive(t, d, f); got != "value1" {
				t.Error(got)
			}
			d.running.Wait()
			c.pass(test.after - test.before)
			if got, err := d.Of(t.Context(), sampleToken, f); !errors.Is(err, ErrUnavailable) {
				t.Errorf("after its end: %s, %v", got, err)
			}
		})
	}
}

func TestDerivedValueThatHasEndedWhenItArrives(t *testing.T) {
	c := newClock()
	m := &maker{until: c.now}
	d := newTestDerivation(t, m.make, c.now)
	if got, err := d.Of(t.Context(), sampleToken, activeFacts()); !errors.Is(err, errDerivationEnded) {
		t.Error(got, err)
	}
}

func TestDerivedValueIsRenewedAhead(t *testing.T) {
	c := newClock()
	m := &maker{until: func() time.Time { return c.now().Add(60 * time.Second) }}
	d := newTestDerivation(t, m.make, c.now)
	f := activeFacts()
	derive(t, d, f)
	c.pass(40*time.Second - 1)
	derive(t, d, f)
	d.running.Wait()
	if got := m.calls.Load(); got != 1 {
		t.Fatalf("made %d times before two thirds of its life", got)
	}
	m.arrived, m.release = make(chan struct{}), make(chan struct{})
	c.pass(1)
	for range 5 { // nobody waits for a renewal
		if got := derive(t, d, f); got != "value1" {
			t.Error(got)
		}
	}
	<-m.arrived
	m.release <- struct{}{}
	d.running.Wait()
	if got := derive(t, d, f); got != "value2" || m.calls.Load() != 2 {
		t.Errorf("after the renewal: %s of %d", got, m.calls.Load())
	}
}

func TestDerivedValueOutlivesAFailedRenewal(t *testing.T) {
	c := newClock()
	m := &maker{until: func() time.Time { return c.now().Add(60 * time.Second) }}
	d := newTestDerivation(t, m.make, c.now)
	f := activeFacts()
	derive(t, d, f)
	m.err = errors.New("down")
	c.pass(50 * time.Second)
	for range 5 {
		if got := derive(t, d, f); got != "value1" {
			t.Error(got)
		}
		d.running.Wait()
	}
	if got := m.calls.Load(); got != 2 {
		t.Errorf("within a second of the failure it was tried %d times more", got-1)
	}
	m.err = nil
	c.pass(renewalPause)
	derive(t, d, f)
	d.running.Wait()
	if got := derive(t, d, f); got != "value3" {
		t.Error(got)
	}
}

func TestDerivationErrors(t *testing.T) {
	c := newClock()
	var until time.Time
	m := &maker{until: func() time.Time { return until }, err: errors.New("the server said " + sampleToken)}
	d := newTestDerivation(t, m.make, c.now)
	f := activeFacts()
	fails := func(calls int64, when string) {
		t.Helper()
		_, err := d.Of(t.Context(), sampleToken, f)
		if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), sampleToken) {
			t.Errorf("%s: %v", when, err)
		}
		d.running.Wait()
		if got := m.calls.Load(); got != calls {
			t.Errorf("%s: made %d times, want %d", when, got, calls)
		}
	}
	fails(1, "without a time")
	fails(2, "an error without a time is not kept")
	until = c.now().Add(time.Second)
	fails(3, "with a time")
	c.pass(time.Second - 1)
	fails(3, "an error with a time is kept")
	c.pass(1)
	fails(4, "and forgotten on time")

	m.err = fmt.Errorf("denied: %w", &Refusal{Status: 403, Code: CodeInsufficientScope})
	_, err := d.Of(t.Context(), sampleToken, f)
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Status != 403 || errors.Is(err, ErrUnavailable) {
		t.Errorf("a refusal became %v", err)
	}
}

func TestDerivationThatNeverReturnsNormally(t *testing.T) {
	for name, fate := range map[string]func(){
		"panic":  func() { panic("at " + sampleToken) },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			d := newTestDerivation(t, func(context.Context, string, *Facts) (string, time.Time, error) {
				fate()
				return "value", time.Now().Add(time.Hour), nil
			}, nil)
			f := activeFacts()
			for range 2 {
				got, err := d.Of(t.Context(), sampleToken, f)
				if got != "" || !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), sampleToken) {
					t.Error(got, err)
				}
			}
		})
	}
}

// TestPromise05RevocationTakesDerivedValues, and so do the cache's times: they
// hang on the facts that an entry holds.
func TestPromise05RevocationTakesDerivedValues(t *testing.T) {
	m := &maker{until: func() time.Time { return time.Now().Add(time.Hour) }}
	d := newTestDerivation(t, m.make, nil)
	cache := newTestCache(t, Options{})
	e := &engine{}
	e.says(func(context.Context, string) (*Facts, error) { return activeFacts(), nil })
	for range 3 {
		if got := derive(t, d, ask(t, cache, sampleToken, e)); got != "value1" {
			t.Fatal(got)
		}
		settled(cache)
	}
	cache.Revoke(Revocation{Kind: RevokeGrant, Service: 1, ID: 3})
	if got := derive(t, d, ask(t, cache, sampleToken, e)); got != "value2" {
		t.Errorf("after the revocation: %s", got)
	}
}

func TestDerivationsAreApartAndBounded(t *testing.T) {
	f := activeFacts()
	m := &maker{until: func() time.Time { return time.Now().Add(time.Hour) }}
	all := make([]*Derivation[string], maxDerived+1)
	for i := range all {
		all[i] = newTestDerivation(t, m.make, nil)
		if got, want := derive(t, all[i], f), fmt.Sprint("value", i+1); got != want {
			t.Errorf("derivation %d: %s", i, got)
		}
	}
	if got := len(*f.derived.Load()); got != maxDerived {
		t.Errorf("%d are kept", got)
	}
	if got := derive(t, all[1], f); got != "value2" {
		t.Errorf("one that is kept was made anew: %s", got)
	}
	if got := derive(t, all[0], f); got != fmt.Sprint("value", maxDerived+2) {
		t.Errorf("the one that made room: %s", got)
	}
}

func TestDerivationClose(t *testing.T) {
	m := &maker{until: func() time.Time { return time.Now().Add(time.Hour) }}
	d := newTestDerivation(t, m.make, nil)
	known := activeFacts()
	derive(t, d, known)
	m.arrived = make(chan struct{})
	under := make(chan error)
	go func() {
		_, err := d.Of(context.Background(), sampleToken, activeFacts())
		under <- err
	}()
	<-m.arrived
	d.Close()
	if err := <-under; !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("under way: %v", err)
	}
	if _, err := d.Of(t.Context(), sampleToken, activeFacts()); !errors.Is(err, errDerivationClosed) {
		t.Errorf("afterwards: %v", err)
	}
	if got := derive(t, d, known); got != "value1" {
		t.Error(got)
	}
	d.Close()
}

func TestDerivedHitAllocatesNothing(t *testing.T) {
	m := &maker{until: func() time.Time { return time.Now().Add(time.Hour) }}
	d := newTestDerivation(t, m.make, nil)
	f := activeFacts()
	derive(t, d, f)
	ctx := t.Context()
	if got := testing.AllocsPerRun(1000, func() { _, _ = d.Of(ctx, sampleToken, f) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// TestFactsEqual: every exported member counts, and nothing else.
func TestFactsEqual(t *testing.T) {
	same := activeFacts()
	m := &maker{until: time.Now}
	_, _ = newTestDerivation(t, m.make, nil).Of(t.Context(), sampleToken, same)
	if !same.Equal(activeFacts()) || !(*Facts)(nil).Equal(nil) || same.Equal(nil) || (*Facts)(nil).Equal(same) {
		t.Error("what is the same is not equal, or nothing is something")
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Facts]()) {
		if !field.IsExported() {
			continue
		}
		other := activeFacts()
		other.ExpiresAt, other.IssuedAt, other.AuthTime = 3, 2, 1
		before := activeFacts()
		before.ExpiresAt, before.IssuedAt, before.AuthTime = 3, 2, 1
		reflect.ValueOf(other).Elem().FieldByIndex(field.Index).SetZero()
		if other.Equal(before) || before.Equal(other) {
			t.Errorf("%s does not count", field.Name)
		}
	}
}

func BenchmarkDerivedHit(b *testing.B) {
	m := &maker{until: func() time.Time { return time.Now().Add(time.Hour) }}
	d := newTestDerivation(b, m.make, nil)
	f := activeFacts()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Of(ctx, sampleToken, f); err != nil {
			b.Fatal(err)
		}
	}
}
