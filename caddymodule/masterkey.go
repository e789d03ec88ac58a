package caddymodule

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// masterKeyFile is the key's name beside the database.
const masterKeyFile = "gatehouse.key"

// masterKey finds the master key: the one given, or the file beside the
// database, which is made for a new database and for no other.
func (a *App) masterKey(ctx context.Context, st store.Store) (key engine.MasterKey, err error) {
	if a.MasterKey != "" {
		text, err := resolve(a.MasterKey)
		if err != nil {
			return key, err
		}
		return parseMasterKey(text)
	}
	if a.storage.Folder() == "" {
		return key, errors.New("this storage needs master_key")
	}
	path := filepath.Join(a.storage.Folder(), masterKeyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return a.newMasterKey(ctx, st, path)
	}
	if err != nil {
		return key, err
	}
	if key, err = parseMasterKey(string(text)); err != nil {
		return key, fmt.Errorf("%s: %w", path, err)
	}
	return key, checkMode(path)
}

// masterKeySource says where the master key comes from, for errors.
func (a *App) masterKeySource() string {
	if a.MasterKey != "" {
		return "the option master_key"
	}
	return filepath.Join(a.storage.Folder(), masterKeyFile)
}

// checkMode refuses a key that others on this machine can read.
func checkMode(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	return nil
}

func parseMasterKey(text string) (key engine.MasterKey, err error) {
	raw, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != len(key) {
		return key, fmt.Errorf("expected %d hexadecimal digits", 2*len(key))
	}
	copy(key[:], raw)
	return key, nil
}

// newMasterKey makes the key file. It does not when the database holds keys:
// those were sealed under a key that is missing now.
func (a *App) newMasterKey(ctx context.Context, st store.Store, path string) (key engine.MasterKey, err error) {
	for _, d := range a.declarations {
		id, err := st.EnsureService(ctx, d.Service.Issuer)
		if err != nil {
			return key, err
		}
		sealed, err := st.Keys(ctx, id)
		if err != nil {
			return key, err
		}
		if len(sealed) > 0 {
			return key, fmt.Errorf("%s is missing, and the database cannot be opened without it: restore it, or give master_key", path)
		}
	}
	if _, err := rand.Read(key[:]); err != nil {
		return key, err
	}
	err = writeOnce(path, hex.EncodeToString(key[:])+"\n")
	if errors.Is(err, fs.ErrExist) { // another process was first
		text, err := os.ReadFile(path)
		if err != nil {
			return key, err
		}
		return parseMasterKey(string(text))
	}
	return key, err
}

// writeOnce makes a file that only its owner can read, whole or not at all.
// fs.ErrExist: there is one.
func writeOnce(path, text string) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".gatehouse-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Link(file.Name(), path)
}
