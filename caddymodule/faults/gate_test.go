package faults

import (
	"slices"
	"sync"
	"time"
)

// gate holds one operation of each of some kinds back until all of them are
// there, and then lets them all go.
type gate struct {
	node int // on its way to which they are; 0: to any

	mu      sync.Mutex
	missing []Kind
	open    chan struct{} // closed when none is missing
}

// pass is where operations come by.
func (g *gate) pass(kind Kind, node int) {
	if g.node != 0 && g.node != node {
		return
	}
	g.mu.Lock()
	at := slices.Index(g.missing, kind)
	if at >= 0 {
		g.missing = slices.Delete(g.missing, at, at+1)
	}
	if at >= 0 && len(g.missing) == 0 {
		close(g.open)
	}
	g.mu.Unlock()
	if at >= 0 {
		<-g.open
	}
}

// lacks reports whether one of these is not there yet.
func (g *gate) lacks(kinds ...Kind) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(kinds, func(k Kind) bool { return slices.Contains(g.missing, k) })
}

// give opens the gate for those who are there, and returns who is not.
func (g *gate) give() (missing []Kind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if missing, g.missing = g.missing, nil; len(missing) > 0 {
		close(g.open)
	}
	return missing
}

// breakable are the kinds of operations in the middle of which something is
// killed: all but calls, most of which a gateway answers by itself.
var breakable = slices.DeleteFunc(slices.Clone(Kinds), func(k Kind) bool { return k == Call })

// fall is the moment at which a node was killed, or, as node 0, the database.
type fall struct {
	at   time.Duration
	node int
}

// amid kills something in the middle of one operation each of half the kinds, now
// the one half, now the other, and of whatever else is under way.
func (r *run) amid(node int, kill func()) {
	r.t.Helper()
	// There is more of introspection, which is over the soonest.
	g := &gate{node: node, missing: []Kind{Introspect}, open: make(chan struct{})}
	for i := len(r.fell) % 2; i < len(breakable); i += 2 {
		g.missing = append(g.missing, breakable[i])
	}
	r.under(50*time.Millisecond, func() {
		r.gate.Store(g)
		defer r.gate.Store(nil)
		select {
		case <-g.open:
		case <-time.After(patience):
			r.t.Fatalf("nobody has begun %v", g.give())
		}
		time.Sleep(time.Duration(r.random.Int64N(int64(time.Millisecond))))
		r.fell = append(r.fell, fall{r.history.Now(), node})
		kill()
	})
}

// begins is called when an operation is about to be sent.
func (r *run) begins(o *Op, n *node) {
	if g := r.gate.Load(); g != nil {
		g.pass(o.Kind, n.number)
	}
	o.Node, o.Start = n.number, r.history.Now()
}

// cut fails when too few kills came in the middle of some kind of operation: it
// was under way at that moment, and nobody knows what became of it.
func (r *run) cut() {
	r.t.Helper()
	ops, err := r.history.Ops()
	if err != nil {
		r.t.Fatal(err)
	}
	hits := map[Kind]int{}
	for _, f := range r.fell {
		hit := map[Kind]bool{}
		for i := range ops {
			if o := &ops[i]; o.Outcome == Unknown && o.Start < f.at && o.End > f.at && (f.node == 0 || f.node == o.Node) {
				hit[o.Kind] = true
			}
		}
		for kind := range hit {
			hits[kind]++
		}
	}
	n, all := len(r.fell), 0
	least := n/4 - 4 // half of them were meant to; some come too late, and fewer than 20 may all do
	for _, kind := range breakable {
		if all += hits[kind]; hits[kind] < least {
			r.t.Errorf("%d of %d kills came in the middle of %s, want %d", hits[kind], n, kind, least)
		}
	}
	if all < 2*n { // however few they are: each waited for five kinds or six
		r.t.Errorf("%d kills came in the middle of %d operations of different kinds, want %d", n, all, 2*n)
	}
	r.t.Logf("of %d kills, so many came in the middle of each: %v", n, hits)
}
