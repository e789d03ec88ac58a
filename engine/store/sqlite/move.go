package sqlite

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
)

const (
	// fewChanges is how many changes are left for the read-only moment: it
	// begins when a pass has found no more than these.
	fewChanges = 500
	// maxPasses bounds how often the changes of the pass before are followed.
	maxPasses = 50
	// lockWait bounds how long the move tries to become the one who writes.
	lockWait = 30 * time.Second
	// lockPoll is the time between two tries: others who write leave little
	// time between their transactions.
	lockPoll = time.Millisecond
)

var (
	// ErrMoved: the rows are in another store, and this one takes no more.
	ErrMoved = errors.New("the database has moved to another store")
	// ErrNotMoved: the other store is not fit to take over. This one goes on.
	ErrNotMoved = errors.New("not moved")
)

// MoveOptions say how a store is moved.
type MoveOptions struct {
	// To is the store that takes over. Nobody else may use it meanwhile, and it
	// must not sweep by itself.
	To store.Store
	// ReadOnly bounds how long nobody can write to this store before it is given
	// up or has moved; default 30 s.
	ReadOnly time.Duration
	// Report is told of each stage that has ended, and of how many rows it was
	// about; nil: nobody.
	Report func(stage MoveStage, rows int64)
}

// MoveStage is a stage of a move that has ended.
type MoveStage string

// The stages, in their order.
const (
	MoveJournal MoveStage = "journal" // changes are noted from now on
	MoveCopy    MoveStage = "copy"    // what was there is copied
	MoveFollow  MoveStage = "follow"  // what changed meanwhile is; comes more than once
	MoveCompare MoveStage = "compare" // both stores had the same at one moment
	MoveHold    MoveStage = "hold"    // nobody else writes from now on
	MoveRefuse  MoveStage = "refuse"  // this store takes nothing any more
	MoveName    MoveStage = "name"    // the other store serves
)

// Moved is what a move was.
type Moved struct {
	Rows     int64         // how many there were when the stores were compared
	Passes   int           // how often changes were followed
	ReadOnly time.Duration // from when nobody could write until the other store was whole
}

// Move moves everything to another store while others go on writing to this
// one, but for a moment at the end. When it returns nil the other store has all
// that was acknowledged, and this one refuses every write with ErrUnavailable,
// in every process, for good; reads go on. After ErrNotMoved or any other error,
// or when it was killed, this store serves as before, and Move can be called
// again: what is left in the other store is removed first. Only when all was
// over but the other store could not be told is this one refusing already;
// calling Move again then ends it.
//
// Every row of the other store is compared with this one's once, and what changes
// after that is read back as it is taken over. What somebody else does to other
// rows there in between is not seen.
func (s *Store) Move(ctx context.Context, o MoveOptions) (moved Moved, err error) {
	if o.ReadOnly <= 0 {
		o.ReadOnly = 30 * time.Second
	}
	if o.Report == nil {
		o.Report = func(MoveStage, int64) {}
	}
	c, err := open(dsn(s.opts.Path, busyTimeout(0), "synchronous(FULL)", "cache_size(-16000)"))
	if err != nil {
		return moved, unavailable(err)
	}
	defer func() { err = errors.Join(err, c.close()) }()
	m := &mover{MoveOptions: o, from: s, conn: c, owner: rand.Text(), seen: 1}
	if m.load, err = archive.Load(ctx, m.To); err != nil {
		return moved, err
	}
	defer m.load.Close()
	over, err := c.hasMoved()
	if err != nil {
		return moved, err
	}
	if found := m.load.Found(); len(found) > 0 && over {
		return moved, ErrMoved
	} else if len(found) > 0 {
		return moved, fmt.Errorf("%w: %w: it has the service %s", ErrNotMoved, archive.ErrTaken, found[0].Issuer)
	}
	if over {
		return m.finish(ctx)
	}
	return m.move(ctx)
}

// mover is one move. It is for one goroutine.
type mover struct {
	MoveOptions
	from *Store
	conn *conn
	load *archive.Loading
	// owner is who this is in the journal, seen the last entry that the other
	// store knows.
	owner string
	seen  int64
}

// move does it, or leaves things here as they were.
func (m *mover) move(ctx context.Context) (moved Moved, err error) {
	if err := m.load.Clear(ctx); err != nil {
		return moved, err
	}
	if err := m.write(ctx, func() error { return m.conn.startJournal(m.owner) }); err != nil {
		return moved, err
	}
	m.Report(MoveJournal, 0)
	moved, err = m.follow(ctx)
	if err == nil {
		return moved, nil
	}
	if over, e := m.conn.hasMoved(); over || e != nil {
		return moved, errors.Join(err, e)
	}
	return moved, errors.Join(err, m.write(context.Background(), m.abandon))
}

// abandon drops the journal, unless it is another move's by now.
func (m *mover) abandon() error {
	owner, _, err := m.conn.journal()
	if err != nil || owner != m.owner {
		return err
	}
	return m.conn.dropJournal()
}

