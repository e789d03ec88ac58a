package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// fewLive is how many tokens a store has that a large one is compared with.
	fewLive = 10_000
	// idsOver is the time over which the ids of live tokens are spread, and
	// liveFor how long they live on.
	idsOver, liveFor = 3 * time.Hour, 24 * time.Hour

	growthWanted = "≤ 1.25 times slower"
	mostSlower   = 1.25
)

// newPlace makes a place for a store.
type newPlace func(ctx context.Context, b *bench, name string) (place, error)

// measureGrowth compares a store of many live tokens with one of a few: looking
// tokens up, and issuing more.
func measureGrowth(at newPlace, mostBytes float64) func(context.Context, *bench, row) result {
	return func(ctx context.Context, b *bench, r row) result {
		many, err := b.grow(ctx, at, "many", b.tokens)
		if missing, ok := err.(notInstalled); ok {
			return result{skipped: string(missing)}
		}
		if err != nil {
			return result{err: err}
		}
		defer many.close(ctx)
		few, err := b.grow(ctx, at, "few", min(fewLive, b.tokens))
		if err != nil {
			return result{err: err}
		}
		defer few.close(ctx)
		g := growth{tokens: many.n, bytes: float64(many.grown) / float64(many.n)}
		if g.lookups, err = compare(ctx, b.rounds, b.duration, many.side(b, tokens.lookups), few.side(b, tokens.lookups)); err != nil {
			return result{err: fmt.Errorf("looking up: %w", err)}
		}
		if g.inserts, err = compare(ctx, b.rounds, b.duration, many.side(b, tokens.inserts), few.side(b, tokens.inserts)); err != nil {
			return result{err: fmt.Errorf("issuing: %w", err)}
		}
		return g.result(mostBytes)
	}
}

// grown is a store with live tokens.
type grown struct {
	tokens
	place
	store.Store
	grown int64 // bytes that the tokens and their grants take
}

func (b *bench) grow(ctx context.Context, at newPlace, name string, n int) (*grown, error) {
	p, err := at(ctx, b, name)
	if err != nil {
		return nil, err
	}
	g := &grown{place: p}
	if g.tokens, g.grown, err = filled(ctx, p, n, idsOver, time.Now().Add(liveFor)); err == nil {
		g.Store, err = p.open(ctx, time.Now, 0)
	}
	if err != nil {
		return nil, errors.Join(err, p.remove(ctx))
	}
	return g, nil
}

// close closes the store and removes what it has kept.
func (g *grown) close(ctx context.Context) {
	_ = g.Close()
	_ = g.remove(context.WithoutCancel(ctx)) // else it goes with the folder or the server
}

func (g *grown) side(b *bench, of func(tokens, store.Store) worker) side {
	return atStore(g.serving(), repeat(b.connections, of(g.tokens, g.Store)))
}

// growth is what came of a comparison.
type growth struct {
	tokens           int
	bytes            float64 // a token, with its share of a grant
	lookups, inserts *comparison
}

func (g growth) result(mostBytes float64) result {
	slower := func(c *comparison) float64 { return 1 / c.ratio() }
	looking, issuing := slower(g.lookups), slower(g.inserts)
	return result{
		figure: fmt.Sprintf("%d tokens: looking up %.0f/s, %.2f times slower; issuing %.0f/s, %.2f times slower; %.0f bytes each",
			g.tokens, median(rates(g.lookups.what)), looking, median(rates(g.inserts.what)), issuing, g.bytes),
		good: looking <= mostSlower && issuing <= mostSlower && g.bytes <= mostBytes,
		numbers: map[string]float64{
			"tokens": float64(g.tokens), "bytes": g.bytes,
			"lookups": median(rates(g.lookups.what)), "lookups_few": median(rates(g.lookups.against)), "lookups_slower": looking,
			"inserts": median(rates(g.inserts.what)), "inserts_few": median(rates(g.inserts.against)), "inserts_slower": issuing,
			"lookup_cpu_us": cost(g.lookups.what), "lookup_cpu_few_us": cost(g.lookups.against),
			"insert_cpu_us": cost(g.inserts.what), "insert_cpu_few_us": cost(g.inserts.against),
		},
	}
}
