package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// unit is one caller's write: all of it happens or nothing.
type unit struct {
	ctx   context.Context
	steps []store.Step
	done  chan error

	plan planner
	err  error // its own outcome, once the batch has been committed
}

// writers take the units that wait and do each batch in one transaction.
type writers struct {
	link    *link
	parts   *partitions
	feed    *feed
	replica *replica // nil: there is none
	queue   *queue[*unit]
}

// Write applies the steps in one transaction.
func (s *Store) Write(ctx context.Context, steps ...store.Step) error {
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

// maxAttempts bounds how often a transaction is tried that meets others.
const maxAttempts = 10

// commit does a batch in one transaction and answers its units: each with its
// own outcome, or all with the database's error.
func (w *writers) commit(batch []*unit) {
	batch = w.prepare(batch)
	if len(batch) == 0 {
		return
	}
	var err error
	for attempt, careful := 0, false; ; {
		var changes []model.Change
		changes, err = w.transact(batch, careful)
		if err == nil {
			if len(changes) > 0 {
				w.replica.wrote(changes[len(changes)-1].Seq)
				w.feed.publish(changes)
			}
			break
		}
		if errors.Is(err, errCareful) {
			careful = true
			continue
		}
		if attempt++; !isTransient(err) && !errors.Is(err, errBroken) || attempt == maxAttempts {
			err = unavailable(err)
			break
		}
		if code(err) == codeUndefinedTable {
			_ = w.parts.refresh(context.Background()) // or the next attempt says so
		}
		if batch = w.prepare(batch); len(batch) == 0 {
			return
		}
		careful = careful || attempt > 1
		time.Sleep(rand.N(time.Duration(attempt) * 10 * time.Millisecond))
	}
	for _, u := range batch {
		if err != nil {
			u.done <- err
		} else {
			u.done <- u.err
		}
	}
}

// prepare plans the units of a batch, and answers those that have been given up
// or cannot be done.
func (w *writers) prepare(batch []*unit) []*unit {
	rest := batch[:0]
	for _, u := range batch {
		err := u.ctx.Err()
		if err == nil {
			err = w.planUnit(u)
		}
		if err != nil {
			u.done <- err
			continue
		}
		rest = append(rest, u)
	}
	return rest
}

func (w *writers) planUnit(u *unit) error {
	u.plan = planner{parts: w.parts, list: make([]statement, 0, 4)}
	for _, step := range u.steps {
		if err := u.plan.step(step); err != nil {
			return err
		}
	}
	return nil
}

// errCareful says that a batch must be done unit by unit: one of its units
// fails after it has changed something.
var errCareful = errors.New("a unit of the batch fails")

// errBroken says that the connection broke before the commit was asked for:
// nothing of the batch was kept.
var errBroken = errors.New("the connection broke")

var errRolledBack = unavailableText("the database rolled back what was to be committed")

// transact does a batch in one transaction, and returns what the feed was told.
// The units' own errors count when it returns nil.
func (w *writers) transact(batch []*unit, careful bool) ([]model.Change, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*tripTimeout)
	defer cancel()
	conn, err := w.link.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release() // one in a transaction is closed
	t := &tx{ctx: ctx, conn: conn.Conn()}
	if careful {
		err = t.oneByOne(batch)
	} else {
		err = t.together(w.inBulk(batch))
	}
	if err != nil {
		t.rollback()
		if code(err) == codeReadOnly { // it was the primary: the next connection looks for the one that is
			_ = conn.Conn().Close(ctx)
		}
		if (isLost(err) || code(err) == codeReadOnly) && !errors.Is(err, errCareful) {
			err = fmt.Errorf("%w: %w", errBroken, err)
		}
		return nil, err
	}
	return t.commit(w.feed)
}

// tx is the transaction of a batch.
type tx struct {
	ctx  context.Context
	conn *pgx.Conn
	outcomes
}

// begin begins one, whatever the database's default: what plans promise of rows
// that others change meanwhile is so at this level.
const begin = `BEGIN ISOLATION LEVEL READ COMMITTED`

// together sends all statements of all units in one round trip. What they
// return is looked at before the commit.
func (t *tx) together(bulks []*bulk, batch []*unit) error {
	var b pgx.Batch
	b.Queue(begin)
	for _, bulk := range bulks {
		bulk.queue(&b)
	}
	for _, u := range batch {
		u.queue(&b)
	}
	results := t.conn.SendBatch(t.ctx, &b)
	_, err := results.Exec()
	for i := 0; i < len(bulks) && err == nil; i++ {
		err = bulks[i].read(results)
	}
	for i := 0; i < len(batch) && err == nil; i++ {
		err = t.read(results, batch[i])
	}
	if e := results.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return t.after()
}

// read reads the results of a unit's statements.
func (t *tx) read(results pgx.BatchResults, u *unit) error {
	u.err = nil
	waiting := len(t.then)
	for i := range u.plan.list {
		s := &u.plan.list[i]
		found, err := t.readStatement(results, s)
		switch {
		case err != nil && (isOutcome(outcome(err)) || isSlow(err)):
			return errCareful
		case err != nil:
			return err
		case found || s.missing == nil:
		case len(u.plan.list) > 1:
			return errCareful
		default: // it has changed nothing
			u.err = s.missing
			return nil
		}
	}
	if u.plan.ends(t.then[waiting:]) {
		return errCareful
	}
	t.changes = append(t.changes, u.plan.tells...)
	return nil
}

// readStatement reads a result, and reports whether the statement touched a row.
func (t *tx) readStatement(results pgx.BatchResults, s *statement) (found bool, err error) {
	if s.row == nil {
		tag, err := results.Exec()
		return tag.RowsAffected() > 0, err
	}
	err = collect(results, func(r row) {
		found = true
		s.row(&t.outcomes, r)
	})
	return found, err
}

// after runs the statements that waited for answers.
func (t *tx) after() error {
	if len(t.then) == 0 {
		return nil
	}
	list := t.then
	t.then = nil
	var b pgx.Batch
	for i := range list {
		b.Queue(list[i].sql, list[i].args...)
	}
	results := t.conn.SendBatch(t.ctx, &b)
	for i := range list {
		if _, err := t.readStatement(results, &list[i]); err != nil {
			_ = results.Close() // it says the same
			return err
		}
	}
	return results.Close()
}

func (u *unit) queue(b *pgx.Batch) {
	for i := range u.plan.list {
		b.Queue(u.plan.list[i].sql, u.plan.list[i].args...)
	}
}

// rollback ends the transaction. A connection on which that fails is closed.
func (t *tx) rollback() {
	if err := t.plainly(`ROLLBACK`); err != nil {
		_ = t.conn.Close(t.ctx) // it has failed already
	}
}

// commit tells the feed and commits.
func (t *tx) commit(f *feed) ([]model.Change, error) {
	var b pgx.Batch
	f.queue(&b, t.changes)
	b.Queue(`COMMIT`)
	results := t.conn.SendBatch(t.ctx, &b)
	err := f.number(results, t.changes)
	if err == nil {
		var tag pgconn.CommandTag
		if tag, err = results.Exec(); err == nil && tag.String() != `COMMIT` { // PostgreSQL, COMMIT: it was aborted
			err = errRolledBack
		}
	}
	if e := results.Close(); err == nil {
		err = e
	}
	if err == nil {
		return t.changes, nil
	}
	if isLost(err) && !errors.Is(err, errRolledBack) {
		return nil, errors.Join(store.ErrUnknown, err)
	}
	t.rollback()
	return nil, err
}
