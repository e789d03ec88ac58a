package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// openApp opens the storage of an app with one service.
func openApp(t *testing.T, folder string) (*App, store.Store) {
	t.Helper()
	service, err := model.NewService(model.Settings{"issuer": []byte(`"https://as.example.com"`)})
	if err != nil {
		t.Fatal(err)
	}
	storage := &SQLite{Path: filepath.Join(folder, "g.db")}
	if err := storage.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	st, err := storage.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return &App{storage: storage, declarations: []engine.Declaration{{Service: service}}}, st
}

// openedKey makes or reads the key file, and returns its first key.
func openedKey(t *testing.T, a *App, st store.Store) (engine.MasterKey, error) {
	if err := a.openMasterKeys(t.Context(), st); err != nil {
		return engine.MasterKey{}, err
	}
	keys, err := a.masterKeys()
	if err != nil {
		return engine.MasterKey{}, err
	}
	return keys[0], nil
}

// The key file is made once, for its owner alone, however many start at once.
func TestMasterKeyIsMadeOnce(t *testing.T) {
	folder := t.TempDir()
	a, st := openApp(t, folder)
	keys := make([]engine.MasterKey, 16)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = openedKey(t, a, st); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, key := range keys {
		if key != keys[0] || key == (engine.MasterKey{}) {
			t.Error("two starts have two keys")
		}
	}
	info, err := os.Stat(filepath.Join(folder, masterKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "*.new-*")); files != nil {
		t.Errorf("left behind: %v", files)
	}
}

// threats.md 25: a key that is missing, garbled or open to others stops the
// start; there is no fallback.
func TestThreat25MasterKey(t *testing.T) {
	folder := t.TempDir()
	a, st := openApp(t, folder)
	path := filepath.Join(folder, masterKeyFile)
	key, err := openedKey(t, a, st)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(t.Context(), engine.Options{Store: st, MasterKey: key, Services: a.declarations})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		prepare func() error
		want    string
	}{
		"missing":        {func() error { return os.Remove(path) }, "is missing"},
		"garbled":        {func() error { return os.WriteFile(path, []byte("zz"), 0o600) }, "64 hexadecimal digits"},
		"short":          {func() error { return os.WriteFile(path, good[:32], 0o600) }, "64 hexadecimal digits"},
		"open to others": {func() error { return os.Chmod(path, 0o644) }, "chmod 600"},
		"a folder":       {func() error { return os.Mkdir(path, 0o700) }, "gatehouse.key"},
		"not set":        {func() error { a.MasterKey = "{env.GATEHOUSE_NO_SUCH_KEY}"; return nil }, "GATEHOUSE_NO_SUCH_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				a.MasterKey = ""
				os.RemoveAll(path)
				if err := os.WriteFile(path, good, 0o600); err != nil {
					t.Fatal(err)
				}
			}()
			os.RemoveAll(path)
			if name == "open to others" || name == "missing" {
				if err := os.WriteFile(path, good, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.prepare(); err != nil {
				t.Fatal(err)
			}
			if err := a.openMasterKeys(t.Context(), st); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
