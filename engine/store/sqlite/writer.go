package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// maxBatch bounds the units of one transaction, and with it how long the
	// first of them waits for its answer.
	maxBatch = 256
	// maxPreferred is how many of them go first: the others are never shut out.
	maxPreferred = maxBatch / 4 * 3
	// maxQueue bounds the units that wait, those that go first apart from the
	// others. Who finds the queue full waits for a place in it for queueTime.
	maxQueue  = 1024
	queueTime = time.Second
	// commitDelay is how long a group may be kept open for more to join it.
	commitDelay = 100 * time.Microsecond
)

// unit is one caller's write: all of it happens or nothing.
type unit struct {
	ctx   context.Context
	steps []store.Step
	// run replaces steps for the store's own writes.
	run func(*tx) error
	// savepoint: a part may fail after another has changed something.
	savepoint bool

	err  error
	done chan error
}

var units = sync.Pool{New: func() any { return &unit{done: make(chan error, 1)} }}

// writer owns the connection that writes.
type writer struct {
	dsn  func() string
	feed *feed

	mu           sync.RWMutex // held for reading while sending to a queue
	closed       bool
	first, queue chan *unit    // first: those that the caller prefers
	closing      chan struct{} // closed when nothing is queued any more
	ended        chan struct{}

	// What follows belongs to the writer's goroutine.
	conn     *conn
	last     int // the size of the last batch
	closeErr error
	wait     time.Duration // for another process's write
}

func startWriter(opts Options, f *feed) (*writer, error) {
	w := &writer{
		feed:    f,
		first:   make(chan *unit, maxQueue),
		queue:   make(chan *unit, maxQueue),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
		wait:    opts.BusyTimeout,
		dsn: func() string {
			pragmas := []string{
				busyTimeout(min(gap, opts.BusyTimeout)), "synchronous(FULL)", "cache_size(-16000)", "temp_store(MEMORY)",
				"wal_autocheckpoint(4000)", "journal_size_limit(67108864)",
			}
			if opts.writerPragmas != nil {
				pragmas = append(pragmas, opts.writerPragmas()...)
			}
			return dsn(opts.Path, pragmas...)
		},
	}
	var err error
	if w.conn, err = open(w.dsn()); err != nil {
		return nil, err
	}
	if !opts.AsIs {
		if err := w.conn.tryWrite(); err != nil && !isBusy(err) { // else every write would fail, one by one
			return nil, errors.Join(fmt.Errorf("%s: %s: %w: %w", reason(err), Advice(err), store.ErrUnavailable, err), w.conn.close())
		}
	}
	go w.loop()
	return w, nil
}

// Write applies the steps in one transaction.
func (s *Store) Write(ctx context.Context, steps ...store.Step) error {
	if len(steps) == 0 {
		return ctx.Err()
	}
	return s.writer.do(ctx, steps, nil)
}

// do queues a unit and waits for its answer. It is given either steps or a
// function; what the function sets may be read only when do returns nil.
func (w *writer) do(ctx context.Context, steps []store.Step, run func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u := units.Get().(*unit)
	u.ctx, u.steps, u.run, u.savepoint = ctx, steps, run, run != nil || needsSavepoint(steps)
	if err := w.enqueue(u); err != nil {
		return err
	}
	select {
	case err := <-u.done:
		done := u.done
		*u = unit{done: done}
		units.Put(u)
		return err
	case <-ctx.Done():
		return ctx.Err() // the writer still holds the unit
	}
}

func (w *writer) enqueue(u *unit) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errClosed
	}
	queue := w.queue
	if store.Preferred(u.ctx) {
		queue = w.first
	}
	select {
	case queue <- u:
		return nil
	default:
	}
	timer := time.NewTimer(queueTime)
	defer timer.Stop()
	select {
	case queue <- u:
		return nil
	case <-timer.C:
		return errFull
	case <-u.ctx.Done():
		return u.ctx.Err()
	}
}

// close answers what is queued and closes the connection.
func (w *writer) close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.closing)
	}
	w.mu.Unlock()
	<-w.ended
	return w.closeErr
}

func (w *writer) loop() {
	defer close(w.ended)
	batch := make([]*unit, 0, maxBatch)
	for {
		if batch = w.gather(w.await(batch[:0])); len(batch) == 0 {
			break
		}
		w.commit(batch)
		clear(batch)
	}
	w.closeErr = w.shutdown()
}

// await waits for a unit, or for there to be none any more.
func (w *writer) await(batch []*unit) []*unit {
	select {
	case u := <-w.first:
		return append(batch, u)
	case u := <-w.queue:
		return append(batch, u)
	case <-w.closing:
		return batch
	}
}

