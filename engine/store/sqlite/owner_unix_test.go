//go:build unix

package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user that owns nothing else.
const nobody = 65534

// What root makes beside a database belongs to the owner of the database, and a
// new database to the owner of its folder: else the server could not open them.
func TestFilesKeepTheirOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can work with another's files")
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "g.db")
	give := func(path string) {
		t.Helper()
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	owned := func(when string, names ...string) {
		t.Helper()
		for _, name := range names {
			info, err := os.Stat(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t); owner.Uid != nobody || owner.Gid != nobody || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %s is %d's, mode %04o", when, name, owner.Uid, info.Mode().Perm())
			}
		}
	}
	s, _ := openAt(t, path, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"g.db-lock", "g.db-wal", "g.db-shm"} {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	give(path)
	openAt(t, path, nil)
	owned("a database that was restored", "g.db", "g.db-lock", "g.db-wal", "g.db-shm")

	folder = t.TempDir()
	give(folder)
	openAt(t, filepath.Join(folder, "g.db"), nil)
	owned("a new database", "g.db", "g.db-lock", "g.db-wal", "g.db-shm")
}

// Which file cannot be opened is said: it need not be the database.
func TestErrorNamesTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g.db")
	if err := os.Mkdir(path+"-lock", 0o700); err != nil { // which root cannot open either
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Path: path}); err == nil || !strings.Contains(err.Error(), path+"-lock") {
		t.Errorf("it says %v", err)
	}
	if err := os.Remove(path + "-lock"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"-lock", []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Path: path}); err == nil || !strings.Contains(err.Error(), path+"-lock: the file is not a database") {
		t.Errorf("it says %v", err)
	}
}
