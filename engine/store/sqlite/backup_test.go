package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// A backup that is made under load is a store, and has every write that was
// acknowledged before it began.
func TestBackupUnderLoad(t *testing.T) {
	ctx := context.Background()
	s, service := patient(t)
	const writers = 4
	var acknowledged [writers]atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := int64(1); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := int64(w+1)<<40 + n
				err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, id)},
					store.InsertAccessToken{Token: benchToken(service, model.ID(id), id)})
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged[w].Store(n)
			}
		})
	}
	defer func() { close(stop); wg.Wait() }()
	dir := t.TempDir()
	for _, name := range []string{"one.db", "two.db", "three.db"} {
		var before [writers]int64
		for w := range writers {
			for acknowledged[w].Load() < 20 {
				if t.Failed() {
					return
				}
			}
			before[w] = acknowledged[w].Load()
		}
		path := filepath.Join(dir, name)
		if err := s.Backup(ctx, path); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("the backup has the mode %v, %v", info.Mode(), err)
		}
		restored, _ := openAt(t, path, nil)
		for w := range writers {
			for n := int64(1); n <= before[w]; n++ {
				if _, _, err := restored.AccessToken(ctx, service, model.ID(int64(w+1)<<40+n)); err != nil {
					t.Errorf("token %d of writer %d: %v", n, w, err)
				}
			}
		}
		if err := restored.Write(ctx, store.InsertGrant{Grant: benchGrant(service, 1)}); err != nil {
			t.Errorf("writing to the backup: %v", err)
		}
	}
}

// A backup that does not succeed leaves nothing, and no file is ever overwritten.
func TestBackupFails(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	s, _ := patient(t)
	manyRows(t, s)
	dir := t.TempDir()
	there := filepath.Join(dir, "there.db")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(context.Background(), there); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file that is there: %v", err)
	}
	if err := s.Backup(ended, filepath.Join(dir, "ended.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if err := s.Backup(context.Background(), filepath.Join(dir, "none", "a.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a folder that is not there: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "mine" {
		t.Errorf("the file that was there is %q, %v", text, err)
	}
}

// A backup of a damaged file is noticed when it is made, not when it is needed.
func TestBackupOfDamage(t *testing.T) {
	path := dbPath(t)
	s, _ := openAt(t, path, nil)
	manyRows(t, s)
	s.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// An issuer that is another in its table than in its index.
	at := bytes.LastIndex(text, []byte("https://as.example"))
	if at < 0 {
		t.Fatal("the issuer is not in the file")
	}
	copy(text[at:], "https://az.example")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Open(context.Background(), Options{Path: path, SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Backup(context.Background(), to); err == nil || !strings.Contains(err.Error(), "damaged, and its copy with it; restore an earlier backup") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Backup = %v", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a copy: %v", err)
	}
}
