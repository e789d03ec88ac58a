package fetch

import (
	"context"
	"sync"
)

// gate bounds the requests under way, over all hosts and for each host. Who
// comes later waits. Safe for concurrent use.
type gate struct {
	all     chan struct{}
	perHost int

	mu    sync.Mutex
	hosts map[string]*lane // those with a request under way or waiting
}

type lane struct {
	slots chan struct{}
	users int // under way or waiting; guarded by gate.mu
}

func newGate(parallel, perHost int) *gate {
	return &gate{all: make(chan struct{}, parallel), perHost: perHost, hosts: map[string]*lane{}}
}

// enter waits for a place, which the caller gives back with leave, or for the
// end of ctx. The host's place comes first: those who wait for one slow host
// take nothing from the others.
func (g *gate) enter(ctx context.Context, host string) (leave func(), err error) {
	l := g.join(host)
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		g.part(host, l)
		return nil, ctx.Err()
	}
	select {
	case g.all <- struct{}{}:
	case <-ctx.Done():
		<-l.slots
		g.part(host, l)
		return nil, ctx.Err()
	}
	return func() {
		<-g.all
		<-l.slots
		g.part(host, l)
	}, nil
}

func (g *gate) join(host string) *lane {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.hosts[host]
	if l == nil {
		l = &lane{slots: make(chan struct{}, g.perHost)}
		g.hosts[host] = l
	}
	l.users++
	return l
}

func (g *gate) part(host string, l *lane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(g.hosts, host)
	}
}
