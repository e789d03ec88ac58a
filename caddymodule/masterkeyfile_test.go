package caddymodule

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine"
)

// The file has a key a line, the current one first, and nothing else.
func TestMasterKeyFile(t *testing.T) {
	a, b := engine.MasterKey{1}, engine.MasterKey{2}
	lines := masterKeyLines(a, b)
	for name, c := range map[string]struct {
		text string
		want []engine.MasterKey
		err  string
	}{
		"one":                 {masterKeyLines(a), []engine.MasterKey{a}, ""},
		"two":                 {lines, []engine.MasterKey{a, b}, ""},
		"no last line break":  {strings.TrimSpace(lines), []engine.MasterKey{a, b}, ""},
		"of another system":   {strings.ReplaceAll(lines, "\n", "\r\n"), []engine.MasterKey{a, b}, ""},
		"empty":               {"\n", nil, "64 hexadecimal digits"},
		"a line between":      {masterKeyLines(a) + "\n" + masterKeyLines(b), nil, "64 hexadecimal digits"},
		"a remark":            {masterKeyLines(a) + "# old\n", nil, "64 hexadecimal digits"},
		"more than are tried": {strings.Repeat(masterKeyLines(a), maxMasterKeys+1), nil, "more than 16"},
		"without an end":      {strings.Repeat(masterKeyLines(a), 10_000), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), masterKeyFile)
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readMasterKeys(path)
			if c.want == nil {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v", err)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// The option takes what the file has: a placeholder for a file with a key before
// the current one gives both, in its order.
func TestMasterKeyOption(t *testing.T) {
	a, b, c := engine.MasterKey{1}, engine.MasterKey{2}, engine.MasterKey{3}
	path := filepath.Join(t.TempDir(), masterKeyFile)
	if err := os.WriteFile(path, []byte(masterKeyLines(a, b)), 0o600); err != nil {
		t.Fatal(err)
	}
	app := &App{MasterKey: "{file." + path + "}", PreviousMasterKeys: []string{masterKeyLines(c)}, storage: new(Postgres)}
	got, err := app.masterKeys()
	if diff := cmp.Diff([]engine.MasterKey{a, b, c}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for text, want := range map[string]string{masterKeyLines(a) + "# old\n": "64 hexadecimal digits", strings.Repeat(masterKeyLines(a), maxMasterKeys): "more than 16"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := app.masterKeys(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A key under which something is must not be lost: of many commands that change
// the file at once, each adds its key to those of the others, or is refused.
func TestMasterKeyFileIsChangedByOne(t *testing.T) {
	a, st := openApp(t, t.TempDir())
	first, err := openedKey(t, a, st)
	if err != nil {
		t.Fatal(err)
	}
	added := make([]engine.MasterKey, 8)
	var all sync.WaitGroup
	for i := range added {
		all.Go(func() {
			v := &vault{app: a, store: st, cmd: new(cobra.Command)}
			err := v.changeFile(func(keys []engine.MasterKey) ([]engine.MasterKey, error) {
				return append([]engine.MasterKey{{byte(i + 1)}}, keys...), nil
			})
			if err == nil {
				added[i] = engine.MasterKey{byte(i + 1)}
			} else if !strings.Contains(err.Error(), "another command") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	keys, err := a.masterKeys()
	if err != nil {
		t.Fatal(err)
	}
	there := map[engine.MasterKey]bool{}
	for _, key := range keys {
		there[key] = true
	}
	if !there[first] || len(keys) < 2 {
		t.Errorf("%d keys", len(keys))
	}
	for i, key := range added {
		if key != (engine.MasterKey{}) && !there[key] {
			t.Errorf("the key that command %d has added is gone", i)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(a.storage.Folder(), "*.new-*")); files != nil {
		t.Errorf("left behind: %v", files)
	}
}

// What fails in between leaves the file as it was, and keeps nobody else from it.
func TestMasterKeyFileStays(t *testing.T) {
	a, st := openApp(t, t.TempDir())
	if _, err := openedKey(t, a, st); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(a.masterKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	v := &vault{app: a, store: st, cmd: new(cobra.Command)}
	if err := v.changeFile(func([]engine.MasterKey) ([]engine.MasterKey, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if after, err := os.ReadFile(a.masterKeyPath()); err != nil || string(after) != string(before) {
		t.Errorf("%v: the file has changed", err)
	}
	if err := v.changeFile(func(keys []engine.MasterKey) ([]engine.MasterKey, error) { return keys, nil }); err != nil {
		t.Errorf("once more: %v", err)
	}
}
