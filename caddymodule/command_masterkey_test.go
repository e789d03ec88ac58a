package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// openVault is what commands work with, on a storage with something in it.
func openVault(t *testing.T) *vault {
	t.Helper()
	a, st := openApp(t, t.TempDir())
	if _, err := openedKey(t, a, st); err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(t.Context(), engine.Options{Store: st, MasterKeys: a.masterKeys, Services: a.declarations})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	cmd := new(cobra.Command)
	cmd.SetOut(new(bytes.Buffer))
	return &vault{app: a, store: st, rows: st.(engine.Vault), cmd: cmd}
}

// passing does something once when rows have been read, or fails.
type passing struct {
	engine.Vault
	after func() error
}

func (p *passing) Rows(ctx context.Context, service model.ID, f func(store.Row) error) error {
	err := p.Vault.Rows(ctx, service, f)
	if after := p.after; err == nil && after != nil {
		p.after = nil
		return after()
	}
	return err
}

// A key that everything is under is never forgotten, whatever another command
// does beside.
func TestForgetBesideRotate(t *testing.T) {
	v := openVault(t)
	other := *v
	v.rows = &passing{v.rows, func() error {
		return other.changeFile(func(keys []engine.MasterKey) ([]engine.MasterKey, error) {
			key, err := drawMasterKey()
			return append([]engine.MasterKey{key}, keys...), err
		})
	}}
	if err := masterKeyForget(t.Context(), v); err == nil || !strings.Contains(err.Error(), "another command") {
		t.Errorf("forget: %v", err)
	}
	if now, err := engine.Survey(t.Context(), other.rows, v.app.masterKeys); err != nil || now.Unopened > 0 {
		t.Errorf("%+v %v", now, err)
	}
	if err := masterKeyReseal(t.Context(), &other); err != nil {
		t.Error(err)
	}
	if err := masterKeyForget(t.Context(), &other); err != nil {
		t.Error(err)
	}
	if now, err := engine.Survey(t.Context(), other.rows, v.app.masterKeys); err != nil || now.Unopened > 0 || now.Current == 0 {
		t.Errorf("in the end: %+v %v", now, err)
	}
}

// Who is told how to go on with a rotation is not told to draw one more key.
func TestRotateGoesOnWithReseal(t *testing.T) {
	v := openVault(t)
	sound, broken := v.rows, errors.New("broken")
	v.rows = &passing{sound, func() error { // once looked at, and the first time to seal
		v.rows.(*passing).after = func() error { return broken }
		return nil
	}}
	if err := masterKeyRotate(t.Context(), v); !errors.Is(err, broken) || !strings.Contains(err.Error(), "key master reseal") {
		t.Errorf("rotate: %v", err)
	}
	v.rows = sound
	if err := masterKeyReseal(t.Context(), v); err != nil {
		t.Error(err)
	}
	if keys, err := v.app.masterKeys(); err != nil || len(keys) != 2 {
		t.Errorf("%d keys: %v", len(keys), err)
	}
}

// As many keys as are tried can be in the file. Then it says what makes room.
func TestRotateIsBounded(t *testing.T) {
	v := openVault(t)
	keys, err := v.app.masterKeys()
	if err != nil {
		t.Fatal(err)
	}
	for len(keys) < maxMasterKeys {
		keys = append(keys, engine.MasterKey{byte(len(keys))})
	}
	if err := writeOver(v.app.masterKeyPath(), masterKeyLines(keys...)); err != nil {
		t.Fatal(err)
	}
	if err := masterKeyRotate(t.Context(), v); err == nil || !strings.Contains(err.Error(), "key master forget") {
		t.Errorf("rotate: %v", err)
	}
	if err := masterKeyForget(t.Context(), v); err != nil {
		t.Error(err)
	}
	if err := masterKeyRotate(t.Context(), v); err != nil {
		t.Errorf("rotate, once there is room: %v", err)
	}
}

// Under a key that opens nothing no success is told, and it is the key, and
// nothing else, that is said to be another's.
func TestWrongMasterKey(t *testing.T) {
	v := openVault(t)
	if err := os.WriteFile(v.app.masterKeyPath(), []byte(masterKeyLines(engine.MasterKey{1})), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := masterKeyReseal(t.Context(), v); err == nil || !strings.Contains(err.Error(), "no master key opens") {
		t.Errorf("reseal: %v", err)
	}
	if said := v.cmd.OutOrStdout().(*bytes.Buffer).String(); said != "" {
		t.Errorf("reseal said: %s", said)
	}
	err := v.opens(t.Context(), v.rows)
	if err == nil || !strings.HasPrefix(err.Error(), "the master key from "+v.app.masterKeyPath()+" does not open") || !strings.Contains(err.Error(), "that of the storage which they are from must be there") {
		t.Errorf("opens: %v", err)
	}
}
