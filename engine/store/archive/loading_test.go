package archive_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

// Who stood still while others loaded and went writes nothing any more, though
// the lease is free: a token that was revoked since would be good again.
func TestLoaderThatStoodStill(t *testing.T) {
	ctx := context.Background()
	var ahead atomic.Int64
	to, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.TempDir(), "gatehouse.db"), SweepInterval: -1,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	rows := storetest.EveryRow(7)
	stopped, err := archive.Load(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	defer stopped.Close()
	for _, row := range rows {
		if err := stopped.Put(ctx, row); err != nil {
			t.Fatal(err)
		}
	}
	ahead.Store(int64(20 * time.Second)) // its lease ends
	if _, err := loads(to, written(t, rows...)); err != nil {
		t.Fatal(err)
	}
	if err := to.DeleteRows(ctx, []store.Row{rows[9]}); err != nil { // a revocation
		t.Fatal(err)
	}
	want := rowsOf(t, to)
	for range 2 {
		if err := stopped.Flush(ctx); !errors.Is(err, archive.ErrLoading) {
			t.Errorf("Flush = %v", err)
		}
		if err := stopped.Finish(ctx); !errors.Is(err, archive.ErrLoading) {
			t.Errorf("Finish = %v", err)
		}
	}
	same(t, "the rows of a store that serves", want, rowsOf(t, to))
}

// timed is an empty store whose leases end by the time of a test.
type timed struct {
	store.Store
	mu      sync.Mutex
	holder  string
	until   time.Time
	putting time.Duration // how long PutRows takes
}

func (s *timed) Rows(context.Context, model.ID, func(store.Row) error) error { return nil }

func (s *timed) PutRows(ctx context.Context, _ []store.Row) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.putting):
		return nil
	}
}

func (s *timed) Lease(_ context.Context, _, holder string, d time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != holder && time.Now().Before(s.until) {
		return false, nil
	}
	s.holder, s.until = holder, time.Now().Add(d)
	return true, nil
}

func (s *timed) Renew(_ context.Context, _, holder string, d time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != holder {
		return false, nil
	}
	s.until = time.Now().Add(d)
	return true, nil
}

// The moment in which nobody can write to a store that moves may be longer than
// a lease: who holds it keeps it, and not beyond Close.
func TestLoaderThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := new(timed)
		l, err := archive.Load(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if _, err := archive.Load(t.Context(), to); !errors.Is(err, archive.ErrLoading) {
			t.Errorf("another meanwhile: %v", err)
		}
		if err := l.Put(t.Context(), root); err != nil {
			t.Error(err)
		}
		if err := l.Finish(t.Context()); err != nil {
			t.Errorf("in the end: %v", err)
		}
		l.Close()
		other, err := archive.Load(t.Context(), to)
		if err != nil {
			t.Fatalf("another after it: %v", err)
		}
		other.Close()
	})
}

// A write that cannot begin is given up while the lease that it was begun under
// lasts.
func TestWriteWithinTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &timed{putting: time.Hour}
		l, err := archive.Load(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Put(t.Context(), root); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := l.Flush(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not take rows within") {
			t.Errorf("Flush = %v", err)
		}
		if took := time.Since(began); took >= 15*time.Second {
			t.Errorf("it was given up after %s", took)
		}
	})
}

// weighed is a store that remembers how many bytes of handles came at once.
type weighed struct {
	store.Store
	most int
}

func (w *weighed) weigh(rows []store.Row) {
	bytes := 0
	for _, row := range rows {
		if h, ok := row.(store.HandleRow); ok {
			bytes += len(h.Handle.Payload)
		}
	}
	w.most = max(w.most, bytes)
}

func (w *weighed) PutRows(ctx context.Context, rows []store.Row) error {
	w.weigh(rows)
	return w.Store.PutRows(ctx, rows)
}

func (w *weighed) DeleteRows(ctx context.Context, rows []store.Row) error {
	w.weigh(rows)
	return w.Store.DeleteRows(ctx, rows)
}

// Rows are counted in bytes, too: a file with a right checksum may have 500 that
// take 4 GiB.
func TestBatchesOfLargeRows(t *testing.T) {
	const size, n = 1 << 20, 6
	rows := storetest.EveryRow(7)[:1]
	for i := range model.ID(n) {
		rows = append(rows, store.HandleRow{Handle: model.Handle{Service: 7, ID: i + 1, ExpiresAt: 4e9, Payload: make([]byte, size)}})
	}
	to := &weighed{Store: emptyStore(t)}
	if _, err := loads(&breaking{to, 2}, written(t, rows...)); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	l, err := archive.Load(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Clear(t.Context()); err != nil || len(rowsOf(t, to)) > 0 {
		t.Errorf("clearing: %v", err)
	}
	if to.most != 4*size {
		t.Errorf("there were %d bytes at once", to.most)
	}
}

// An id that a row of another service has is said, and nothing of it changes. It
// will be so the next time.
func TestImportConflict(t *testing.T) {
	to := emptyStore(t)
	mine, theirs := storetest.EveryRow(7), storetest.EveryRow(8)
	grant := mine[9].(store.GrantRow)
	taken := grant
	taken.Grant.Service = 8
	put(t, to, append(theirs, taken)...)
	want := rowsOf(t, to)
	_, err := loads(to, written(t, mine...))
	if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), fmt.Sprintf("grant %d of the service 7", grant.Grant.ID)) {
		t.Errorf("error %v", err)
	}
	l, err := archive.Load(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "the rows after it was given up", want, rowsOf(t, to))
}
