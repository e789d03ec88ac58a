package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	clients   = 12      // that work at the same time
	mostOps   = 600_000 // of one run
	afterwork = 2 * time.Minute
	memory    = introspect.DefaultTTL // of the nodes' gateways
	// across is how long an end may take to the gateways of other nodes, and
	// reconnects how far their attempts are apart when they have no connection
	// (engine/store/postgres/README.md).
	across, reconnects = time.Second, time.Second
)

// run is some nodes under load, and the history of it.
type run struct {
	t       *testing.T
	nodes   []*node
	http    *http.Client
	history *History
	random  *rand.Rand // of the driver alone
	user    *browser   // of alice, who stays signed in
	whole   bool       // the nodes have pages, on which she can sign in, and gateways

	mu    sync.Mutex
	held  []string // every access and refresh token that was given, some twice
	known map[Ref]bool
	made  []party // every client that has registered

	fell    []fall
	outages []Outage
	gate    atomic.Pointer[gate]
	// last is how far the last verdict went, and before the one before that:
	// gateways are asked again about what came since then, of which all know by now.
	before, last extent
}

// extent is how much there is to look at and to judge.
type extent struct{ tokens, clients, ops int }

// newRun starts a node for each of some storage lines of a Caddyfile, and signs
// alice in.
func newRun(t *testing.T, storage ...string) *run {
	t.Helper()
	start := time.Now()
	r := &run{
		t: t, http: newHTTPClient(), random: rand.New(rand.NewPCG(*seed, 0)), known: map[Ref]bool{},
		history: NewHistory(mostOps, func() time.Duration { return time.Since(start) }), whole: len(storage) > 0,
	}
	r.user = r.newBrowser("alice")
	t.Cleanup(r.http.CloseIdleConnections)
	issuer := ""
	for i, line := range storage {
		n := newNode(t, i+1, issuer, line)
		if issuer == "" {
			issuer = n.base
		}
		r.nodes = append(r.nodes, n)
		n.start()
	}
	if r.whole {
		r.signIn()
	}
	return r
}

// hold remembers tokens until they are looked at.
func (r *run) hold(tokens ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, token := range tokens {
		if ref := RefOf(token); token != "" && !r.known[ref] {
			r.known[ref] = true
			r.held = append(r.held, token)
		}
	}
}

// count is how many tokens were given so far.
func (r *run) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.held)
}

// know remembers a client that has registered.
func (r *run) know(by party) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = append(r.made, by)
}

// anyOf picks one of the tokens given since the verdict before the last.
func (r *run) anyOf(random *rand.Rand) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	recent := r.held[r.before.tokens:]
	if len(recent) == 0 {
		return "", false
	}
	return recent[random.IntN(len(recent))], true
}

// under runs a fault, and the recovery from it, in the middle of load: it comes
// at a moment of up to delay after the load has begun. Whoever was in the
// middle of something then finishes it.
func (r *run) under(delay time.Duration, fault func()) {
	r.t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), afterwork, fmt.Errorf("the load has not ended after %s", afterwork))
	var group sync.WaitGroup
	defer group.Wait() // when the fault ends the test too
	defer cancel()
	enough := make(chan struct{})
	errs := make(chan error, clients)
	for range clients {
		c := &client{run: r, random: rand.New(rand.NewPCG(r.random.Uint64(), 0))}
		group.Go(func() { errs <- c.work(ctx, enough) })
	}
	time.Sleep(time.Duration(r.random.Int64N(int64(delay))))
	fault()
	close(enough)
	for range clients {
		if err := <-errs; err != nil {
			r.t.Error(err)
		}
	}
	if r.t.Failed() {
		r.t.FailNow()
	}
}

// crash ends a node in the middle of what it does, and starts it again.
func (r *run) crash(n *node) {
	r.t.Helper()
	n.kill()
	r.http.CloseIdleConnections()
	n.start()
	r.history.Settle(n.number)
}

