package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

func succeed(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hooked is a store to move to, in which something happens at each call that
// the move makes.
type hooked struct {
	store.Store
	calls int
	hook  func(ctx context.Context, call int) error
}

func (h *hooked) call(ctx context.Context) error {
	h.calls++
	if h.hook == nil {
		return nil
	}
	return h.hook(ctx, h.calls)
}

func (h *hooked) Rows(ctx context.Context, service model.ID, f func(store.Row) error) error {
	return errors.Join(h.call(ctx), h.Store.Rows(ctx, service, f))
}

func (h *hooked) Find(ctx context.Context, keys []store.Row) ([]store.Row, error) {
	if err := h.call(ctx); err != nil {
		return nil, err
	}
	return h.Store.Find(ctx, keys)
}

func (h *hooked) PutRows(ctx context.Context, rows []store.Row) error {
	if err := h.call(ctx); err != nil {
		return err
	}
	return h.Store.PutRows(ctx, rows)
}

func (h *hooked) DeleteRows(ctx context.Context, rows []store.Row) error {
	if err := h.call(ctx); err != nil {
		return err
	}
	return h.Store.DeleteRows(ctx, rows)
}

func (h *hooked) Lease(ctx context.Context, name, holder string, d time.Duration) (bool, error) {
	if d > 0 {
		if err := h.call(ctx); err != nil {
			return false, err
		}
	}
	return h.Store.Lease(ctx, name, holder, d)
}

// target is an empty store to move to.
func target(t *testing.T) *hooked {
	t.Helper()
	s, err := Open(context.Background(), Options{Path: dbPath(t), SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &hooked{Store: s}
}

// patient opens a store that waits for locks, as servers do.
func patient(t *testing.T) (*Store, model.ID) {
	t.Helper()
	return openAt(t, dbPath(t), func(o *Options) { o.BusyTimeout = 10 * time.Second })
}

func rowsOf(t *testing.T, s store.Archive) (rows []store.Row) {
	t.Helper()
	if err := s.Rows(context.Background(), 0, func(row store.Row) error { rows = append(rows, row); return nil }); err != nil {
		t.Fatal(err)
	}
	return rows
}

// serves checks that a store is as it was before a move.
func serves(t *testing.T, s *Store, service model.ID, id int64) {
	t.Helper()
	if err := s.Write(context.Background(), store.InsertGrant{Grant: benchGrant(service, id)}); err != nil {
		t.Errorf("the store does not take a write any more: %v", err)
	}
	objects := 0
	err := s.reads.query(context.Background(), func(r row) error { objects = int(r.int(0)); return nil },
		"SELECT count(*) FROM sqlite_schema WHERE name LIKE 'move%'")
	if err != nil || objects > 0 {
		t.Errorf("the move has left %d tables and triggers: %v", objects, err)
	}
}

// hasMovedTo checks that a store refuses and that the other has what it had.
func hasMovedTo(t *testing.T, s *Store, service model.ID, to store.Archive) {
	t.Helper()
	if diff := cmp.Diff(rowsOf(t, s), rowsOf(t, to)); diff != "" {
		t.Errorf("the stores differ (-from +to):\n%s", diff)
	}
	for _, step := range []store.Step{
		store.InsertGrant{Grant: benchGrant(service, 1<<50)}, store.RevokeGrants{Service: service, Subject: "nobody"},
		store.UseOnce{Service: service, ExpiresAt: 1}, store.InsertKey{Key: model.Key{Service: service, KID: "late"}},
	} {
		err := s.Write(context.Background(), step)
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "has moved to another store") {
			t.Errorf("%T after the move: %v", step, err)
		}
	}
	if _, err := s.EnsureService(context.Background(), "https://late.example"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a new service after the move: %v", err)
	}
}

// grants are n grants with the ids from first on.
func grants(service model.ID, first int64, n int) (steps []store.Step) {
	for i := range int64(n) {
		steps = append(steps, store.InsertGrant{Grant: benchGrant(service, first+i)})
	}
	return steps
}

// What changes at any moment of a move reaches the other store: a row of each
// kind that comes, changes and goes, and names that pass from one to another.
func TestMoveFollowsChanges(t *testing.T) {
	ctx := context.Background()
	s, service := patient(t)
	to := target(t)
	gone, kept := storetest.EveryRow(1001), storetest.EveryRow(1002)
	account := func(id model.ID, key string) store.Step {
		return store.PutAccount{Account: model.Account{Service: service, ID: id, Name: key, Key: key, Subject: fmt.Sprint("s", id)}}
	}
	write := func(steps ...store.Step) {
		if err := s.Write(ctx, steps...); err != nil {
			t.Errorf("%T: %v", steps[0], err)
		}
	}
	if err := s.PutRows(ctx, gone); err != nil {
		t.Fatal(err)
	}
	write(account(1, "a"), account(2, "b"))
	changes := map[MoveStage]func(){
		MoveJournal: func() { write(account(3, "c")) },
		MoveCopy: func() {
			write(account(1, "free"), account(2, "a"), account(1, "b")) // what was the other's
			if err := errors.Join(s.DeleteRows(ctx, gone), s.PutRows(ctx, kept)); err != nil {
				t.Error(err)
			}
			write(grants(service, 1<<40, fewChanges)...)
		},
	}
	passes := 0
	_, err := s.Move(ctx, MoveOptions{To: to, Report: func(stage MoveStage, rows int64) {
		if change := changes[stage]; change != nil {
			change()
		}
		if stage == MoveFollow { // more than are left to the last pass, then fewer
			passes++
			write(grants(service, int64(passes)<<20, fewChanges*3/2/passes)...)
			write(account(3, fmt.Sprint("c", passes)))
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if passes < 2 {
		t.Errorf("changes were followed %d times", passes)
	}
	hasMovedTo(t, s, service, to)
	if _, err := s.Move(ctx, MoveOptions{To: to}); !errors.Is(err, ErrMoved) {
		t.Errorf("moving again: %v", err)
	}
	if _, err := s.Move(ctx, MoveOptions{To: target(t)}); !errors.Is(err, ErrMoved) {
		t.Errorf("moving elsewhere: %v", err)
	}
}

// Nothing that was acknowledged while a store moved is lost: the last word
// before the refusal is what the other store has.
func TestMoveUnderLoad(t *testing.T) {
	ctx := context.Background()
	s, service := patient(t)
	to := target(t)
	const writers = 8
	var acknowledged [writers]atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := int64(1); ; n++ {
				id := int64(w+1)<<40 + n
				g, a := benchGrant(service, id), benchToken(service, model.ID(id), id)
				r := model.RefreshToken{Service: service, ID: model.ID(id), Grant: g.ID, ExpiresAt: 4e9}
				err := s.Write(ctx, store.InsertGrant{Grant: g}, store.InsertAccessToken{Token: a}, store.InsertRefreshToken{Token: r})
				if err == nil {
					err = s.Write(ctx, store.RotateRefreshToken{Service: service, ID: r.ID, Now: 1, Successor: r.ID + 1<<50})
				}
				if err == nil && n%2 == 0 {
					err = s.Write(ctx, store.RevokeGrant{Service: service, ID: g.ID})
				}
				if err != nil {
					if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "has moved") {
						t.Errorf("writer %d: %v", w, err)
					}
					return
				}
				acknowledged[w].Store(n)
			}
		})
	}
	for w := range writers {
		for acknowledged[w].Load() < 50 {
			time.Sleep(time.Millisecond)
		}
	}
	moved, err := s.Move(ctx, MoveOptions{To: to})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	hasMovedTo(t, s, service, to)
	for w := range writers {
		for n := int64(1); n <= acknowledged[w].Load(); n++ {
			id := model.ID(int64(w+1)<<40 + n)
			_, err := to.Grant(ctx, service, id)
			if revoked := n%2 == 0; revoked != errors.Is(err, store.ErrNotFound) || !revoked && err != nil {
				t.Errorf("grant %d of writer %d, revoked %v: %v", n, w, revoked, err)
			}
			if err := to.Write(ctx, store.RotateRefreshToken{Service: service, ID: id, Now: 1, Successor: 1}); !errors.Is(err, store.ErrSpent) {
				t.Errorf("a refresh token that was used is used again: %v", err)
			}
		}
	}
	t.Logf("moved %v in %d passes, read-only for %s", moved.Rows, moved.Passes, moved.ReadOnly)
}
