package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// inspect looks at a file as it is, and returns the findings by name.
func inspect(t *testing.T, path string, change func(*Options)) map[string]store.Finding {
	t.Helper()
	opts := Options{Path: path, AsIs: true, BusyTimeout: 50 * time.Millisecond}
	if change != nil {
		change(&opts)
	}
	s, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	list, err := s.Inspect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	findings := map[string]store.Finding{}
	for _, f := range list {
		if _, twice := findings[f.Name]; twice || f.Value == "" {
			t.Errorf("finding %+v", f)
		}
		findings[f.Name] = f
	}
	return findings
}

// troubles are the names of findings with advice, and whether they fail.
func troubles(findings map[string]store.Finding) map[string]bool {
	list := map[string]bool{}
	for name, f := range findings {
		if f.Advice != "" && name != "disk" { // this machine's
			list[name] = f.Failing
		}
	}
	return list
}

// Of a file in which all is well, nothing is said but how it is; also beside the
// store that serves from it.
func TestInspectWell(t *testing.T) {
	path := dbPath(t)
	s, service := openAt(t, path, nil)
	if err := s.Write(context.Background(), store.InsertGrant{Grant: benchGrant(service, 1)}, store.RevokeGrant{Service: service, ID: 1}); err != nil {
		t.Fatal(err)
	}
	for name, look := range map[string]func() map[string]store.Finding{
		"beside a store": func() map[string]store.Finding { return inspect(t, path, nil) },
		"alone": func() map[string]store.Finding {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return inspect(t, path, nil)
		},
	} {
		findings := look()
		if wrong := troubles(findings); len(wrong) > 0 {
			t.Errorf("%s: %v", name, findings)
		}
		for finding, value := range map[string]string{
			"schema": "knows", "journal": "wal", "write lock": "free", "synchronous": "full", "migration lock": "free",
			"size": "MiB", "disk": "free", "permissions": "owner", "move": "none", "rows": "1 services", "sweeping": "ago", "integrity": "ok",
		} {
			if !strings.Contains(findings[finding].Value, value) {
				t.Errorf("%s: %s is %+v", name, finding, findings[finding])
			}
		}
	}
}

// What is wrong is found, and what would stop a server is told from the rest.
func TestInspectTroubles(t *testing.T) {
	sql := func(statements ...string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			c := openRaw(t, path)
			for _, statement := range statements {
				if err := c.query(func(row) error { return nil }, statement); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		finding string
		failing bool
		prepare func(t *testing.T, path string)
	}{
		"a newer schema":     {"schema", true, sql(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)},
		"no write-ahead log": {"journal", false, sql(`PRAGMA journal_mode = DELETE`)},
		"open to others":     {"permissions", false, func(t *testing.T, path string) { chmod(t, path, 0o644) }},
		"nothing sweeps":     {"sweeping", false, sql(`INSERT INTO changes (service, kind, ref, subject, at) VALUES (1, 2, 7, '', 100)`)},
		"a move is over": {"move", true, func(t *testing.T, path string) {
			c := openRaw(t, path)
			succeed(t, errors.Join(c.refuseWrites(), c.close()))
		}},
		"a move was killed": {"move", false, func(t *testing.T, path string) {
			c := openRaw(t, path)
			succeed(t, errors.Join(c.startJournal("somebody"), c.close()))
		}},
		"an index that lacks": {"integrity", true, sql(`PRAGMA writable_schema = ON`, `DELETE FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL`)},
	} {
		t.Run(name, func(t *testing.T) {
			path := dbPath(t)
			s, _ := openAt(t, path, nil)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			test.prepare(t, path)
			wrong := troubles(inspect(t, path, nil))
			if failing, there := wrong[test.finding]; !there || failing != test.failing || len(wrong) != 1 {
				t.Errorf("found %v", wrong)
			}
		})
	}
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// A file that another program keeps locked is a finding, and no wait without end.
func TestInspectLocked(t *testing.T) {
	path := dbPath(t)
	openAt(t, path, nil)
	other := openRaw(t, path)
	must(t, other, "BEGIN IMMEDIATE")
	lock := openRaw(t, path+"-lock")
	must(t, lock, "BEGIN EXCLUSIVE")
	wrong := troubles(inspect(t, path, nil))
	if failing, there := wrong["write lock"]; !there || !failing {
		t.Errorf("the lock for writing: %v", wrong)
	}
	if failing, there := wrong["migration lock"]; !there || failing {
		t.Errorf("the lock for migrating: %v", wrong)
	}
}

func TestScarceDisk(t *testing.T) {
	for free, want := range map[uint64][2]bool{2 << 30: {false, false}, 512 << 20: {true, false}, 1 << 20: {true, true}} {
		if f := disk(free); (f.Advice != "") != want[0] || f.Failing != want[1] {
			t.Errorf("%d bytes: %+v", free, f)
		}
	}
}

// A store that is opened as it is changes nothing: no file is made, no schema
// migrated, nothing swept or written.
func TestAsIs(t *testing.T) {
	path := dbPath(t)
	if _, err := Open(context.Background(), Options{Path: path, AsIs: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	madeAt(t, path, 3)
	findings := inspect(t, path, func(o *Options) { o.SweepInterval = time.Millisecond })
	if f := findings["schema"]; !strings.HasPrefix(f.Value, "3, ") || f.Advice == "" || f.Failing {
		t.Errorf("schema: %+v", f)
	}
	if _, err := os.Stat(path + "-lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it took the lock for migrating: %v", err)
	}
	s, err := Open(context.Background(), Options{Path: path, AsIs: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Write(context.Background(), store.InsertGrant{Grant: benchGrant(1, 1)}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a write: %v", err)
	}
	if _, err := s.Grant(context.Background(), 1, 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was refused: %v", err)
	}
}

// lookChild is the variable that makes a child process of this test binary look at
// a store that it may only read, and then start on it.
const lookChild = "GATEHOUSE_SQLITE_LOOK"

// lookInChild fails unless both tell that nothing can be written.
func lookInChild(path string) error {
	ctx := context.Background()
	looking, err := Open(ctx, Options{Path: path, AsIs: true})
	if err != nil {
		return err
	}
	defer looking.Close()
	found, err := looking.Inspect(ctx)
	if err != nil {
		return err
	}
	told := false
	for _, f := range found {
		told = told || f.Name == "write lock" && f.Failing && strings.Contains(f.Value, "cannot be written") && strings.Contains(f.Advice, "server's user")
	}
	if !told {
		return fmt.Errorf("it found %+v", found)
	}
	s, err := Open(ctx, Options{Path: path})
	if err == nil {
		return errors.Join(errors.New("it starts"), s.Close())
	}
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "cannot be written: give the file") {
		return fmt.Errorf("a start says %w", err)
	}
	return nil
}
