package caddymodule

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/standard" // the adapter of Caddyfiles

	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

// moves moves what commands work with to another database, as a command does.
func (v *vault) moves(t *testing.T, to string) (said string, err error) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "new.caddyfile")
	text := fmt.Sprintf("{\n\tgatehouse {\n\t\tstorage sqlite %s\n\t\tmaster_key {file.%s}\n\t\tservice {\n\t\t\tissuer https://as.example.com\n\t\t}\n\t}\n}\n",
		to, v.app.masterKeyPath())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := moveCommand(), new(bytes.Buffer)
	cmd.SetOut(out)
	if err := cmd.Flags().Set("to", config); err != nil {
		t.Fatal(err)
	}
	moving := *v
	moving.cmd = cmd
	err = move(t.Context(), &moving, v.store.(*sqlite.Store))
	return strings.ReplaceAll(out.String(), config, "new.caddyfile"), err
}

// A key file that still has the key before is one that master_key can name, as the
// move says. What starts servers must name the new configuration, which it says.
func TestMoveAfterRotate(t *testing.T) {
	v := openVault(t)
	if err := masterKeyRotate(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	said, err := v.moves(t, filepath.Join(t.TempDir(), "new.db"))
	if err != nil || !strings.Contains(said, "run at once: caddy reload --config new.caddyfile\n") || !strings.Contains(said, "start servers with it from now on") {
		t.Errorf("move: %v %s", err, said)
	}
}

// A storage that cannot take over says how it becomes one that can.
func TestMoveToUsed(t *testing.T) {
	v := openVault(t)
	path := filepath.Join(t.TempDir(), "new.db")
	other, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.EnsureService(t.Context(), "https://other.example.com"); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = v.moves(t, path)
	if err == nil || !strings.Contains(err.Error(), "https://other.example.com; it must be empty: if nothing in it is needed") || !strings.Contains(err.Error(), "remove "+path) {
		t.Errorf("move: %v", err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-lock"} {
		if err := os.RemoveAll(path + suffix); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.moves(t, path); err != nil {
		t.Errorf("once it is empty: %v", err)
	}
}

// After a move the key file may be the new storage's: nothing here draws another
// key, forgets one, or says that it would end well if it were run again.
func TestMasterKeyAfterMove(t *testing.T) {
	v := openVault(t)
	if err := masterKeyRotate(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if _, err := v.moves(t, filepath.Join(t.TempDir(), "new.db")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(v.app.masterKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	for name, work := range map[string]func(context.Context, *vault) error{"rotate": masterKeyRotate, "reseal": masterKeyReseal, "forget": masterKeyForget} {
		err := work(t.Context(), v)
		if err == nil || !strings.Contains(err.Error(), "must name the new storage") || strings.Contains(err.Error(), "nothing is lost") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, err := os.ReadFile(v.app.masterKeyPath()); err != nil || string(after) != string(before) {
		t.Errorf("%v: the key file has changed", err)
	}
}