// follow copies all there is, compares it, and copies what has changed meanwhile,
// until little is left for the moment in which nobody writes.
func (m *mover) follow(ctx context.Context) (moved Moved, err error) {
	if err := m.copy(ctx); err != nil {
		return moved, err
	}
	m.Report(MoveCopy, m.load.Rows())
	if err := m.verify(ctx, &moved); err != nil {
		return moved, err
	}
	for changes := int64(fewChanges + 1); changes > fewChanges; {
		if moved.Passes++; moved.Passes > maxPasses {
			return moved, fmt.Errorf("%w: rows change faster than the other store takes them; try again when there is less to do", ErrNotMoved)
		}
		err := m.conn.reading(func(*conn) error {
			changes, err = m.pass(ctx)
			return err
		})
		if err != nil {
			return moved, err
		}
		m.Report(MoveFollow, changes)
	}
	return m.handOver(ctx, moved)
}

// copy copies the rows of one moment, but those that have expired.
func (m *mover) copy(ctx context.Context) error {
	now := m.from.opts.Now().Unix()
	err := m.from.Rows(ctx, 0, func(row store.Row) error {
		if archive.Expired(row, now) {
			return nil
		}
		return m.load.Put(ctx, row)
	})
	if err != nil {
		return err
	}
	return m.load.Flush(ctx)
}

// handOver is the moment in which nobody writes: what is left is copied, and this
// store refuses from then on. It takes as long as the last changes do, however
// many rows there are.
func (m *mover) handOver(ctx context.Context, moved Moved) (Moved, error) {
	var began time.Time
	err := m.write(ctx, func() error {
		began = m.from.opts.Now()
		m.Report(MoveHold, 0)
		tooLong := fmt.Errorf("%w: it was not over within %s", ErrNotMoved, m.ReadOnly)
		ctx, cancel := context.WithTimeoutCause(ctx, m.ReadOnly, tooLong)
		defer cancel()
		err := m.last(ctx)
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return err
	})
	if err != nil {
		return moved, err
	}
	m.Report(MoveRefuse, 0)
	if err := m.name(ctx); err != nil {
		return moved, err
	}
	moved.ReadOnly = m.from.opts.Now().Sub(began)
	return moved, nil
}

// last is what is done while nobody else writes.
func (m *mover) last(ctx context.Context) error {
	if _, err := m.pass(ctx); err != nil {
		return err
	}
	if err := m.putServices(ctx); err != nil {
		return err
	}
	if err := m.conn.dropJournal(); err != nil {
		return err
	}
	return m.conn.refuseWrites()
}

// putServices puts what is to be named, which may be there. It fails when others
// have loaded since: what was compared is then not what is there.
func (m *mover) putServices(ctx context.Context) error {
	services := tableOf(store.ServiceRow{})
	err := m.conn.query(services.each(func(row store.Row) error { return m.load.Put(ctx, row) }), services.list, int64(0))
	if err != nil {
		return err
	}
	return m.load.Flush(ctx)
}

// name lets the services of the other store be found. There is no way back: it is
// not given up for who calls.
func (m *mover) name(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.ReadOnly)
	defer cancel()
	if err := m.load.Finish(ctx); err != nil {
		return fmt.Errorf("everything is in the other store, but it could not be told so; move again to do that: %w", err)
	}
	m.Report(MoveName, 0)
	return nil
}

// finish ends a move of which only the last was missing. A store that has not all
// is not filled again: nobody could write meanwhile, and it may not be the one
// that this one has moved to. TakeBack comes before another move.
func (m *mover) finish(ctx context.Context) (moved Moved, err error) {
	began := m.from.opts.Now()
	err = m.conn.reading(func(*conn) error {
		moved.Rows, err = m.compare(ctx)
		return err
	})
	if err != nil {
		return moved, fmt.Errorf("%w, and not, or not whole, to this one: %w", ErrMoved, err)
	}
	if err := m.putServices(ctx); err != nil {
		return moved, err
	}
	if err := m.name(ctx); err != nil {
		return moved, err
	}
	moved.ReadOnly = m.from.opts.Now().Sub(began)
	return moved, nil
}

// write runs f in a transaction that writes, as soon as others let it.
func (m *mover) write(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	if err := m.lock(ctx); err != nil {
		return err
	}
	err := f()
	if err == nil {
		_, err = m.conn.exec("COMMIT")
	}
	if err == nil {
		return nil
	}
	_, _ = m.conn.exec("ROLLBACK") // after some errors there is nothing to roll back
	if code(err) != 0 {
		return unavailable(err)
	}
	return err
}

// lock begins a transaction that writes. SQLite gives nobody a turn: who comes
// at the right moment has it.
func (m *mover) lock(ctx context.Context) error {
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		_, err := m.conn.exec("BEGIN IMMEDIATE")
		if err == nil || !isBusy(err) {
			return err
		}
		select {
		case <-m.from.closing:
			return errClosed
		case <-ctx.Done():
			return unavailable(err)
		case <-ticker.C:
		}
	}
}
