package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/subscribers"
)

// followLimit bounds how many changes of other nodes are read at once.
const followLimit = 1000

// feed hands the rows of the change feed to this process's subscribers.
//
// Numbers come from the one row of the table feed. Whoever takes some holds
// that row until its commit, so that nothing is committed late under a lower
// number, and what a reader has gone past is complete. To hold it shortly, a
// transaction takes its numbers last, in the round trip that commits.
type feed struct {
	now    func() time.Time
	node   string
	notify string // the channel that wakes the others; empty: there is none

	// full is the last moment of which everything has been given, in Unix
	// milliseconds. It is read without mu, which a subscriber may hold for ever.
	full atomic.Int64

	mu    sync.Mutex  // held while subscribers are called
	place model.Place // everything up to here has been given
	// ahead are the numbers behind it that this node told and gave itself, and
	// when; own is the last that it told. Only what is read moves the place: a
	// failover may lose a commit, and its number is another's then.
	ahead map[int64]int64
	own   int64

	subs *subscribers.List
}

// queue adds what tells the feed of changes to a transaction's last trip.
func (f *feed) queue(b *pgx.Batch, changes []model.Change) {
	n := len(changes)
	if n == 0 {
		return
	}
	at := f.now().UnixMilli()
	services, kinds, refs, subjects := make([]int64, n), make([]int64, n), make([]int64, n), make([]string, n)
	for i := range changes {
		c := &changes[i]
		c.At = at
		services[i], kinds[i], refs[i], subjects[i] = int64(c.Service), int64(c.Kind), int64(c.Ref), c.Subject
	}
	b.Queue(`WITH n AS (UPDATE feed SET last = last + $1, last_at = $2 WHERE id = 1 RETURNING last)
		INSERT INTO changes (seq, service, kind, ref, subject, at)
		SELECT n.last - $1 + u.place, u.service, u.kind, u.ref, u.subject, $2
		FROM n, unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) WITH ORDINALITY AS u (service, kind, ref, subject, place)
		RETURNING (SELECT last FROM n)`, int64(n), at, services, kinds, refs, subjects)
	if f.notify != "" {
		b.Queue(`SELECT pg_notify($1, $2)`, f.notify, f.node)
	}
}

// number reads the results of queue.
func (f *feed) number(results pgx.BatchResults, changes []model.Change) error {
	if len(changes) == 0 {
		return nil
	}
	last := int64(0)
	if err := collect(results, func(r row) { last = r.Int(0) }); err != nil {
		return err
	}
	for i := range changes {
		changes[i].Seq = last - int64(len(changes)-1-i)
	}
	if f.notify == "" {
		return nil
	}
	_, err := results.Exec()
	return err
}

// Subscribe calls f for every change from now on, until cancelled.
func (s *Store) Subscribe(f func(model.Change)) (cancel func()) { return s.feed.subs.Add(f) }

// publish gives the changes, of which there are some, that this process has just
// committed.
func (f *feed) publish(changes []model.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ahead == nil || len(f.ahead) >= maxAhead {
		f.ahead = map[int64]int64{}
	}
	for _, c := range changes {
		f.own = max(f.own, c.Seq)
		if _, before := f.ahead[c.Seq]; !before && c.Seq > f.place.Seq {
			f.ahead[c.Seq] = c.At
		} // else it was read, or what had the number was lost, which give is to notice
	}
	f.subs.Tell(changes)
}

// give hands on the changes read behind a place, but for those that were given,
// and goes there. It does nothing, and says so, when they are not of the feed that
// was followed: a number that was given was told again, at another time.
func (f *feed) give(changes []model.Change) (same bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh := make([]model.Change, 0, len(changes))
	for _, c := range changes {
		at, given := f.ahead[c.Seq]
		if c.Seq == f.place.Seq { // another look went on meanwhile
			at, given = f.place.At, true
		}
		switch {
		case given && at != c.At:
			return false
		case !given && c.Seq > f.place.Seq:
			fresh = append(fresh, c)
		}
	}
	for _, c := range changes {
		delete(f.ahead, c.Seq)
		if c.Seq > f.place.Seq {
			f.place.Seq, f.place.At = c.Seq, c.At
		}
	}
	f.subs.Tell(fresh)
	return true
}

// lag is how old what has been given of the feed is, in milliseconds. It counts
// from the last look that found nothing more: how many changes there have been
// since says nothing.
func (f *feed) lag(now time.Time) int64 { return max(0, now.UnixMilli()-f.full.Load()) }

// maxAhead bounds what is remembered to have been given and was not read. Beyond
// it, changes may be given twice.
const maxAhead = 100_000

// selectChanges reads the rows of the feed behind number $1, $2 at most.
const selectChanges = `SELECT seq, service, kind, ref, subject, at FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2`

func scanChange(r row) model.Change {
	return model.Change{
		Seq: r.Int(0), Service: model.ID(r.Int(1)), Kind: model.ChangeKind(r.Int(2)), Ref: model.ID(r.Int(3)), Subject: r.Text(4), At: r.Int(5),
	}
}

// atOf is when the change with the number $1 was told. The same number told at
// another time is of another feed: that of a replica that took over without
// having seen everything, and has told other changes since.
const atOf = `CASE $1::bigint WHEN f.last THEN f.last_at WHEN l.floor THEN l.floor_at ELSE (SELECT at FROM changes WHERE seq = $1) END`

// selectPage reads the rows of the feed behind number $1, $2 at most, and beside
// each of them, or once beside none, the state of the feed and the database's
// clock. It is one statement, so that no sweep comes between, and no failover.
const selectPage = `SELECT c.seq, c.service, c.kind, c.ref, c.subject, c.at, f.name, l.floor, f.last, f.last_at,
		` + atOf + `, (extract(epoch FROM clock_timestamp()) * 1000)::bigint
	FROM feed f CROSS JOIN feed_floor l LEFT JOIN (` + selectChanges + `) c ON true
	WHERE f.id = 1 AND l.id = 1 ORDER BY c.seq`

// isBehind reports whether a page is of the feed in which a place is, and complete
// from there.
func isBehind(page row, p model.Place) bool {
	return page.Text(6) == p.Feed && page.Int(7) <= p.Seq && !page.Null(10) && page.Int(10) == p.At
}

// Changes reads on from a place. The sequence has no gaps and grows in the order
// of the commits, so that all is settled that can be seen.
func (s *Store) Changes(ctx context.Context, service model.ID, after model.Place, limit int) (page store.FeedPage, err error) {
	rows, err := s.reads.query(ctx, selectPage, after.Seq, int64(max(limit, 0)))
	if err != nil {
		return page, err
	}
	page.Next = after
	for _, r := range rows {
		if !isBehind(r, after) {
			return store.FeedPage{Gap: true, Next: model.Place{Feed: r.Text(6), Seq: r.Int(8), At: r.Int(9)}}, nil
		}
		if r[0] == nil {
			break
		}
		c := scanChange(r)
		page.Next.Seq, page.Next.At = c.Seq, c.At
		if c.Service == service {
			page.Changes = append(page.Changes, c)
		}
	}
	return page, nil
}
