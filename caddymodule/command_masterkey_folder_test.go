package caddymodule

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

// beside is what commands work with on another database in the folder of the key.
func (v *vault) beside(t *testing.T, name string) *vault {
	t.Helper()
	path := filepath.Join(v.app.storage.Folder(), name)
	st, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	a := &App{storage: &SQLite{path: path}, declarations: v.app.declarations}
	e, err := engine.New(t.Context(), engine.Options{Store: st, MasterKeys: a.masterKeys, Services: a.declarations})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	cmd := new(cobra.Command)
	cmd.SetOut(new(bytes.Buffer))
	return &vault{app: a, store: st, rows: st, cmd: cmd}
}

// TestForgetBesideOthers: the key file is its folder's. As long as another database
// there, a copy of one, or what may be one, needs the previous key it is kept.
func TestForgetBesideOthers(t *testing.T) {
	v := openVault(t)
	other := v.beside(t, "other.db")
	folder := v.app.storage.Folder()
	copied := filepath.Join(folder, "copy.db")
	if err := v.store.(*sqlite.Store).Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"notes.txt": "SQLite format 3\x00", "of another program.db": "SQLite format 3\x00" + strings.Repeat("x", 4080)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := masterKeyRotate(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	refused := func(names ...string) {
		t.Helper()
		err := masterKeyForget(t.Context(), v)
		if err == nil || strings.Count(err.Error(), "under a previous master key") != len(names) {
			t.Fatalf("forget: %v", err)
		}
		for _, name := range names {
			if !strings.Contains(err.Error(), filepath.Join(folder, name)+": ") {
				t.Errorf("it does not name %s: %v", name, err)
			}
		}
		if keys, err := v.app.masterKeys(); err != nil || len(keys) != 2 {
			t.Fatalf("%d keys are left: %v", len(keys), err)
		}
	}
	refused("copy.db", "other.db")
	if err := masterKeyReseal(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	refused("copy.db")
	if err := os.Rename(copied, filepath.Join(t.TempDir(), "copy.db")); err != nil {
		t.Fatal(err)
	}
	if err := masterKeyForget(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*vault{v, other} {
		if now, err := engine.Survey(t.Context(), v.rows, v.app.masterKeys); err != nil || now.Unopened > 0 || now.Current == 0 {
			t.Errorf("in the end: %+v %v", now, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "copy.db*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// Two databases that share a folder share the lock of its key file: no rotation
// loses the key under which the other one has put everything.
func TestRotateBesideOthers(t *testing.T) {
	one := openVault(t)
	vaults := []*vault{one, one.beside(t, "two.db"), one.beside(t, "three.db")}
	var all sync.WaitGroup
	for _, v := range vaults {
		all.Go(func() {
			if err := masterKeyRotate(t.Context(), v); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if keys, err := one.app.masterKeys(); err != nil || len(keys) != 1+len(vaults) {
		t.Errorf("%d keys: %v", len(keys), err)
	}
	for _, v := range vaults {
		if now, err := engine.Survey(t.Context(), v.rows, v.app.masterKeys); err != nil || now.Unopened > 0 {
			t.Errorf("%+v %v", now, err)
		}
	}
}