// look asks what the tokens and clients are worth that have come since, and the
// gateways also about access tokens from before.
func (r *run) look(since, before extent) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), afterwork)
	defer cancel()
	looks := make(chan func(*node) (Op, error))
	var group sync.WaitGroup
	for i := range clients {
		c := &client{run: r, random: rand.New(rand.NewPCG(*seed, uint64(i)))}
		group.Go(func() {
			for look := range looks {
				if err := c.insist(ctx, look); err != nil {
					r.t.Error(err)
				}
			}
		})
	}
	for _, token := range r.held[since.tokens:] {
		looks <- func(n *node) (Op, error) { return r.introspect(n, token) }
	}
	for _, token := range r.held[before.tokens:] {
		if r.opens(token) {
			looks <- func(n *node) (Op, error) { return r.call(n, token) }
		}
	}
	for _, by := range r.made[since.clients:] {
		looks <- func(n *node) (Op, error) {
			o, _, err := r.issueTo(n, by, RefOf(by.id))
			return o, err
		}
	}
	close(looks)
	group.Wait()
}

// opens reports whether there are gateways that a token is for.
func (r *run) opens(token string) bool {
	return r.whole && strings.HasPrefix(token, string(handle.AccessToken))
}

// gateways are what is promised of the nodes' gateways.
func (r *run) gateways() Gateways { return Gateways{across, memory, r.outages} }

// away notes of a fault, and the recovery from it, that a node could not be told
// meanwhile what others did; as node 0, that none could.
func (r *run) away(node int, fault func()) func() {
	return func() {
		from := r.history.Now()
		fault()
		r.outages = append(r.outages, Outage{node, from, r.history.Now() + reconnects})
	}
}

// verdict looks at all tokens given since the verdict before, and judges what
// was done since then.
func (r *run) verdict() []Violation {
	r.t.Helper()
	r.look(r.last, r.before)
	ops, err := r.history.Ops()
	if err != nil {
		r.t.Fatal(err)
	}
	found := Check(ops[r.before.ops:], r.last.ops-r.before.ops, r.gateways())
	r.before, r.last = r.last, extent{len(r.held), len(r.made), len(ops)}
	return found
}

// clean wants a verdict without a violation.
func (r *run) clean(after string) {
	r.t.Helper()
	r.report(after, r.verdict())
}

// hear waits until every gateway must have heard of all that has ended.
func (r *run) hear() {
	now := r.history.Now()
	known := now
	for _, n := range r.nodes {
		if r.whole && len(r.nodes) > 1 {
			known = max(known, r.gateways().know(now, n.number))
		}
	}
	time.Sleep(known - now)
}

// end looks at all tokens there ever were, when the gateways know what has become
// of them, and judges the whole history.
func (r *run) end() {
	r.t.Helper()
	r.hear()
	r.look(extent{}, extent{})
	ops, err := r.history.Ops()
	if err != nil {
		r.t.Fatal(err)
	}
	r.report("in the end", Check(ops, 0, r.gateways()))
	r.t.Logf("%d tokens; %s", len(r.held), tally(ops))
}

func (r *run) report(after string, found []Violation) {
	r.t.Helper()
	if len(found) == 0 {
		return
	}
	for _, v := range found[:min(3, len(found))] {
		r.t.Error(v)
	}
	for _, n := range r.nodes {
		r.t.Logf("node %d's last words:\n%s", n.number, n.lastWords())
	}
	r.t.Fatalf("%s: %d violations", after, len(found))
}

// tally counts operations by kind and outcome.
func tally(ops []Op) string {
	var counts [Register + 1][Wrong + 1]int
	for i := range ops {
		counts[ops[i].Kind][ops[i].Outcome]++
	}
	var parts []string
	for _, kind := range Kinds {
		c := counts[kind]
		parts = append(parts, fmt.Sprintf("%s %d, refused %d, unknown %d", kind, c[Acknowledged], c[Refused], c[Unknown]))
	}
	return strings.Join(parts, "; ")
}

// turnedAway counts the answers 503 so far.
func (r *run) turnedAway() (n int) {
	ops, err := r.history.Ops()
	if err != nil {
		r.t.Error(err)
	}
	for i := range ops {
		if ops[i].Answered {
			n++
		}
	}
	return n
}

// until polls for what must come soon.
func (r *run) until(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited %s for %s", patience, what)
		}
	}
}
