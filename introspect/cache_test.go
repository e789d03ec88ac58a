package introspect

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		name    string
		options Options
		want    string
	}{
		{"identity", Options{}, "identity"},
		{"ttl", Options{Identity: "x", TTL: -1}, "ttl must not be negative, is -1ns"},
		{"entries", Options{Identity: "x", MaxEntries: -5}, "max entries must not be negative"},
		{"negative entries", Options{Identity: "x", MaxNegative: -5}, "max negative entries"},
		{"timeout", Options{Identity: "x", FetchTimeout: -1}, "fetch timeout"},
		{"negative above positive", Options{Identity: "x", TTL: time.Second, NegativeTTL: time.Minute}, "must not exceed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := NewCache(test.options)
			if err == nil {
				c.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to say %q", err, test.want)
			}
		})
	}
	t.Run("a ttl below the default negative ttl", func(t *testing.T) {
		if c := newTestCache(t, Options{TTL: time.Second}); c.options.NegativeTTL != time.Second {
			t.Error("the negative ttl is", c.options.NegativeTTL)
		}
	})
}

// What an answer depends on is in the key, and no two inputs run into each other.
func TestThreat18CacheKeyCoversEveryInput(t *testing.T) {
	seen := map[digest]string{}
	for _, in := range [][3]string{
		{"a", "b", "c"}, {"ab", "", "c"}, {"", "ab", "c"}, {"a", "bc", ""}, {"a", "", "bc"}, {"abc", "", ""}, {"", "", "abc"},
		{"a", "b", "c\x00"}, {"a\x00", "b", "c"}, {"a", "b", "C"}, {"A", "b", "c"}, {"a", "B", "c"},
		{"a", "b", strings.Repeat("c", 300)}, {"a", "b", strings.Repeat("c", 301)},
	} {
		k := newKeyer(in[0], in[1])
		d := k.digest(in[2])
		if other, ok := seen[d]; ok {
			t.Errorf("%q has the key of %s", in, other)
		}
		seen[d] = fmt.Sprintf("%q", in)
	}
}

func TestPromise02DigestIsComparedOnAHit(t *testing.T) {
	c := newTestCache(t, Options{})
	e := engineWith(activeFacts())
	mallory := activeFacts()
	mallory.Subject = "mallory"
	// Another token's entry under the 64 bits that ristretto sees.
	d := c.keys.digest(sampleToken)
	other := d
	other[31] ^= 1
	c.positive.put(&entry{digest: other, deadline: time.Now().Add(time.Hour).UnixNano(), facts: mallory,
		slots: slots{noSlot, noSlot, noSlot, noSlot, noSlot}}, time.Hour)
	c.positive.settle()
	if _, ok := c.positive.cache.Get(d.short()); !ok {
		t.Fatal("the colliding entry is not there")
	}
	if got := ask(t, c, sampleToken, e); got.Subject != "alice" {
		t.Errorf("got the facts of %s", got.Subject)
	}
	wantCalls(t, e, 1, "after a collision")
}

func TestPromise03LifeOfAnEntry(t *testing.T) {
	for _, test := range []struct {
		name     string
		active   bool
		exp      time.Duration // from now; 0 for none
		lastHit  time.Duration
		firstAsk time.Duration
	}{
		{"ttl ends it", true, time.Hour, 59 * time.Second, time.Minute},
		{"no exp: ttl ends it", true, 0, 59 * time.Second, time.Minute},
		{"exp ends it sooner", true, 10 * time.Second, 10*time.Second - 1, 10 * time.Second},
		{"exp in 31.7 million years", true, 1 << 62, 59 * time.Second, time.Minute},
		{"negative answers live shorter", false, 0, 5*time.Second - 1, 5 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := newClock()
			c := newTestCache(t, Options{Now: clock.now})
			f := activeFacts()
			f.Active = test.active
			switch test.exp {
			case 0:
			case 1 << 62:
				f.ExpiresAt = 1e15
			default:
				f.ExpiresAt = clock.now().Add(test.exp).Unix()
			}
			e := engineWith(f)
			ask(t, c, sampleToken, e)
			settled(c)
			// Hits all the way: none of them renews the entry.
			for range 10 {
				clock.pass(test.lastHit / 10)
				ask(t, c, sampleToken, e)
			}
			wantCalls(t, e, 1, "before the end")
			clock.pass(test.firstAsk - test.lastHit/10*10)
			ask(t, c, sampleToken, e)
			wantCalls(t, e, 2, "at the end")
		})
	}
}

