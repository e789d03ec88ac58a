package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// measureFeed measures writes that do next to nothing but tell the change feed,
// whose numbers come from one row: by one caller, which waits for each commit,
// and by many on two nodes. It bounds how many such transactions there are a
// second, and shows how many writes share one.
func measureFeed(ctx context.Context, b *bench, _ row) result {
	p, err := pgDatabase(ctx, b, "feed")
	if missing, ok := err.(notInstalled); ok {
		return result{skipped: string(missing)}
	}
	if err != nil {
		return result{err: err}
	}
	at := p.(pg)
	defer func() { _ = at.remove(context.WithoutCancel(ctx)) }()
	var telling [2]worker
	for i := range telling {
		st, err := at.open(ctx, time.Now, -1)
		if err != nil {
			return result{err: err}
		}
		defer st.Close()
		service, err := st.EnsureService(ctx, benchIssuer)
		if err != nil {
			return result{err: err}
		}
		telling[i] = tell(st, service)
	}
	one := atStore(at.server, telling[:1])
	many := atStore(at.server, slices.Concat(repeat(b.connections, telling[0]), repeat(b.connections, telling[1])))
	c, err := compare(ctx, b.rounds, b.duration, many, one)
	if err != nil {
		return result{err: err}
	}
	own := func() time.Duration { return processCPU("self") }
	u, err := observe(ctx, at.server, at.dsn, own, many, 3*b.duration, statsDelay)
	if err != nil {
		return result{err: err}
	}
	return feedResult(c, u)
}

// tell revokes the grants of a client that has none: it always tells the feed.
func tell(st store.Store, service model.ID) worker {
	var clients atomic.Int64
	return func(ctx context.Context) error {
		return st.Write(ctx, store.RevokeGrants{Service: service, Client: model.ID(1<<40 + clients.Add(1))})
	}
}

func feedResult(c *comparison, u usage) result {
	if u.tellings == 0 {
		return result{err: errors.New("the server counted no transaction that told the feed")}
	}
	alone, together, tellings := median(rates(c.against)), 1/u.tellings, u.rate*u.tellings
	return result{
		figure: fmt.Sprintf("%.0f/s by many callers on two nodes: %.0f transactions/s of %.0f each; by one caller %.0f/s",
			median(rates(c.what)), tellings, together, alone),
		note: u.String(),
		numbers: map[string]float64{
			"rate": median(rates(c.what)), "alone": alone, "per_transaction": together, "transactions": tellings,
			"postgres_cpu_us": microseconds(u.postgres), "wal_bytes": u.wal,
		},
	}
}
