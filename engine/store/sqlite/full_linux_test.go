package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// A real disk that is full: a small tmpfs, which takes root.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		if os.Getenv("GATEHOUSE_REQUIRE") != "" {
			t.Fatal("cannot mount a tmpfs:", err)
		}
		t.Skip("cannot mount a tmpfs:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s, service := openAt(t, filepath.Join(dir, "gatehouse.db"), nil)
	kept := fill(t, s, service)
	keptWhole(t, s, service, kept)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), fillUnit(service, kept+1)...); err != nil {
		t.Errorf("Write after there is room again: %v", err)
	}
	keptWhole(t, s, service, kept+1)

	// And what is there when it opens again.
	path := s.opts.Path
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	s, service = openAt(t, path, nil)
	keptWhole(t, s, service, kept+1)
	s.Close()

	if err := os.WriteFile(filler, make([]byte, 3<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	_, err := Open(context.Background(), Options{Path: filepath.Join(dir, "another.db")})
	if err == nil || !errors.Is(err, store.ErrUnavailable) && !strings.Contains(err.Error(), "disk") {
		t.Errorf("Open on a full disk = %v", err)
	}
}
