package sqlite

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/subscribers"
)

type change = model.Change

// followLimit bounds how many changes of other processes are read at once.
const followLimit = 1000

// feed hands the rows of the change feed to this process's subscribers.
//
// SQLite has one writer at a time, so the sequence has no gaps and nothing is
// committed late under a lower number. Changes of this process are given at
// once; the follower gives those of others, and may repeat our own.
type feed struct {
	now func() time.Time

	mu   sync.Mutex // held while subscribers are called
	last int64      // everything up to here has been given

	subs *subscribers.List
}

// tell adds a row to the feed.
func (t *tx) tell(c model.Change) error {
	c.At = t.now
	result, err := t.exec(`INSERT INTO changes (service, kind, ref, subject, at, ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)`,
		int64(c.Service), int64(c.Kind), int64(c.Ref), c.Subject, c.At/1000, c.At%1000)
	if err != nil {
		return err
	}
	if c.Seq, err = result.LastInsertId(); err != nil {
		return err
	}
	t.changes = append(t.changes, c)
	return nil
}

// Subscribe calls f for every change from now on, until cancelled.
func (s *Store) Subscribe(f func(model.Change)) (cancel func()) { return s.feed.subs.Add(f) }

const selectSequence = `SELECT seq FROM sqlite_sequence WHERE name = 'changes'`

// start begins after the rows that are there.
func (f *feed) start(ctx context.Context, reads *readers) error {
	return reads.query(ctx, func(r row) error {
		f.last = r.int(0)
		return nil
	}, selectSequence)
}

// publish gives the changes that this process has just committed.
func (f *feed) publish(changes []model.Change) {
	if len(changes) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if changes[0].Seq == f.last+1 {
		f.last = changes[len(changes)-1].Seq
	}
	f.subs.Tell(changes)
}

// follow gives the changes of other processes until the store closes.
func (s *Store) follow() {
	ticker := time.NewTicker(s.opts.FollowInterval)
	defer ticker.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-ticker.C:
		}
		for more := true; more; {
			more = s.catchUp()
		}
	}
}

// catchUp gives the rows that follow the last, and reports whether there may
// be more. What could not be read now will be at the next tick.
func (s *Store) catchUp() (more bool) {
	f := &s.feed
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	changes, err := s.changesAfter(last)
	if err != nil || len(changes) == 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(changes) > 0 && changes[0].Seq <= f.last {
		changes = changes[1:] // given by publish in the meantime
	}
	if len(changes) > 0 {
		f.last = changes[len(changes)-1].Seq
		f.subs.Tell(changes)
	}
	return len(changes) == followLimit
}

func (s *Store) changesAfter(seq int64) (changes []model.Change, err error) {
	err = s.reads.query(context.Background(), func(r row) error {
		changes = append(changes, r.change())
		return nil
	}, selectChanges, seq, int64(followLimit))
	return changes, err
}

// selectChanges reads the rows of the feed behind number ?1, ?2 at most.
const selectChanges = `SELECT seq, service, kind, ref, subject, at * 1000 + ms AS at FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2`

func (r row) change() model.Change {
	return model.Change{
		Seq: r.int(0), Service: model.ID(r.int(1)), Kind: model.ChangeKind(r.int(2)), Ref: model.ID(r.int(3)), Subject: r.text(4), At: r.int(5),
	}
}

// selectPage reads the rows of the feed behind number ?1, ?2 at most, and the
// state of the feed beside each of them, or once beside none. It is one
// statement, so that no sweep comes between.
const selectPage = `SELECT c.*, f.name, f.floor, f.last,
		coalesce((SELECT at * 1000 + ms FROM changes WHERE seq = f.last), f.floor_at),
		CASE ?1 WHEN f.floor THEN f.floor_at ELSE (SELECT at * 1000 + ms FROM changes WHERE seq = ?1) END
	FROM (SELECT *, coalesce((` + selectSequence + `), 0) AS last FROM feed) f
	LEFT JOIN (` + selectChanges + `) c ORDER BY c.seq`

// Changes reads on from a place. The sequence has no gaps and grows in the order
// of the commits, so that all is settled that can be seen.
func (s *Store) Changes(ctx context.Context, service model.ID, after model.Place, limit int) (page store.FeedPage, err error) {
	next := after
	err = s.reads.query(ctx, func(r row) error {
		name, floor, at := r.text(6), r.int(7), r[10]
		if page.Gap = after.Feed != name || after.Seq < floor || at != after.At; page.Gap {
			next = model.Place{Feed: name, Seq: r.int(8), At: r.int(9)}
			return nil
		}
		if r[0] == nil {
			return nil
		}
		c := r.change()
		next.Seq, next.At = c.Seq, c.At
		if c.Service == service {
			page.Changes = append(page.Changes, c)
		}
		return nil
	}, selectPage, after.Seq, int64(max(limit, 0)))
	page.Next = next
	return page, err
}
