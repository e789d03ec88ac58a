package postgres

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// unit is one caller's write: all of it happens or nothing.
type unit struct {
	ctx   context.Context
	steps []store.Step
	done  chan error

	plan planner
	turn turn
	bulk string      // the statement that does it with others, if there is one
	then []statement // what its statements have asked for; runs behind those of all
	way  way
	late error // it waited too long for others
	err  error // its own outcome, once the batch has been committed
}

// way is how a unit is done. One that fails is tried in the next way, so that
// it is known to be the one, and the others stay.
type way uint8

const (
	inBulk   way = iota // in one statement with others, if there is one
	inTrip              // by its own statements, in the round trip of all
	byItself            // behind the others, under a savepoint
)

// writers take the units that wait and do each batch in one transaction.
type writers struct {
	link    *link
	parts   *partitions
	feed    *feed
	replica *replica // nil: there is none
	queue   *queue[*unit]
	slow    *slowTexts
	// aside do what would keep others waiting; nil: these are they.
	aside *writers
	// lockTimeout is how long to wait for the feed, as the server writes it.
	lockTimeout string
	settle      func() // when nobody knows whether the feed was told
}

// newWriters makes writers with others aside, if those are given.
func newWriters(s *Store, link *link, aside *writers) *writers {
	w := &writers{link: link, parts: s.parts, feed: &s.feed, replica: s.replica, queue: newQueue[*unit](), slow: &slowTexts{}, aside: aside, settle: s.settle}
	if aside != nil {
		w.slow = aside.slow
	}
	w.lockTimeout = s.pool.Config().ConnConfig.RuntimeParams["lock_timeout"]
	return w
}

// write queues the steps and waits for what becomes of them.
func (s *Store) write(ctx context.Context, steps ...store.Step) error {
	if err := ctx.Err(); err != nil || len(steps) == 0 {
		return err
	}
	u := &unit{ctx: ctx, steps: steps, done: make(chan error, 1)}
	if err := s.writers.queue.put(ctx, u); err != nil {
		return err
	}
	select {
	case err := <-u.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loop is a worker. It ends when the queue is closed and empty.
func (w *writers) loop() {
	batch := make([]*unit, 0, maxBatch)
	for {
		if batch = w.queue.take(batch[:0]); len(batch) == 0 {
			return
		}
		w.commit(batch)
		clear(batch)
	}
}

const (
	// maxAttempts bounds how often a transaction is tried that meets others.
	maxAttempts = 10
	// maxRounds bounds how often the units that fail are told from the rest.
	// After that each is done by itself.
	maxRounds = 3
)

// commit does a batch in one transaction and answers its units: each with its
// own outcome, or all with the database's error. It is repeated only when
// nothing of it was kept.
func (w *writers) commit(batch []*unit) {
	for attempt, round := 1, 1; ; {
		if batch = w.prepare(batch); len(batch) == 0 {
			return
		}
		switch r := w.transact(batch); r.verdict {
		case committed:
			w.finish(batch, r.changes)
			return
		case divided:
			if round++; round > maxRounds {
				for _, u := range batch {
					u.way = byItself
				}
			}
		case again:
			if attempt++; attempt > maxAttempts {
				fail(batch, r.err)
				return
			}
			if code(r.err) == codeUndefinedTable {
				_ = w.parts.refresh(context.Background()) // or the next attempt says so
			}
			time.Sleep(rand.N(time.Duration(attempt) * 10 * time.Millisecond))
		case unknown:
			if len(r.changes) > 0 {
				w.settle()
			}
			fail(batch, r.err)
			return
		case refused:
			fail(batch, r.err)
			return
		}
	}
}

// finish answers the units of a batch that was committed.
func (w *writers) finish(batch []*unit, changes []model.Change) {
	if len(changes) > 0 {
		w.replica.wrote(changes[len(changes)-1].Seq)
		w.feed.publish(changes)
	}
	for _, u := range batch {
		if w.aside == nil {
			w.slow.remove(u.runs) // they went through
		}
		u.done <- u.err
	}
}

func fail(batch []*unit, err error) {
	for _, u := range batch {
		u.done <- unavailable(err)
	}
}

// prepare plans the units of a batch and puts them in order. It answers those
// that have been given up or cannot be done, and sends aside those that would
// keep the others waiting.
func (w *writers) prepare(batch []*unit) []*unit {
	rest := batch[:0]
	for _, u := range batch {
		err := u.ctx.Err()
		if err == nil {
			err = w.planUnit(u)
		}
		switch {
		case err != nil:
			u.done <- err
		case w.aside != nil && (u.late != nil || w.slow.any(u.runs)):
			u.late, u.way = nil, inBulk
			if err := w.aside.queue.offer(u.ctx, u); err != nil {
				u.done <- err
			}
		case u.late != nil:
			u.done <- unavailable(u.late)
		default:
			rest = append(rest, u)
		}
	}
	slices.SortStableFunc(rest, func(a, b *unit) int { return a.turn.compare(b.turn) })
	return rest
}

func (w *writers) planUnit(u *unit) error {
	u.plan, u.then, u.bulk = planner{parts: w.parts, list: make([]statement, 0, 4), trusts: u.way != byItself}, nil, ""
	for _, step := range u.steps {
		if err := u.plan.step(step); err != nil {
			return err
		}
	}
	if step, ok := u.steps[0].(store.InsertAccessToken); ok && len(u.steps) == 1 {
		u.bulk = w.parts.sql(accessTokens, step.Token.ID, insertTokens)
	}
	u.turn = u.plan.turn()
	return nil
}

// runs reports whether a statement is one of the unit's.
func (u *unit) runs(text string) bool {
	is := func(s statement) bool { return s.sql == text }
	return u.bulk == text || slices.ContainsFunc(u.plan.list, is) || slices.ContainsFunc(u.then, is)
}

// turn is where a unit stands in its batch. Transactions that lock rows in one
// order wait for one another; in several, for the server to end one of them.
// Those that lock a row which many share come first, in the order of these
// rows; the others in that of the rows which they begin with.
type turn struct{ shared, first int64 }

func (t turn) compare(o turn) int {
	switch {
	case t.shared == o.shared:
		return cmp.Compare(t.first, o.first)
	case t.shared == 0:
		return 1
	case o.shared == 0:
		return -1
	}
	return cmp.Compare(t.shared, o.shared)
}
