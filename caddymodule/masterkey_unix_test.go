//go:build unix

package caddymodule

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
)

// The file stays its owner's, whoever replaces it.
func TestMasterKeyFileKeepsItsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can replace another's file")
	}
	path := filepath.Join(t.TempDir(), masterKeyFile)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := writeOver(path, masterKeyLines(engine.MasterKey{1})); err != nil {
		t.Fatal(err)
	}
	nobodys(t, path)
}

// A new key is for who can open the database, whoever makes it.
func TestNewMasterKeyIsForTheServer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make another's file")
	}
	a, st := openApp(t, t.TempDir())
	if err := os.Chown(a.storage.(*SQLite).path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := openedKey(t, a, st); err != nil {
		t.Fatal(err)
	}
	nobodys(t, a.masterKeyPath())
}

func nobodys(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 65534 || owner.Gid != 65534 || info.Mode().Perm() != 0o600 {
		t.Errorf("it is %d's now, mode %04o", owner.Uid, info.Mode().Perm())
	}
}
