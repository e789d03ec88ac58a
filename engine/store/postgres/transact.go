package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// verdict is what became of a transaction.
type verdict uint8

const (
	committed verdict = iota // its units have their outcomes
	divided                  // nothing was kept: some units fail among the others, and are marked
	again                    // nothing was kept: it may do better when repeated
	refused                  // nothing was kept, and a repeat would not help
	unknown                  // nobody knows whether it was committed
)

// result is a verdict with what the feed was told, if committed, or may have been,
// if that is unknown, and the error.
type result struct {
	verdict verdict
	changes []model.Change
	err     error
}

var (
	errApart      = errors.New("units of the batch fail")
	errRolledBack = unavailableText("the database rolled back what was to be committed")
)

// lateError says that a statement waited too long: for its table, which all
// that run it would wait for too, or for a row, which is one unit's affair.
type lateError struct {
	text string
	unit *unit // whose row it was; nil: it was the table
	err  error
}

func (l *lateError) Error() string { return l.err.Error() }
func (l *lateError) Unwrap() error { return l.err }

// waited makes a lateError of an error that says so. The server names the row
// that was waited for, but not to those who stand behind another; then all who
// run the statement are taken to be late, which costs them time and no more.
func waited(u *unit, text string, err error) error {
	var unprepared pgx.ErrPreprocessingBatch
	switch {
	case !isSlow(err) || errors.As(err, new(*lateError)):
		return err
	case errors.As(err, &unprepared): // and none was run
		return &lateError{text: unprepared.SQL(), err: err}
	case u != nil && ofRow(err):
		return &lateError{unit: u, err: err}
	}
	return &lateError{text: text, err: err}
}

// transact does a batch in one transaction.
func (w *writers) transact(batch []*unit) result {
	ctx, cancel := context.WithTimeout(context.Background(), 2*tripTimeout)
	defer cancel()
	conn, err := w.link.acquire(ctx)
	if err != nil {
		return result{verdict: refused, err: err}
	}
	defer conn.Release() // one in a transaction is closed
	t := &tx{ctx: ctx, conn: conn.Conn()}
	if err = t.do(batch, w); err == nil {
		if err = t.commit(w.feed, w.lockTimeout); err == nil {
			return result{changes: t.changes}
		}
		if isLost(err) && !errors.Is(err, errRolledBack) {
			return result{verdict: unknown, changes: t.changes, err: errors.Join(store.ErrUnknown, err)}
		}
	}
	t.rollback()
	closeIfReadOnly(ctx, conn.Conn(), err)
	return w.undone(batch, err)
}

// undone is the result of a transaction of which nothing was kept.
func (w *writers) undone(batch []*unit, err error) result {
	var late *lateError
	switch {
	case errors.As(err, &late) && w.markLate(batch, late), errors.Is(err, errApart):
		return result{verdict: divided}
	case errors.Is(err, errRolledBack):
		return result{verdict: refused, err: err}
	case isTransient(err), isLost(err), code(err) == codeReadOnly:
		return result{verdict: again, err: err}
	}
	return result{verdict: refused, err: err}
}

