package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
)

//go:embed Node.tmpl
var nodefile string

// nodeLayout is what the Caddyfile of a second node is made from: it has one
// service in common with the first, and the database.
type nodeLayout struct {
	Admin, Site, Upstream  port
	Issuer                 port
	DSN, MasterKey         string
	ClientID, ClientSecret string
}

// startSecond starts a second node, whose gateway takes the first one's opaque
// tokens.
func (b *bench) startSecond(ctx context.Context, first *caddyServer) (*gateway, error) {
	folder, err := b.newFolder()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	l := nodeLayout{
		Admin: ports[0], Site: ports[1], Upstream: b.upstream.port(), Issuer: first.Services[opaque],
		DSN: first.DSN, MasterKey: first.MasterKey, ClientID: clientID, ClientSecret: clientSecret,
	}
	c, err := runCaddy(ctx, b.binary, folder, nodefile, l)
	if err != nil {
		return nil, err
	}
	return &gateway{gatewayLayout{Admin: l.Admin, Site: l.Site}, c}, c.await(func() error {
		_, err := once(l.Admin.address(), get(l.Admin.address(), "/gatehouse/health", ""))
		return err
	})
}

// measureNodesLag revokes tokens at one node, and looks how long the gateway of
// another lets them through that has them in its cache.
func measureNodesLag(ctx context.Context, b *bench, _ row) result {
	first, err := b.nodeOnPostgres(ctx)
	if missing, ok := err.(notInstalled); ok {
		return result{skipped: string(missing)}
	}
	if err != nil {
		return result{err: err}
	}
	second, err := b.startSecond(ctx, first)
	if err != nil {
		return result{err: err}
	}
	defer second.stop()
	l := &lagging{engine: first.Services[opaque], gateway: second, client: newHTTPClient()}
	defer l.client.CloseIdleConnections()
	if err := l.show(ctx, max(1, int(revocationRate*b.inAll().Seconds()))); err != nil {
		return result{err: err}
	}
	a, err := openLoop(ctx, revocationRate, len(l.tokens), l.revoke)
	if err == nil {
		err = a.failure
	}
	if err != nil {
		return result{err: err}
	}
	return nodesLagResult(a)
}

func nodesLagResult(a arrivals) result {
	p50, p99, most := quantile(a.times, 0.5), quantile(a.times, 0.99), quantile(a.times, 1)
	return result{
		figure: fmt.Sprintf("p50 %s, p99 %s, at most %s (%d revocations)", milliseconds(p50), milliseconds(p99), milliseconds(most), len(a.times)),
		good:   p99.Seconds() < 1,
		numbers: map[string]float64{
			"p50_ms": 1000 * p50.Seconds(), "p99_ms": 1000 * p99.Seconds(), "most_ms": 1000 * most.Seconds(), "revocations": float64(len(a.times)),
		},
	}
}

// show gets tokens of the one node and shows them to the other's gateway, twice:
// the second time it answers from memory.
func (l *lagging) show(ctx context.Context, n int) error {
	for range n {
		token, err := issue(l.engine.address())
		if err != nil {
			return err
		}
		l.tokens = append(l.tokens, token)
	}
	for range 2 {
		for _, token := range l.tokens {
			r, err := l.gateway.request(ctx, token)
			if err != nil {
				return err
			}
			if err := expect(l.client, r, http.StatusOK); err != nil {
				return err
			}
		}
	}
	hits, err := l.gateway.hits()
	if err == nil && hits < n {
		err = fmt.Errorf("the gateway knew %d of %d tokens when they came again", hits, n)
	}
	return err
}

// hits asks the admin API how often the gateway has answered from memory.
func (g *gateway) hits() (int, error) {
	body, err := once(g.Admin.address(), get(g.Admin.address(), "/gatehouse/cache", ""))
	if err != nil {
		return 0, err
	}
	var caches []struct{ Hits int }
	if err := json.Unmarshal(body, &caches); err != nil {
		return 0, err
	}
	sum := 0
	for _, c := range caches {
		sum += c.Hits
	}
	return sum, nil
}
