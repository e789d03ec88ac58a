package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// openAt opens a store that gives up on locks at once.
func openAt(t testing.TB, path string, change func(*Options)) (*Store, model.ID) {
	t.Helper()
	opts := Options{Path: path, SweepInterval: -1, BusyTimeout: 50 * time.Millisecond}
	if change != nil {
		change(&opts)
	}
	s, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	service, err := s.EnsureService(context.Background(), "https://as.example")
	if err != nil {
		t.Fatal(err)
	}
	return s, service
}

func dbPath(t testing.TB) string { return filepath.Join(t.TempDir(), "gatehouse.db") }

// must runs a statement on a connection of another program.
func must(t testing.TB, c *conn, query string) {
	t.Helper()
	if _, err := c.exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func openRaw(t testing.TB, path string) *conn {
	t.Helper()
	c, err := open(dsn(path, "busy_timeout(60000)"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close() })
	return c
}

func TestLockedByAnotherProcess(t *testing.T) {
	ctx := context.Background()
	s, service := openAt(t, dbPath(t), nil)
	before := benchGrant(service, 1)
	if err := s.Write(ctx, store.InsertGrant{Grant: before}); err != nil {
		t.Fatal(err)
	}
	other := openRaw(t, s.opts.Path)
	must(t, other, "BEGIN EXCLUSIVE")

	err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, 2)})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "locked by another process") {
		t.Errorf("Write = %v", err)
	}
	if _, err := s.Grant(ctx, service, 1); err != nil {
		t.Errorf("reading meanwhile: %v", err)
	}

	must(t, other, "COMMIT")
	if err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, 2)}); err != nil {
		t.Errorf("Write after the lock has gone: %v", err)
	}
}

func TestContextEndsWhileLocked(t *testing.T) {
	ctx := context.Background()
	s, service := openAt(t, dbPath(t), func(o *Options) { o.BusyTimeout = time.Minute })
	other := openRaw(t, s.opts.Path)
	must(t, other, "BEGIN IMMEDIATE")

	var wg sync.WaitGroup
	for i := range 2 * maxQueue { // more than wait in the queue
		wg.Go(func() {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			err := s.Write(short, store.InsertGrant{Grant: benchGrant(service, int64(i+1))})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Write = %v", err)
			}
		})
	}
	wg.Wait()
	must(t, other, "COMMIT")

	if err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, firstID)}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxQueue {
		if _, err := s.Grant(ctx, service, model.ID(i+1)); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a write that was given up before it was started was executed: %v", err)
		}
	}
}

// fill writes units of a grant and a large handle until the store refuses.
func fill(t *testing.T, s *Store, service model.ID) (kept int64) {
	t.Helper()
	for id := int64(1); id < 10_000; id++ {
		if err := s.Write(context.Background(), fillUnit(service, id)...); err != nil {
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "disk") {
				t.Fatalf("Write = %v", err)
			}
			return id - 1
		}
	}
	t.Fatal("the disk is never full")
	return 0
}

func fillUnit(service model.ID, id int64) []store.Step {
	h := model.Handle{Service: service, ID: model.ID(id), Kind: model.HandleTicket, ExpiresAt: 4e9, Payload: make([]byte, 10_000)}
	return []store.Step{store.InsertGrant{Grant: benchGrant(service, id)}, store.InsertHandle{Handle: h}}
}

// keptWhole checks that units up to kept are there whole and later ones not at all.
func keptWhole(t *testing.T, s *Store, service model.ID, kept int64) {
	t.Helper()
	ctx := context.Background()
	for id := int64(1); id <= kept+1; id++ {
		want := error(nil)
		if id > kept {
			want = store.ErrNotFound
		}
		_, grant := s.Grant(ctx, service, model.ID(id))
		_, handle := s.Handle(ctx, service, model.HandleTicket, model.ID(id))
		if !errors.Is(grant, want) || !errors.Is(handle, want) {
			t.Errorf("unit %d of %d: grant: %v, handle: %v", id, kept, grant, handle)
		}
	}
}