func TestPromise03AnswerThatHasExpiredIsNotActive(t *testing.T) {
	clock := newClock()
	c := newTestCache(t, Options{Now: clock.now})
	f := activeFacts()
	f.ExpiresAt = clock.unix()
	if ask(t, c, sampleToken, engineWith(f)).Active {
		t.Error("active in the second of exp")
	}
	e := &engine{}
	e.says(func(context.Context, string) (*Facts, error) {
		f.ExpiresAt = clock.unix() + 1
		defer clock.pass(time.Minute)
		return f, nil
	})
	if ask(t, c, "another", e).Active {
		t.Error("active although it expired while the answer was on its way")
	}
}

func TestPromise03NegativesAreBoundedAndEvictNoPositives(t *testing.T) {
	c := newTestCache(t, Options{MaxEntries: 100, MaxNegative: 50})
	good, bad := engineWith(activeFacts()), engineWith(&Facts{})
	for i := range 100 {
		ask(t, c, fmt.Sprint("good", i), good)
	}
	for i := range 5_000 {
		ask(t, c, fmt.Sprint("bad", i), bad)
	}
	settled(c)
	s := c.Stats()
	if s.Negatives > 50 {
		t.Errorf("%d negative entries, want 50 at most", s.Negatives)
	}
	if s.Entries != 100 {
		t.Errorf("%d positive entries are left of 100", s.Entries)
	}
	for i := range 100 {
		ask(t, c, fmt.Sprint("good", i), good)
	}
	wantCalls(t, good, 100, "after a flood of invented tokens")
}

func TestStats(t *testing.T) {
	c := newTestCache(t, Options{})
	good, bad := engineWith(activeFacts()), engineWith(&Facts{})
	down := &engine{}
	down.says(func(context.Context, string) (*Facts, error) { return nil, errors.New("down") })
	for range 3 {
		ask(t, c, "good", good)
		ask(t, c, "bad", bad)
		if _, err := c.Over(down).Introspect(t.Context(), "unknown"); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		settled(c)
	}
	if n := len(c.flights.inAir); n != 0 {
		t.Errorf("%d flights are remembered", n)
	}
	want := Stats{Hits: 2, NegativeHits: 2, Misses: 5, Fetches: 5, Failures: 3, Entries: 1, Negatives: 1}
	got, timed := c.Stats(), uint64(0)
	for _, n := range got.Times.Counts {
		timed += n
	}
	if got.Times = (Times{}); timed != want.Fetches {
		t.Errorf("%d introspections were timed", timed)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c.Purge()
	if s := c.Stats(); s.Entries != 0 || s.Negatives != 0 || s.Evictions != 0 {
		t.Errorf("after Purge: %+v", s)
	}
}

// A hit allocates at most once: not at all for a handle, once for a JWT.
func TestPromiseHitAllocatesAtMostOnce(t *testing.T) {
	for name, test := range map[string]struct {
		token string
		want  float64
	}{
		"handle": {sampleToken, 0},
		"JWT":    {strings.Repeat("eyJ0.", 200), 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCache(t, Options{})
			e := engineWith(activeFacts())
			ask(t, c, test.token, e)
			settled(c)
			got := testing.AllocsPerRun(1000, func() { ask(t, c, test.token, e) })
			if got > test.want {
				t.Errorf("%v allocations, want %v", got, test.want)
			}
			wantCalls(t, e, 1, "for 1001 hits")
		})
	}
}

func TestCloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		c, err := NewCache(Options{Identity: "x", MaxEntries: 10})
		if err != nil {
			t.Fatal(err)
		}
		e := engineWith(activeFacts())
		stuck := &engine{}
		stuck.says(func(ctx context.Context, _ string) (*Facts, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		var users sync.WaitGroup
		users.Go(func() {
			if _, err := c.Over(stuck).Introspect(context.Background(), "stuck"); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		})
		started := make(chan struct{}, 2)
		for range 2 {
			users.Go(func() {
				for i := 0; ; i++ {
					_, err := c.Over(e).Introspect(context.Background(), fmt.Sprint(i%20))
					if err != nil {
						return // closed
					}
					if i == 50 {
						started <- struct{}{}
					}
				}
			})
		}
		<-started
		c.Close()
		c.Close()
		users.Wait()
		c.Purge()
		c.Revoke(Revocation{Kind: RevokeToken, ID: 1})
		c.Stats()
		if _, err := c.Over(e).Introspect(context.Background(), sampleToken); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after Close: %v", err)
		}
	}
	until(t, "the goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}
