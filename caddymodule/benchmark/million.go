package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// fewTokens is how many a cache holds that a large one is compared with.
const fewTokens = 1000

// measureMany fills a cache with many tokens, weighs it, and compares hits at
// random among them with hits among a few.
func measureMany(ctx context.Context, b *bench, _ row) result {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU())) // there is no load beside it
	before := heap()
	many, err := newFilledCache(ctx, b.entries)
	if err != nil {
		return result{err: err}
	}
	defer debug.FreeOSMemory() // the rows that come are not to bear it
	defer many.Close()
	perEntry := float64(heap()-before) / float64(b.entries)
	there, err := many.count(ctx)
	if err != nil {
		return result{err: err}
	}
	few, err := newFilledCache(ctx, fewTokens)
	if err != nil {
		return result{err: err}
	}
	defer few.Close()
	if _, err := few.count(ctx); err != nil {
		return result{err: err}
	}
	c, err := compare(ctx, b.rounds, b.duration, side{run: many.hits}, side{run: few.hits})
	if err != nil {
		return result{err: err}
	}
	allocations, err := many.allocations(ctx)
	if err != nil {
		return result{err: err}
	}
	ns := 1e9 / median(rates(c.what))
	return result{
		figure: fmt.Sprintf("%.0f bytes each, %.2f %% there, hit %.0f ns, %.1f allocations (%d tokens: %.0f ns, ratio %.2f)",
			perEntry, 100*there, ns, allocations, fewTokens, 1e9/median(rates(c.against)), c.ratio()),
		good:    there >= 0.99 && ns < 500 && allocations <= 1,
		numbers: map[string]float64{"bytes": perEntry, "hit_ns": ns},
	}
}

// heap is what is in use, in bytes, once the garbage is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// filledCache is a cache that has been asked about the made-up tokens below a
// number.
type filledCache struct {
	*introspect.Cache
	tokens int
	known  []int32 // the numbers of those that are still there
}

func newFilledCache(ctx context.Context, tokens int) (*filledCache, error) {
	cache, err := introspect.NewCache(introspect.Options{
		Identity: "https://login.example.com/introspect", Client: clientID, MaxEntries: int64(tokens), TTL: time.Hour,
	})
	if err != nil {
		return nil, err
	}
	c := &filledCache{Cache: cache, tokens: tokens}
	if err := c.fill(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// fill asks about each token once, a goroutine a core.
func (c *filledCache) fill(ctx context.Context) error {
	from := c.Over(introspect.IntrospectorFunc(func(_ context.Context, token string) (*introspect.Facts, error) {
		i, _ := madeUpNumber("token=" + token)
		return introspect.ParseFacts(madeUpAnswer(i))
	}))
	var (
		next  atomic.Int64
		group sync.WaitGroup
		errs  = make([]error, runtime.NumCPU())
	)
	for worker := range errs {
		group.Go(func() {
			for errs[worker] == nil {
				i := int(next.Add(1) - 1)
				if i >= c.tokens {
					return
				}
				_, errs[worker] = from.Introspect(ctx, madeUpToken(i))
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

var errGone = errors.New("not in the cache")

// remembered answers from memory alone.
func (c *filledCache) remembered() introspect.Introspector {
	return c.Over(introspect.IntrospectorFunc(func(context.Context, string) (*introspect.Facts, error) { return nil, errGone }))
}

// count finds out which tokens the cache still knows, and returns their share.
// What ristretto does not show yet is answered by the introspection before, which
// is no hit: it looks until there is none of that.
func (c *filledCache) count(ctx context.Context) (float64, error) {
	from := c.remembered()
	for joins := uint64(1); joins > 0 && ctx.Err() == nil; {
		before := c.Stats().Joins
		c.known = c.known[:0]
		for i := range c.tokens {
			switch _, err := from.Introspect(ctx, madeUpToken(i)); {
			case err == nil:
				c.known = append(c.known, int32(i))
			case !errors.Is(err, errGone):
				return 0, err
			}
		}
		joins = c.Stats().Joins - before
	}
	if len(c.known) == 0 {
		return 0, errGone
	}
	return float64(len(c.known)) / float64(c.tokens), context.Cause(ctx)
}

// batch is how many hits are timed together. Their tokens are drawn and written
// before, as those of requests are, and fit into the processor's cache.
const batch = 1024

func (c *filledCache) draw(tokens []string) {
	for i := range tokens {
		tokens[i] = madeUpToken(int(c.known[rand.IntN(len(c.known))]))
	}
}

// hits asks for tokens at random, for about that long. elapsed is the time of
// the hits alone.
func (c *filledCache) hits(ctx context.Context, d time.Duration) (sample, error) {
	from, tokens := c.remembered(), make([]string, batch)
	var s sample
	for start := time.Now(); time.Since(start) < d && ctx.Err() == nil; {
		c.draw(tokens)
		begin := time.Now()
		if err := lookUp(ctx, from, tokens); err != nil {
			return s, err
		}
		s.elapsed += time.Since(begin)
		s.operations += batch
	}
	return s, context.Cause(ctx)
}

func lookUp(ctx context.Context, from introspect.Introspector, tokens []string) error {
	for _, token := range tokens {
		if facts, err := from.Introspect(ctx, token); err != nil || !facts.Active {
			return fmt.Errorf("a token that was there is not: %w", cmp.Or(err, errGone))
		}
	}
	return nil
}

// allocations is how often a hit allocates on average.
func (c *filledCache) allocations(ctx context.Context) (float64, error) {
	from, tokens := c.remembered(), make([]string, batch)
	c.draw(tokens)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := lookUp(ctx, from, tokens)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / batch, err
}
