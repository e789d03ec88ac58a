package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// expiryRate is how many calls a second go on while tokens expire: as many
	// lookups as inserts.
	expiryRate = 200
	// expiryLive is how many tokens there are that do not expire.
	expiryLive = 10_000
	// expiryRuns is how often all of it is done: a p99 is of few calls.
	expiryRuns = 4
	// goneSample is how many of the expired tokens are looked for.
	goneSample = 50
	// expiryPatience is how long it may take until all are gone.
	expiryPatience = 5 * time.Minute

	expiryWanted = "p99 at most doubled"
)

// measureExpiry has many tokens expire while others are looked up and issued at
// a steady rate, and compares how long that takes before and meanwhile.
//
// The store's sweeper first looks after the time before. By then the tokens have
// expired, and what they lie in on PostgreSQL is over.
func measureExpiry(at newPlace) func(context.Context, *bench, row) result {
	return func(ctx context.Context, b *bench, r row) result {
		var runs []*expiry
		for range expiryRuns {
			p, err := at(ctx, b, "expiry")
			if missing, ok := err.(notInstalled); ok {
				return result{skipped: string(missing)}
			}
			if err != nil {
				return result{err: err}
			}
			e, err := expire(ctx, p, max(1, b.tokens/10), b.inAll())
			if err = errors.Join(err, p.remove(context.WithoutCancel(ctx))); err != nil {
				return result{err: err}
			}
			runs = append(runs, e)
		}
		return expiryResult(runs)
	}
}

// expiry is what came of it.
type expiry struct {
	tokens         int
	before, during lookedAndIssued
	took           time.Duration // from the sweeper's first look until all were gone
}

func expire(ctx context.Context, p place, n int, before time.Duration) (*expiry, error) {
	const ago = 4 * time.Hour
	old := tokens{n: n, from: time.Now().Add(-ago), over: ago / 2, expiresAt: time.Now().Unix() - 1, client: benchClient}
	live := tokens{n: expiryLive, from: time.Now().Add(-time.Minute), over: 30 * time.Second, expiresAt: time.Now().Add(liveFor).Unix(), client: benchClient}
	err := withStore(ctx, p, func() time.Time { return old.from }, func(st store.Store) (err error) {
		old.service, err = st.EnsureService(ctx, benchIssuer)
		return err
	})
	if err != nil {
		return nil, err
	}
	live.service = old.service
	if err := errors.Join(p.fill(ctx, old), p.fill(ctx, live)); err != nil {
		return nil, fmt.Errorf("filling: %w", err)
	}
	const settle = 2 * time.Second
	begin := time.Now()
	st, err := p.open(ctx, time.Now, settle+before)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if _, err := live.steadily(ctx, st, settle); err != nil {
		return nil, err
	}
	e := &expiry{tokens: n}
	if e.before, err = live.steadily(ctx, st, before-time.Since(begin)+settle); err != nil {
		return nil, err
	}
	if err := wait(ctx, time.Until(begin.Add(settle+before))); err != nil {
		return nil, err
	}
	e.during, e.took, err = meanwhile(ctx, st, old, live, before)
	return e, err
}

// meanwhile goes on until the old tokens are gone, and for as long as it went on
// before, so that both p99 are of as many calls. took is until they were gone.
func meanwhile(ctx context.Context, st store.Store, old, live tokens, atLeast time.Duration) (sum lookedAndIssued, took time.Duration, err error) {
	for begin := time.Now(); took == 0 || time.Since(begin) < atLeast; {
		s, err := live.steadily(ctx, st, time.Second)
		if err != nil {
			return sum, 0, err
		}
		sum.add(s)
		gone, err := old.gone(ctx, st)
		if err != nil {
			return sum, 0, err
		}
		if gone && took == 0 {
			took = time.Since(begin)
		}
		if time.Since(begin) > expiryPatience {
			return sum, 0, fmt.Errorf("not all tokens were gone within %s", expiryPatience)
		}
	}
	return sum, took, nil
}

// gone looks for tokens spread over all, the last among them.
func (t tokens) gone(ctx context.Context, st store.Store) (bool, error) {
	for i := range goneSample {
		_, _, err := st.AccessToken(ctx, t.service, t.id(t.n-1-i*(t.n-1)/goneSample))
		if err == nil {
			return false, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
	}
	return true, nil
}

// lookedAndIssued are how long calls took, from when they were due.
type lookedAndIssued struct{ looked, issued []time.Duration }

func (l *lookedAndIssued) add(others lookedAndIssued) {
	l.looked, l.issued = append(l.looked, others.looked...), append(l.issued, others.issued...)
}

// steadily looks tokens up and issues others, in turn.
func (t tokens) steadily(ctx context.Context, st store.Store, d time.Duration) (l lookedAndIssued, err error) {
	var mu sync.Mutex
	insert := t.inserts(st)
	a, err := openLoop(ctx, expiryRate, max(2, int(expiryRate*d.Seconds())), func(ctx context.Context, i int, due time.Time) (time.Duration, error) {
		list, err := &l.looked, error(nil)
		if i%2 == 0 {
			err = t.look(ctx, st, rand.IntN(t.n))
		} else {
			list, err = &l.issued, insert(ctx)
		}
		took := time.Since(due)
		mu.Lock()
		defer mu.Unlock()
		*list = append(*list, took)
		return took, err
	})
	if err == nil {
		err = a.failure
	}
	return l, err
}

// p99s are those of looking up and of issuing, in milliseconds.
func (l lookedAndIssued) p99s() (looked, issued float64) {
	return 1000 * quantile(l.looked, 0.99).Seconds(), 1000 * quantile(l.issued, 0.99).Seconds()
}

// expiryResult takes the calls of all runs together, and says how the worst of
// them was.
func expiryResult(runs []*expiry) result {
	all := expiry{tokens: runs[0].tokens}
	var worstLook, worstIssue float64
	for _, e := range runs {
		all.took = max(all.took, e.took)
		all.before.add(e.before)
		all.during.add(e.during)
		look, issue := e.slower()
		worstLook, worstIssue = max(worstLook, look), max(worstIssue, issue)
	}
	look, issue := all.slower()
	lookBefore, issueBefore := all.before.p99s()
	lookDuring, issueDuring := all.during.p99s()
	return result{
		figure: fmt.Sprintf("%d gone in %.0f s; p99 of looking up %.2f ms before, %.2f ms meanwhile; of issuing %.2f ms, %.2f ms; worst of %d runs %.2f and %.2f times",
			all.tokens, all.took.Seconds(), lookBefore, lookDuring, issueBefore, issueDuring, len(runs), worstLook, worstIssue),
		good: look <= 2 && issue <= 2,
		numbers: map[string]float64{
			"tokens": float64(all.tokens), "seconds": all.took.Seconds(), "runs": float64(len(runs)),
			"lookup_p99_before_ms": lookBefore, "lookup_p99_during_ms": lookDuring, "lookup_worst": worstLook,
			"insert_p99_before_ms": issueBefore, "insert_p99_during_ms": issueDuring, "insert_worst": worstIssue,
		},
	}
}

// slower is how many times both p99 meanwhile are those of before.
func (e *expiry) slower() (looked, issued float64) {
	lookBefore, issueBefore := e.before.p99s()
	lookDuring, issueDuring := e.during.p99s()
	return lookDuring / lookBefore, issueDuring / issueBefore
}