// gather takes what is in the queue. Those who were answered a moment ago are
// about to write again: while it pays, they are let run before the commit, so
// that one fsync serves them all. When fewer came than the last time, they are
// given a moment more; whoever writes alone never waits.
func (w *writer) gather(batch []*unit) []*unit {
	batch = w.take(batch)
	if len(batch) < w.last {
		time.Sleep(commitDelay)
		batch = w.take(batch)
	}
	w.last = len(batch)
	return batch
}

// take takes what is in the queues as long as yielding brings more.
func (w *writer) take(batch []*unit) []*unit {
	for before := -1; before < len(batch); {
		before = len(batch)
		runtime.Gosched()
		batch = drain(batch, w.first, maxPreferred)
		batch = drain(batch, w.queue, maxBatch)
	}
	return batch
}

// drain takes what is in a queue, until the batch has so many units.
func drain(batch []*unit, queue chan *unit, most int) []*unit {
	for len(batch) < most {
		select {
		case u := <-queue:
			batch = append(batch, u)
		default:
			return batch
		}
	}
	return batch
}

// shutdown leaves everything in the database file itself, unless another
// process is in the way.
func (w *writer) shutdown() error {
	if w.conn == nil {
		return nil
	}
	if _, err := w.conn.exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil && !isBusy(err) {
		return errors.Join(err, w.conn.close())
	}
	return w.conn.close()
}

// commit runs a batch in one transaction and answers its units: each with its
// own error, or all with the database's.
func (w *writer) commit(batch []*unit) {
	t := tx{now: w.feed.now().UnixMilli()}
	err := w.transact(&t, batch)
	if err != nil {
		w.recover()
	} else {
		w.feed.publish(t.changes)
	}
	for _, u := range batch {
		if err != nil {
			u.done <- err
		} else {
			u.done <- u.err
		}
	}
}

// transact returns an error when the whole batch failed.
func (w *writer) transact(t *tx, batch []*unit) error {
	if w.conn == nil {
		c, err := open(w.dsn())
		if err != nil {
			return unavailable(err)
		}
		w.conn = c
	}
	t.conn = w.conn
	if err := w.begin(t); err != nil {
		return unavailable(err)
	}
	for _, u := range batch {
		if u.err = u.ctx.Err(); u.err != nil {
			continue // given up before it was started
		}
		if u.err = t.unit(u); u.err != nil && errors.Is(u.err, store.ErrUnavailable) {
			return u.err
		}
	}
	if _, err := t.exec("COMMIT"); err != nil {
		return unavailable(err)
	}
	return nil
}

// recover leaves the connection without a transaction, or closes it, so that
// the next batch starts clean.
func (w *writer) recover() {
	if w.conn == nil {
		return
	}
	if _, err := w.conn.exec("ROLLBACK"); err != nil {
		_ = w.conn.close() // it has failed already
		w.conn = nil
	}
}

// tx is the transaction of a batch.
type tx struct {
	*conn
	now     int64 // Unix milliseconds, for the feed
	changes []change
}

// unit runs one unit. Its error is ErrUnavailable when the transaction cannot
// go on; with any other, what the unit had changed is undone.
func (t *tx) unit(u *unit) error {
	if u.savepoint {
		if _, err := t.exec("SAVEPOINT unit"); err != nil {
			return unavailable(err)
		}
	}
	changes := len(t.changes)
	err := t.runUnit(u)
	if err != nil {
		t.changes = t.changes[:changes]
		if !isOutcome(err) {
			if !isFault(err) {
				return unavailable(err)
			}
			err = fmt.Errorf("malformed write: %w", err)
		}
	}
	if !u.savepoint {
		return err
	}
	if err != nil {
		if _, e := t.exec("ROLLBACK TO unit"); e != nil {
			return unavailable(e)
		}
	}
	if _, e := t.exec("RELEASE unit"); e != nil {
		return unavailable(e)
	}
	return err
}

func (t *tx) runUnit(u *unit) error {
	if u.run != nil {
		return u.run(t)
	}
	for _, step := range u.steps {
		if err := t.step(step); err != nil {
			return err
		}
	}
	return nil
}

// begin begins a transaction that writes, after another process's write.
func (w *writer) begin(t *tx) error {
	return beginImmediate(func(query string) error { _, err := t.exec(query); return err }, w.wait)
}

// beginImmediate takes the write lock, and asks for it again and again for so long:
// see gap.
func beginImmediate(exec func(query string) error, wait time.Duration) error {
	for deadline := time.Now().Add(wait); ; {
		if err := exec("BEGIN IMMEDIATE"); !isBusy(err) || time.Now().After(deadline) {
			return err
		}
	}
}
