package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// nodePlace gives a node a place for its store, and says so in its layout.
type nodePlace func(ctx context.Context, b *bench, name string, l *layout) (place, error)

func liteNode(_ context.Context, _ *bench, _ string, l *layout) (place, error) {
	return lite{l.Database}, nil
}

func pgNode(ctx context.Context, b *bench, name string, l *layout) (place, error) {
	p, err := pgDatabase(ctx, b, name)
	if err != nil {
		return nil, err
	}
	l.DSN = p.(pg).dsn
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	l.MasterKey = hex.EncodeToString(key[:])
	return p, nil
}

// measureGrowthHTTP compares a node that has many live tokens with one that has a
// few, as its clients see it: asking about tokens, and having more issued.
func measureGrowthHTTP(at nodePlace) func(context.Context, *bench, row) result {
	return func(ctx context.Context, b *bench, _ row) result {
		many, err := b.grownNode(ctx, at, "many_http", b.tokens)
		if missing, ok := err.(notInstalled); ok {
			return result{skipped: string(missing)}
		}
		if err != nil {
			return result{err: err}
		}
		defer many.close(ctx)
		few, err := b.grownNode(ctx, at, "few_http", min(fewLive, b.tokens))
		if err != nil {
			return result{err: err}
		}
		defer few.close(ctx)
		looking, err := compare(ctx, b.rounds, b.duration, many.introspecting(b), few.introspecting(b))
		if err != nil {
			return result{err: fmt.Errorf("introspection: %w", err)}
		}
		issuing, err := compare(ctx, b.rounds, b.duration, many.issuing(b), few.issuing(b))
		if err != nil {
			return result{err: fmt.Errorf("issuing: %w", err)}
		}
		slower := [2]float64{1 / looking.ratio(), 1 / issuing.ratio()}
		return result{
			figure: fmt.Sprintf("%d tokens: introspection %.0f/s, %.2f times slower; issuing %.0f/s, %.2f times slower",
				many.n, median(rates(looking.what)), slower[0], median(rates(issuing.what)), slower[1]),
			good: slower[0] <= mostSlower && slower[1] <= mostSlower,
			numbers: map[string]float64{
				"tokens": float64(many.n), "introspections": median(rates(looking.what)), "introspections_slower": slower[0],
				"issued": median(rates(issuing.what)), "issued_slower": slower[1],
			},
		}
	}
}

// grownNode is a node whose store has live tokens.
type grownNode struct {
	tokens
	place
	*caddyServer
}

func (b *bench) grownNode(ctx context.Context, at nodePlace, name string, n int) (*grownNode, error) {
	if err := b.buildCaddy(ctx); err != nil {
		return nil, err
	}
	folder, err := b.newFolder()
	if err != nil {
		return nil, err
	}
	l, err := newLayout(folder, b.upstream.port(), false)
	if err != nil {
		return nil, err
	}
	g := &grownNode{tokens: tokens{n: n, from: time.Now().Add(-idsOver), over: idsOver, expiresAt: time.Now().Add(liveFor).Unix(), own: true}}
	if g.place, err = at(ctx, b, name, &l); err != nil {
		return nil, err
	}
	first, err := startCaddy(ctx, b.binary, folder, l) // which makes the service and its client
	if err != nil {
		return nil, err
	}
	first.stop()
	err = withStore(ctx, g.place, time.Now, func(st store.Store) error {
		if g.service, err = st.EnsureService(ctx, l.Services[opaque].URL()); err != nil {
			return err
		}
		clients, err := st.EnsureClients(ctx, g.service, []string{clientID})
		g.client = clients[clientID]
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := g.fill(ctx, g.tokens); err != nil {
		return nil, fmt.Errorf("filling: %w", err)
	}
	g.caddyServer, err = startCaddy(ctx, b.binary, folder, l)
	return g, err
}

// close stops the node and removes what it has kept.
func (g *grownNode) close(ctx context.Context) {
	g.stop()
	_ = g.remove(context.WithoutCancel(ctx)) // else it goes with the folder or the server
}

// token is the text of a token, by its number.
func (g *grownNode) token(i int) string {
	secret := handle.Secret(g.secret(i))
	return handle.Format(handle.AccessToken, g.id(i), &secret)
}

func (g *grownNode) introspecting(b *bench) side {
	at := g.Services[opaque]
	l := &load{
		address: at.address(), begin: []byte(`{"active":true`), connections: b.connections,
		next: func() []byte { return post(at.host(), "/introspect", "token="+g.token(mathrand.IntN(g.n))) },
	}
	return side{run: l.run, server: g.cpuWith()}
}

func (g *grownNode) issuing(b *bench) side {
	s := b.issuing(g.caddyServer, opaque)
	s.server = g.cpuWith()
	return s
}

// cpuWith is the processor time of the node and of its database's server.
func (g *grownNode) cpuWith() func() time.Duration {
	server := g.serving()
	if server == nil {
		return g.child.cpu
	}
	return func() time.Duration { return g.child.cpu() + server.cpu() }
}
