// Package sweeper walks along the keys of tables in small steps and removes
// what has expired, so that neither much at once nor a large table keeps the
// others waiting.
package sweeper

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// step is how many rows of a table are looked at in a turn, and about the
	// most that a transaction removes.
	step = 500
	// pause is the time between turns, which the requests have for themselves.
	pause = 10 * time.Millisecond
	// round is about how long it takes to go along a whole table, if it has no more
	// than some 20 million rows. What has expired goes within two of them at most,
	// beside rows that live for an hour a small part of all.
	round = 10 * time.Minute
	// least is how many rows of a table that stay are looked at between ticks
	// even when it is small: a thousandth of a second.
	least = 1000
	// worth is how many rows may be looked at to find one that goes: those pay for
	// themselves. After a round that found fewer the table rests, for restRow a row,
	// but for no more than restMost.
	worth    = 10
	restRow  = 5 * time.Millisecond
	restMost = 30 * time.Second
	// unknown is the size that a table is taken for before the first round.
	unknown = 20_000_000
	// turns is how many of them a tick has at most.
	turns = 100
)

// Seen is what a turn has found.
type Seen struct {
	Looked, Removed int
	// Last is the key of the last row that was looked at, if there was one, and
	// End the greatest of the table.
	Last, End int64
}

// Table is a table that is walked along a key.
type Table struct {
	// Ordered says that rows expire in the order of the key: the first that
	// stays ends a round.
	Ordered bool
	// Sweep looks at the n rows behind the key from, and removes those of them
	// that have expired by now, in Unix seconds.
	Sweep func(ctx context.Context, now, from int64, n int) (Seen, error)
}

// walk is where a table's sweeping stands.
type walk struct {
	Table
	from, end      int64         // of the round under way; from is start: none is
	looked, before int           // rows seen in this round, and in the one before it
	removed        int           // rows of this round that went
	left           int           // rows that may be looked at in vain until the next tick
	rest           time.Duration // until the next round
}

const start = math.MinInt64

// turn looks at the next n rows. A round ends at what was the end when it began:
// it does not run after rows that are added meanwhile.
func (w *walk) turn(ctx context.Context, now int64, n int) (seen Seen, ended bool, err error) {
	if seen, err = w.Sweep(ctx, now, w.from, n); err != nil {
		return seen, false, err
	}
	if w.from == start {
		w.end = seen.End
	}
	w.from, w.looked, w.removed = seen.Last, w.looked+seen.Looked, w.removed+seen.Removed
	if seen.Looked < n || seen.Last >= w.end || w.Ordered && seen.Removed < seen.Looked {
		w.rest = 0
		if w.removed*worth < w.looked {
			w.rest = min(time.Duration(w.looked)*restRow, restMost)
		}
		w.from, w.before, w.looked, w.removed = start, w.looked, 0, 0
		return seen, true, nil
	}
	return seen, false, nil
}

// Sweeper sweeps some tables, one caller at a time.
type Sweeper struct {
	mu     sync.Mutex
	tables []*walk
	next   int // whose turn it is in Sweep
}

// New makes a sweeper.
func New(tables ...Table) *Sweeper {
	s := &Sweeper{}
	for _, t := range tables {
		s.tables = append(s.tables, &walk{Table: t, from: start, before: unknown})
	}
	return s
}

// Sweep looks at no more than limit rows. It returns when every table has been
// walked to its end once, however far the limit would go.
func (s *Sweeper) Sweep(ctx context.Context, now time.Time, limit int) (removed int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := map[*walk]bool{}
	for limit > 0 && len(ended) < len(s.tables) {
		w := s.tables[s.next]
		s.next = (s.next + 1) % len(s.tables)
		if ended[w] {
			continue
		}
		seen, end, err := w.turn(ctx, now.Unix(), min(limit, step))
		removed += seen.Removed
		if err != nil {
			return removed, err
		}
		if end {
			ended[w] = true
		}
		limit -= seen.Looked
	}
	return removed, ctx.Err()
}

// Tick does what is due in the time since the last one: each table's share of a
// round, unless it rests; rows that go, and those that they are worth, do not
// count. It returns when that is done, when ctx ends, or, so that its caller can do
// other things, after a hundred turns; then there is more. A table that fails is
// left to the next tick.
func (s *Sweeper) Tick(ctx context.Context, now func() time.Time, interval time.Duration) (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.tables {
		w.left = 0
		if w.rest -= interval; w.rest <= 0 {
			w.left = max(least, int(float64(w.before)*interval.Seconds()/round.Seconds()))
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; s.due(); n++ {
		if n == turns {
			return true, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-timer.C:
		}
		err = errors.Join(err, s.turn(ctx, now().Unix()))
		timer.Reset(pause)
	}
	return false, err
}

// due reports whether a table has rows left to look at.
func (s *Sweeper) due() bool {
	return slices.ContainsFunc(s.tables, func(w *walk) bool { return w.left > 0 })
}

// turn gives each table a turn that has rows left to look at.
func (s *Sweeper) turn(ctx context.Context, now int64) error {
	var errs []error
	for _, w := range s.tables {
		if w.left <= 0 {
			continue
		}
		seen, ended, err := w.turn(ctx, now, step)
		w.left -= max(0, seen.Looked-worth*seen.Removed)
		if ended || err != nil {
			w.left = 0
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
