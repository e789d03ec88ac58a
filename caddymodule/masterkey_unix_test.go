//go:build unix

package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
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

// A key that was copied as root beside the database of the server is good for root,
// who looks, and not for the server.
func TestMasterKeyOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make another's file")
	}
	a, st := openApp(t, t.TempDir())
	if _, err := openedKey(t, a, st); err != nil {
		t.Fatal(err)
	}
	for owner, failing := range map[int]bool{0: false, 65534: true} {
		if err := os.Chown(a.storage.(*SQLite).path, owner, owner); err != nil {
			t.Fatal(err)
		}
		d := &doctor{app: a}
		d.masterKey(t.Context(), st, st.(engine.Vault), nil)
		if f := d.findings[0]; f.Failing != failing || failing && !strings.Contains(f.Advice, "server's user") {
			t.Errorf("a database of %d: %+v", owner, f)
		}
	}
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
