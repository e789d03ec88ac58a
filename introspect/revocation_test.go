package introspect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// revocationsOf lists, for the token of activeFacts, what ends it and what does not.
var revocationsOf = []struct {
	name string
	end  func(*Cache)
	ends bool
}{
	{"its token", revoking(Revocation{Kind: RevokeToken, Service: 1, ID: 2}), true},
	{"its grant", revoking(Revocation{Kind: RevokeGrant, Service: 1, ID: 3}), true},
	{"its client", revoking(Revocation{Kind: RevokeClient, Service: 1, ID: 4}), true},
	{"its subject", revoking(Revocation{Kind: RevokeSubject, Service: 1, Subject: "alice"}), true},
	{"its subject, with an id", revoking(Revocation{Kind: RevokeSubject, Service: 1, ID: 9, Subject: "alice"}), true},
	{"its grant, with a subject", revoking(Revocation{Kind: RevokeGrant, Service: 1, ID: 3, Subject: "alice"}), true},
	{"its service", revoking(Revocation{Kind: RevokeService, Service: 1}), true},
	{"a kind of the future", revoking(Revocation{Kind: 99, Service: 7}), true},
	{"everything", (*Cache).Purge, true},
	{"another token", revoking(Revocation{Kind: RevokeToken, Service: 1, ID: 3}), false},
	{"another service's token", revoking(Revocation{Kind: RevokeToken, Service: 2, ID: 2}), false},
	{"another subject", revoking(Revocation{Kind: RevokeSubject, Service: 1, Subject: "bob"}), false},
	{"another service", revoking(Revocation{Kind: RevokeService, Service: 2}), false},
}

func revoking(v Revocation) func(*Cache) { return func(c *Cache) { c.Revoke(v) } }

// steadySeed keeps chance out of the tests that expect no collision: it picks a
// seed under which the slots above differ.
func steadySeed(c *Cache) {
	for {
		seen := map[uint32]bool{}
		for _, v := range []Revocation{
			{Kind: RevokeToken, Service: 1, ID: 2}, {Kind: RevokeGrant, Service: 1, ID: 3}, {Kind: RevokeClient, Service: 1, ID: 4},
			{Kind: RevokeSubject, Service: 1, Subject: "alice"}, {Kind: RevokeService, Service: 1},
			{Kind: RevokeToken, Service: 1, ID: 3}, {Kind: RevokeToken, Service: 2, ID: 2},
			{Kind: RevokeSubject, Service: 1, Subject: "bob"}, {Kind: RevokeService, Service: 2},
		} {
			seen[c.revocations.slot(v)] = true
		}
		if len(seen) == 9 {
			return
		}
		c.revocations = newRevocations(c.options.Now)
	}
}

func TestPromise05RevocationReachesTheCacheAtOnce(t *testing.T) {
	for _, test := range revocationsOf {
		t.Run(test.name, func(t *testing.T) {
			c := newTestCache(t, Options{})
			steadySeed(c)
			e := engineWith(activeFacts())
			ask(t, c, sampleToken, e)
			settled(c)
			e.saysFacts(&Facts{})
			test.end(c)
			if got := ask(t, c, sampleToken, e).Active; got == test.ends {
				t.Errorf("active: %v", got)
			}
		})
	}
}

// What was revoked while its answer was under way is given to nobody, neither
// to who asked nor to who joined, and does not stay (CVE-2026-3583).
func TestThreat19RevokedTokenDoesNotReturnFromAnAnswerUnderWay(t *testing.T) {
	for _, test := range revocationsOf {
		t.Run(test.name, func(t *testing.T) {
			c := newTestCache(t, Options{})
			steadySeed(c)
			g := newGatedEngine()
			var users sync.WaitGroup
			var active atomic.Int64
			for range 10 {
				users.Go(func() {
					if ask(t, c, sampleToken, g).Active {
						active.Add(1)
					}
				})
			}
			<-g.arrived // the engine has looked the token up: active
			until(t, "everybody waits", func() bool { return c.Stats().Joins >= 9 })
			test.end(c)
			users.Go(func() { // joins after the revocation was acknowledged
				if ask(t, c, sampleToken, g).Active {
					active.Add(1)
				}
			})
			until(t, "a late one joins", func() bool { return c.Stats().Joins == 10 })
			g.release <- activeFacts()
			if test.ends {
				<-g.arrived // one more introspection, for all of them
				g.release <- &Facts{}
			}
			users.Wait()
			settled(c)
			want, calls := int64(11), int64(1)
			if test.ends {
				want, calls = 0, 2
			}
			if active.Load() != want {
				t.Errorf("%d of 11 were let in, want %d", active.Load(), want)
			}
			if got := ask(t, c, sampleToken, g).Active; got == test.ends {
				t.Errorf("afterwards active: %v", got)
			}
			wantCalls(t, &g.engine, calls, "in all")
		})
	}
}

