package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// long is a lease that does not end by itself while a test runs.
const long = time.Hour

// leased takes a lease and compares whether it is held.
func leased(t testing.TB, s store.Leases, want bool, name, holder string, d time.Duration) {
	t.Helper()
	held, err := s.Lease(context.Background(), name, holder, d)
	equal(t, fmt.Sprintf("lease %q for %s", name, holder), want, held, err)
}

// renewed renews a lease and compares whether it was the holder's all the time.
func renewed(t testing.TB, s store.Leases, want bool, name, holder string, d time.Duration) {
	t.Helper()
	held, err := s.Renew(context.Background(), name, holder, d)
	equal(t, fmt.Sprintf("lease %q goes on for %s", name, holder), want, held, err)
}

func testLeases(t *testing.T, e *env) {
	second := e.open(t)
	t.Run("one holder at a time, in every process", func(t *testing.T) {
		leased(t, e, true, "job", "a", long)
		leased(t, e, true, "job", "a", long) // renewed
		leased(t, e, false, "job", "b", long)
		leased(t, second, false, "job", "b", long)
		leased(t, second, true, "job", "a", long)
		leased(t, second, true, "another job", "b", long)
	})
	t.Run("the holder alone gives it back", func(t *testing.T) {
		leased(t, e, false, "job", "b", 0)
		leased(t, second, false, "job", "b", long)
		leased(t, e, true, "job", "a", 0)
		leased(t, second, true, "job", "b", long)
		leased(t, e, false, "job", "a", long)
	})
	t.Run("it ends by time", func(t *testing.T) {
		leased(t, e, true, "short", "a", long)
		leased(t, second, false, "short", "b", long)
		began := time.Now()
		leased(t, e, true, "short", "a", time.Second)
		for held := false; !held; time.Sleep(20 * time.Millisecond) {
			var err error
			if held, err = second.Lease(context.Background(), "short", "b", long); err != nil || time.Since(began) > time.Minute {
				t.Fatalf("the lease of a holder that is gone stays: %v", err)
			}
		}
		if took := time.Since(began); took < time.Second-5*time.Millisecond { // by another clock, in milliseconds
			t.Errorf("a lease for a second ends after %s", took)
		}
		leased(t, e, false, "short", "a", long)
	})
	t.Run("who renews learns that another has had it", func(t *testing.T) {
		leased(t, e, true, "kept", "a", long)
		renewed(t, second, true, "kept", "a", 0)
		renewed(t, e, true, "kept", "a", long) // it had ended, for nobody
		leased(t, e, false, "kept", "b", long)
		renewed(t, e, false, "kept", "b", long)
		leased(t, e, true, "kept", "a", 0)
		leased(t, second, true, "kept", "b", 0) // had it, and gave it back
		renewed(t, e, false, "kept", "a", long)
		renewed(t, e, false, "kept", "a", 0)
		renewed(t, e, false, "nobody's", "a", long)
		leased(t, e, true, "kept", "c", long)
	})
	t.Run("of many at once one gets it", func(t *testing.T) { raceLeases(t, []store.Store{e.Store, second}) })
	t.Run("it outlives the process", func(t *testing.T) {
		e.reopen(t)
		leased(t, e, false, "job", "a", long)
		leased(t, e, true, "job", "b", long)
	})
}

func raceLeases(t *testing.T, stores []store.Store) {
	for round := range 5 {
		name := fmt.Sprint("race ", round)
		var held [16]bool
		for i, err := range race(len(held), stores, func(s store.Store, i int) (err error) {
			held[i], err = s.Lease(context.Background(), name, fmt.Sprint("holder ", i), long)
			return err
		}) {
			fails(t, fmt.Sprint("call ", i), nil, err)
		}
		holders := 0
		for i := range held {
			if held[i] {
				holders++
				leased(t, stores[0], true, name, fmt.Sprint("holder ", i), long)
			}
		}
		equal(t, "holders", 1, holders, nil)
	}
}
