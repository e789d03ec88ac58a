package sqlite

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// lossy is a store to move to that does not do all it says it does.
type lossy struct {
	*hooked
	put, delete func([]store.Row) []store.Row // what it does, of what it is asked for; nil: all
}

func (l *lossy) PutRows(ctx context.Context, rows []store.Row) error {
	if l.put != nil {
		rows = l.put(rows)
	}
	return l.hooked.PutRows(ctx, rows)
}

func (l *lossy) DeleteRows(ctx context.Context, rows []store.Row) error {
	if l.delete != nil {
		rows = l.delete(rows)
	}
	return l.hooked.DeleteRows(ctx, rows)
}

// nobodys is a grant with another subject than the one that was written.
func nobodys(id int64) store.GrantRow {
	g := benchGrant(1001, id)
	g.Subject = "somebody else"
	return store.GrantRow{Grant: g}
}

// changedIn are rows among which that of a grant is another.
func changedIn(rows []store.Row) (changed []store.Row) {
	for _, row := range rows {
		if g, ok := row.(store.GrantRow); ok && g.Grant.Subject != "" {
			g.Grant.Subject = "somebody else"
			row = g
		}
		changed = append(changed, row)
	}
	return changed
}

func none([]store.Row) []store.Row { return nil }

// A store has moved when the other has the same rows, not as many: whatever
// differs when all is compared is found, and whatever is written after that and
// does not arrive.
func TestMoveComparesContent(t *testing.T) {
	ctx := context.Background()
	for name, test := range map[string]struct {
		at    MoveStage
		spoil func(t *testing.T, s *Store, to *lossy)
	}{
		"a row that differs": {MoveCopy, func(t *testing.T, _ *Store, to *lossy) {
			succeed(t, to.Store.PutRows(ctx, []store.Row{nobodys(1 << 40)}))
		}},
		"a row that is lost": {MoveCopy, func(t *testing.T, _ *Store, to *lossy) {
			succeed(t, to.Store.DeleteRows(ctx, []store.Row{nobodys(1 << 40)}))
		}},
		"a row too many": {MoveCopy, func(t *testing.T, _ *Store, to *lossy) {
			succeed(t, to.Store.PutRows(ctx, []store.Row{nobodys(5)}))
		}},
		"a server that has started there": {MoveCopy, func(t *testing.T, _ *Store, to *lossy) {
			_, err := to.EnsureService(ctx, "https://other.example")
			succeed(t, err)
		}},
		"a change that is not in the journal": {MoveJournal, func(t *testing.T, s *Store, to *lossy) {
			to.hook = func(context.Context, int) error { // the copy is of the moment before
				to.hook = nil
				succeed(t, s.writer.do(ctx, nil, func(t *tx) error { return t.dropTriggers("move_journal_grants_*") }))
				return s.DeleteRows(ctx, []store.Row{nobodys(1 << 40)})
			}
		}},
		"a change that arrives as another, followed": {MoveCompare, func(t *testing.T, s *Store, to *lossy) {
			to.put = changedIn
			succeed(t, s.Write(ctx, grants(1001, 1<<20, 2*fewChanges)...))
		}},
		"a change that does not arrive, at the end": {MoveHold, func(_ *testing.T, _ *Store, to *lossy) { to.put = none }},
		"a row that does not go, at the end":        {MoveHold, func(_ *testing.T, _ *Store, to *lossy) { to.delete = none }},
	} {
		t.Run(name, func(t *testing.T) {
			s, service := patient(t)
			manyRows(t, s)
			succeed(t, s.Write(ctx, grants(service, 1, 2)...))
			to := &lossy{hooked: target(t)}
			left := false
			_, err := s.Move(ctx, MoveOptions{To: to, Report: func(stage MoveStage, _ int64) {
				if stage == test.at {
					test.spoil(t, s, to)
				}
				if stage == MoveFollow && !left { // to the last pass: a row that came and one that went
					left = true
				} else if stage == MoveFollow {
					succeed(t, s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, 1<<30)}, store.RevokeGrant{Service: service, ID: 1}))
				}
			}})
			if !errors.Is(err, ErrNotMoved) || !strings.Contains(err.Error(), "are not those of the other store") {
				t.Errorf("Move = %v", err)
			}
			serves(t, s, service, 1<<31)
		})
	}
}

// What has expired need not be there, and what expires meanwhile may be.
func TestMoveLeavesWhatExpires(t *testing.T) {
	ctx := context.Background()
	var now atomic.Int64
	now.Store(1_000_000)
	s, service := openAt(t, dbPath(t), func(o *Options) {
		o.BusyTimeout, o.Now = 10*time.Second, func() time.Time { return time.Unix(now.Load(), 0) }
	})
	for id, lives := range map[int64]int64{1: -1, 2: 0, 3: 1, 4: 3600} {
		g := benchGrant(service, id)
		g.ExpiresAt = now.Load() + lives
		succeed(t, s.Write(ctx, store.InsertGrant{Grant: g}))
	}
	to := target(t)
	moved, err := s.Move(ctx, MoveOptions{To: to, Report: func(stage MoveStage, _ int64) {
		if stage == MoveCopy {
			now.Add(60)
		}
	}})
	if err != nil || moved.Rows != 2 { // the service and what lasts
		t.Errorf("Move = %+v, %v", moved, err)
	}
	for id, there := range map[model.ID]bool{1: false, 2: false, 3: true, 4: true} {
		if _, err := to.Grant(ctx, service, id); there != (err == nil) {
			t.Errorf("grant %d: %v", id, err)
		}
	}
}

// counting counts the rows that a move reads of the other store.
type counting struct {
	*hooked
	all, found int
}

func (c *counting) Rows(ctx context.Context, service model.ID, f func(store.Row) error) error {
	c.all++
	return c.hooked.Rows(ctx, service, f)
}

func (c *counting) Find(ctx context.Context, keys []store.Row) ([]store.Row, error) {
	c.found += len(keys)
	return c.hooked.Find(ctx, keys)
}

// The moment in which nobody writes takes as long as the last changes do, however
// many rows there are: of the other store they are read, and nothing else, and
// here nothing is searched for.
func TestMoveHoldsForTheLastChanges(t *testing.T) {
	ctx := context.Background()
	s, service := patient(t)
	manyRows(t, s)
	to := &counting{hooked: target(t)}
	const changes = 7
	last := false
	_, err := s.Move(ctx, MoveOptions{To: to, Report: func(stage MoveStage, _ int64) {
		switch {
		case stage == MoveCompare:
			last = true
		case stage == MoveFollow && last:
			succeed(t, s.Write(ctx, grants(service, 1<<20, changes)...))
		case stage == MoveHold:
			to.all, to.found = 0, 0
		case stage == MoveRefuse && (to.all != 0 || to.found != changes):
			t.Errorf("the other store was read %d times, and %d rows of it; want %d", to.all, to.found, changes)
		}
	}})
	succeed(t, err)
	hasMovedTo(t, s, service, to)

	c := openRaw(t, s.opts.Path)
	succeed(t, c.startJournal("somebody"))
	for i := range archivedTables {
		for _, text := range []string{archivedTables[i].changed, archivedTables[i].find} {
			err := c.query(func(r row) error {
				if step := r.text(3); strings.HasPrefix(step, "SCAN") && step != "SCAN j" {
					t.Errorf("%s\n%s", text, step)
				}
				return nil
			}, "EXPLAIN QUERY PLAN "+text, "", int64(1), int64(2))
			succeed(t, err)
		}
	}
}