func TestThreat19AnswerUnderWayDuringEveryAttempt(t *testing.T) {
	c := newTestCache(t, Options{})
	e := &engine{}
	e.says(func(context.Context, string) (*Facts, error) {
		defer c.Revoke(Revocation{Kind: RevokeToken, Service: 1, ID: 2})
		return activeFacts(), nil
	})
	if f, err := c.Over(e).Introspect(t.Context(), sampleToken); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, %v; want no answer rather than an old one", f, err)
	}
	wantCalls(t, e, maxFlights, "before giving up")
}

// An entry that was made before the revocation but arrives in ristretto after
// it is no better.
func TestThreat19LateWriteIsStale(t *testing.T) {
	c := newTestCache(t, Options{})
	f := activeFacts()
	d := c.keys.digest(sampleToken)
	late := &entry{digest: d, asOf: c.revocations.current(), slots: c.revocations.slotsOf(f), deadline: 1 << 62, facts: f}
	c.Revoke(Revocation{Kind: RevokeGrant, Service: 1, ID: 3})
	c.positive.put(late, DefaultTTL)
	c.positive.settle()
	if ask(t, c, sampleToken, engineWith(&Facts{})).Active {
		t.Error("a revoked token is back")
	}
}

// Of an engine with several nodes one may answer as before a revocation that
// another has told already. Such an answer is not kept, and what was not revoked
// is soon kept for as long as ever.
func TestPromise05AnswerOfANodeThatIsBehind(t *testing.T) {
	for _, test := range revocationsOf {
		t.Run(test.name, func(t *testing.T) {
			clock := newClock()
			c := newTestCache(t, Options{Now: clock.now})
			steadySeed(c)
			clock.pass(time.Hour)
			e := engineWith(activeFacts())
			asks := func(want int64, when string) {
				t.Helper()
				ask(t, c, sampleToken, e)
				settled(c)
				wantCalls(t, e, want, when)
			}
			test.end(c)
			asks(1, "after the revocation")
			clock.pass(brief - 1)
			asks(1, "a moment later")
			clock.pass(1)
			if !test.ends {
				asks(1, "after that moment, since it does not concern the token")
				return
			}
			asks(2, "after that moment")
			clock.pass(settling - brief - 1)
			asks(3, "when a node may just still be behind")
			clock.pass(brief)
			asks(4, "when none is any more")
			clock.pass(DefaultTTL - 1)
			asks(4, "from then on")
			clock.pass(1)
			asks(5, "at the end of that answer")
		})
	}
}

// Readers, an engine that changes its mind and revocations, all at once: nobody
// gets an answer older than what was acknowledged before he asked.
func TestPromise05UnderLoad(t *testing.T) {
	const tokens, rounds = 8, 400
	c := newTestCache(t, Options{MaxEntries: 4}) // evictions too
	var stored, acknowledged [tokens]atomic.Int64
	index := func(token string) (i int) { _, _ = fmt.Sscanf(token, "t%d", &i); return i }
	from := IntrospectorFunc(func(_ context.Context, token string) (*Facts, error) {
		i := index(token)
		return &Facts{Active: true, IssuedAt: stored[i].Load(), Ref: Ref{Service: 1, Token: int64(i + 1)}}, nil
	})
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				i := n % tokens
				floor := acknowledged[i].Load()
				f, err := c.Over(from).Introspect(context.Background(), fmt.Sprint("t", i))
				if err == nil && f.IssuedAt < floor {
					t.Errorf("token %d: got version %d after %d was acknowledged", i, f.IssuedAt, floor)
					return
				}
				if err != nil && !errors.Is(err, errOvertaken) {
					t.Error(err)
				}
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for n := range rounds {
				for i := w; i < tokens; i += 2 {
					version := stored[i].Add(1)
					if n%50 == 49 {
						c.Purge()
					} else {
						c.Revoke(Revocation{Kind: RevokeToken, Service: 1, ID: int64(i + 1)})
					}
					acknowledged[i].Store(version)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}
