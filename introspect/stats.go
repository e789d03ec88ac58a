package introspect

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// Stats is a cache's account of itself. The counters only grow.
type Stats struct {
	Hits         uint64 // lookups answered from an entry of an active token
	NegativeHits uint64 // lookups answered from an entry of an inactive token
	Misses       uint64 // lookups that found no entry, or none to be believed
	Joins        uint64 // misses that waited for an introspection under way
	Fetches      uint64 // introspections made
	Failures     uint64 // introspections that gave no answer
	Evictions    uint64 // entries that made room for others
	Entries      int64  // entries of active tokens, now; what has expired leaves a little later
	Negatives    int64  // entries of inactive tokens, now
	Times        Times  // how long the introspections took
}

// timeBounds are the upper bounds of [Times].Counts but the last, which has none.
var timeBounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
}

// TimeBounds returns the upper bounds of the counts of [Times] but the last's.
func TimeBounds() []time.Duration { return slices.Clone(timeBounds[:]) }

// Times is a histogram. Each count is of its own bucket alone.
type Times struct {
	Counts [len(timeBounds) + 1]uint64
	Sum    time.Duration
}

// Stopwatch is a histogram that many write to. Its zero value is ready.
type Stopwatch struct {
	counts [len(timeBounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

// Add counts a time.
func (s *Stopwatch) Add(d time.Duration) {
	bucket, _ := slices.BinarySearch(timeBounds[:], d)
	s.counts[bucket].Add(1)
	s.sum.Add(int64(d))
}

// Times returns what was counted.
func (s *Stopwatch) Times() Times {
	t := Times{Sum: time.Duration(s.sum.Load())}
	for i := range s.counts {
		t.Counts[i] = s.counts[i].Load()
	}
	return t
}

const tallyStripes = 32

// tally counts lookups by outcome, and knows how many are under way: ristretto
// must not be closed during a Get. Each stripe has a cache line of its own, and
// a lookup picks one by chance, so that one token that everybody uses is not
// one line that every core wants.
type tally struct {
	closed  atomic.Bool
	_       [63]byte
	stripes [tallyStripes]stripe
}

type stripe struct {
	begun, hits, negatives, misses atomic.Uint64
	_                              [32]byte
}

// begin opens a lookup, which its caller ends by adding to one of the stripe's
// outcomes. It returns false, with the lookup counted as a miss, once closed.
func (t *tally) begin() (*stripe, bool) {
	s := &t.stripes[rand.Uint32()%tallyStripes]
	s.begun.Add(1)
	if t.closed.Load() {
		s.misses.Add(1)
		return nil, false
	}
	return s, true
}

// close keeps further lookups out and waits for those under way, which take
// less than a microsecond each.
func (t *tally) close() {
	t.closed.Store(true)
	for i := range t.stripes {
		// Outcomes are read before begun, so that a lookup in between makes the
		// two differ and never agree too early.
		for s := &t.stripes[i]; s.ended() != s.begun.Load(); {
			runtime.Gosched()
		}
	}
}

func (s *stripe) ended() uint64 { return s.hits.Load() + s.negatives.Load() + s.misses.Load() }

func (t *tally) add(to *Stats) {
	for i := range t.stripes {
		s := &t.stripes[i]
		to.Hits += s.hits.Load()
		to.NegativeHits += s.negatives.Load()
		to.Misses += s.misses.Load()
	}
}
