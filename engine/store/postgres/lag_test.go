package postgres

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// nodeFinding is what an operator sees of another node.
func (h *house) nodeFinding(t *testing.T, node *Store) store.Finding {
	t.Helper()
	found, err := h.Inspect(context.Background())
	must(t, err)
	for _, f := range found {
		if f.Name == "node" && strings.HasPrefix(f.Value, nodeName(node.name)+":") {
			return f
		}
	}
	t.Fatalf("%s is not among %+v", node.name, found)
	return store.Finding{}
}

// lag is how far behind the feed an operator sees a node.
func (h *house) lag(t *testing.T, node *Store) time.Duration {
	t.Helper()
	f := h.nodeFinding(t, node)
	told := regexp.MustCompile(`had all changes (\S+) before its last beat`).FindStringSubmatch(f.Value)
	if told == nil {
		t.Fatalf("it tells no lag: %+v", f)
	}
	lag, err := time.ParseDuration(told[1])
	must(t, err)
	if late := lag > maxFeedLag; late != (f.Advice != "") {
		t.Errorf("%+v", f)
	}
	return lag
}

// Promise 5, where it is broken: an operator learns of a node that does not follow
// the feed, whatever keeps it from that, by its next beat.
func TestFeedLagOfOneThatIsStuck(t *testing.T) {
	for name, start := range map[string]func(*testing.T, Options) *Store{
		"it does not look": func(t *testing.T, o Options) *Store {
			o.FollowInterval, o.NoNotify = time.Hour, true
			return open(t, o)
		},
		"it cannot hand on": func(t *testing.T, o Options) *Store {
			node, end := open(t, o), make(chan struct{})
			t.Cleanup(func() { close(end) }) // before the node closes
			node.Subscribe(func(model.Change) { <-end })
			return node
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
			node := start(t, Options{DSN: h.opts.DSN, SweepInterval: -1})
			must(t, h.Write(context.Background(), store.RevokeGrants{Service: h.service, Client: 1}))
			await(t, "the advice", func() bool {
				must(t, node.beatOnce(context.Background(), 0))
				return h.lag(t, node) > maxFeedLag
			})
			await(t, "none for the other", func() bool {
				must(t, h.beatOnce(context.Background(), 0))
				return h.lag(t, h.Store) <= maxFeedLag
			})
		})
	}
}

// A node that follows is in order, however much is told after its last beat, and
// while it beats.
func TestFeedLagOfOneThatFollows(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	nodes := []*Store{h.Store, open(t, Options{DSN: h.opts.DSN, SweepInterval: -1})}
	tell := func(n int) {
		for client := range n {
			if err := h.Write(context.Background(), store.RevokeGrants{Service: h.service, Client: model.ID(1 + client)}); err != nil {
				t.Error(err)
			}
		}
	}
	beatInOrder := func() bool {
		for _, node := range nodes {
			must(t, node.beatOnce(context.Background(), 0))
		}
		return h.lag(t, nodes[0]) <= maxFeedLag && h.lag(t, nodes[1]) <= maxFeedLag
	}
	await(t, "order", beatInOrder)
	tell(50)
	for _, node := range nodes {
		if lag := h.lag(t, node); lag > maxFeedLag {
			t.Errorf("what was told after the last beat counts: %s", lag)
		}
	}

	end := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					tell(10)
				}
			}
		})
	}
	defer load.Wait()
	defer close(end)
	for range 5 {
		await(t, "order under load", beatInOrder)
	}
}

// A node whose clock is wrong is named, however wrong: it is there by the
// database's clock.
func TestNodesOfAnyClock(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	for _, ahead := range []time.Duration{-20 * time.Second, -time.Minute, -2 * goneAfter, 2 * goneAfter} {
		node := open(t, Options{DSN: h.opts.DSN, Now: wrongBy(ahead), SweepInterval: -1})
		await(t, "a reading of the clock", node.clock.read.Load)
		must(t, node.beatOnce(context.Background(), 0))
		must(t, h.forgetNodes(context.Background()))
		if f := h.nodeFinding(t, node); f.Advice == "" {
			t.Errorf("%s: %+v", ahead, f)
		}
	}
}