func TestFull(t *testing.T) {
	limit := "max_page_count(200)"
	s, service := openAt(t, dbPath(t), func(o *Options) {
		o.writerPragmas = func() []string { return []string{limit} }
	})
	kept := fill(t, s, service)
	keptWhole(t, s, service, kept)
	if again := s.Write(context.Background(), fillUnit(service, kept+1)...); !errors.Is(again, store.ErrUnavailable) {
		t.Errorf("Write = %v", again)
	}

	limit = "max_page_count(100000)"
	err := s.writer.do(context.Background(), nil, func(t *tx) error {
		return t.query(func(row) error { return nil }, "PRAGMA max_page_count = 100000")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), fillUnit(service, kept+1)...); err != nil {
		t.Errorf("Write after there is room again: %v", err)
	}
	keptWhole(t, s, service, kept+1)
}

func TestWriterOpensItsConnectionAgain(t *testing.T) {
	ctx := context.Background()
	s, service := openAt(t, dbPath(t), nil)
	err := s.writer.do(ctx, nil, func(t *tx) error {
		if _, err := t.exec("ROLLBACK"); err != nil { // as SQLite does by itself after some errors
			return err
		}
		_, err := t.exec("INSERT INTO nowhere VALUES (1)")
		return err
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a failing write = %v", err)
	}
	if err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, 1)}); err != nil {
		t.Errorf("Write afterwards: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	write := func(content string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name    string
		want    string
		prepare func(t *testing.T, path string)
	}{
		{"a folder", "is a folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"another kind of file", "not a database", write(strings.Repeat("once upon a time ", 1000))},
		{"a damaged header", "not a database", write("SQLite format 3\x00" + strings.Repeat("\xff", 8000))},
		{"another program's database", "another program", func(t *testing.T, path string) {
			c := openRaw(t, path)
			must(t, c, "CREATE TABLE theirs (id INTEGER)")
		}},
		{"a newer schema", "newer Gatehouse", func(t *testing.T, path string) {
			s, _ := openAt(t, path, nil)
			s.Close()
			must(t, openRaw(t, path), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)")
		}},
		{"locked", "locked by another process", func(t *testing.T, path string) {
			c := openRaw(t, path)
			must(t, c, "CREATE TABLE theirs (id INTEGER)")
			must(t, c, "BEGIN EXCLUSIVE")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := dbPath(t)
			test.prepare(t, path)
			s, err := Open(context.Background(), Options{Path: path, BusyTimeout: 20 * time.Millisecond})
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error %q does not say %q and the path", err, test.want)
			}
		})
	}
	t.Run("no path", func(t *testing.T) {
		if _, err := Open(context.Background(), Options{}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("below a file", func(t *testing.T) {
		path := dbPath(t)
		write("")(t, path)
		if _, err := Open(context.Background(), Options{Path: filepath.Join(path, "gatehouse.db")}); err == nil {
			t.Error("no error")
		}
	})
}

// Pages that were overwritten give errors, neither panics nor wrong rows.
func TestDamagedPages(t *testing.T) {
	ctx := context.Background()
	s, service := openAt(t, dbPath(t), nil)
	for id := int64(1); id <= 50; id++ {
		if err := s.Write(ctx, fillUnit(service, id)...); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	content, err := os.ReadFile(s.opts.Path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for i := 30 * page; i+page < len(content); i += 3 * page {
		copy(content[i:], strings.Repeat("\xff", page))
	}
	if err := os.WriteFile(s.opts.Path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, service = openAt(t, s.opts.Path, nil)
	failed := 0
	for id := int64(1); id <= 50; id++ {
		h, err := s.Handle(ctx, service, model.HandleTicket, model.ID(id))
		switch {
		case err == nil && len(h.Payload) != 10_000:
			t.Errorf("handle %d has a payload of %d bytes", id, len(h.Payload))
		case err != nil && !errors.Is(err, store.ErrUnavailable):
			t.Errorf("handle %d: %v", id, err)
		case err != nil:
			failed++
		}
	}
	if failed == 0 {
		t.Error("nothing was damaged")
	}
	t.Logf("%d of 50 rows are reported as damaged", failed)
}