// markLate marks the units that wait for what one of them waited for too long,
// and reports whether there are any.
func (w *writers) markLate(batch []*unit, late *lateError) (marked bool) {
	for _, u := range batch {
		if u == late.unit || late.unit == nil && u.runs(late.text) {
			u.late, marked = late, true
		}
	}
	if marked && late.unit == nil {
		w.slow.add(late.text)
	}
	return marked
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

// do does the units of a batch, each in its way.
func (t *tx) do(batch []*unit, w *writers) error {
	bulks, trip, rest := split(batch)
	if err := t.together(bulks, trip); err != nil {
		return err
	}
	apart := false
	for _, u := range trip {
		if w.aside != nil && len(u.then) > 0 && w.slow.any(u.runs) { // it has not waited yet
			u.late, apart = errApart, true
		}
	}
	if apart {
		return errApart
	}
	if err := t.after(trip); err != nil {
		return err
	}
	for _, u := range rest {
		if err := t.alone(u); err != nil {
			return err
		}
	}
	return nil
}

// together sends all statements of all units in one round trip. What they
// return is looked at before the commit.
func (t *tx) together(bulks []*bulk, units []*unit) error {
	var b pgx.Batch
	b.Queue(begin)
	for _, bulk := range bulks {
		bulk.queue(&b)
	}
	for _, u := range units {
		for i := range u.plan.list {
			b.Queue(u.plan.list[i].sql, u.plan.list[i].args...)
		}
	}
	results := t.conn.SendBatch(t.ctx, &b)
	err := t.read(results, bulks, units)
	if e := results.Close(); err == nil {
		err = e
	}
	return err
}

// read reads the results of together.
func (t *tx) read(results pgx.BatchResults, bulks []*bulk, units []*unit) error {
	if _, err := results.Exec(); err != nil {
		return waited(nil, begin, err)
	}
	for _, bulk := range bulks {
		if err := bulk.read(results); err != nil {
			return err
		}
	}
	fails := false
	for _, u := range units {
		if err := t.readUnit(results, u); err != nil {
			return err
		}
		fails = fails || u.way == byItself
	}
	if fails {
		return errApart
	}
	return nil
}

// readUnit reads the results of a unit's statements. One that fails after it has
// changed something must be done by itself, and one whose statements depend on
// their order.
func (t *tx) readUnit(results pgx.BatchResults, u *unit) error {
	u.err = nil
	for i := range u.plan.list {
		s := &u.plan.list[i]
		found, err := t.readStatement(results, s)
		if err != nil && isOutcome(outcome(err)) {
			u.way = byItself
			return errApart
		}
		if err != nil {
			return waited(u, s.sql, err)
		}
		if !found && u.err == nil {
			u.err = s.missing
		}
	}
	u.then, t.then = t.then, nil
	switch {
	case u.err != nil && len(u.plan.list) > 1, u.plan.ends(u.then):
		u.way = byItself
	case u.err == nil:
		t.changes = append(t.changes, u.plan.tells...)
	}
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

// after runs the statements that units have asked for.
func (t *tx) after(units []*unit) error {
	var b pgx.Batch
	for _, u := range units {
		for i := range u.then {
			b.Queue(u.then[i].sql, u.then[i].args...)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	results := t.conn.SendBatch(t.ctx, &b)
	for _, u := range units {
		for i := range u.then {
			if _, err := t.readStatement(results, &u.then[i]); err != nil {
				_ = results.Close() // it says the same
				return waited(u, u.then[i].sql, err)
			}
		}
	}
	return results.Close()
}

// commit tells the feed and commits. The feed is one row, for which all that
// tell something wait longer than for others.
func (t *tx) commit(f *feed, lockTimeout string) error {
	var b pgx.Batch
	tells := len(t.changes) > 0
	if tells {
		b.Queue(`SELECT set_config('lock_timeout', $1, true)`, lockTimeout)
	}
	f.queue(&b, t.changes)
	b.Queue(`COMMIT`)
	results := t.conn.SendBatch(t.ctx, &b)
	var err error
	if tells {
		_, err = results.Exec()
	}
	if err == nil {
		err = f.number(results, t.changes)
	}
	if err == nil {
		var tag pgconn.CommandTag
		if tag, err = results.Exec(); err == nil && tag.String() != `COMMIT` { // PostgreSQL, COMMIT: it was aborted
			err = errRolledBack
		}
	}
	if e := results.Close(); err == nil {
		err = e
	}
	return err
}

// rollback ends the transaction, if there is one. A connection on which that
// fails is closed.
func (t *tx) rollback() {
	if t.conn.PgConn().TxStatus() == 'I' {
		return
	}
	if err := t.plainly(`ROLLBACK`); err != nil {
		_ = t.conn.Close(t.ctx) // it has failed already
	}
}
