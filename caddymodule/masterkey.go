package caddymodule

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/newfile"
)

// masterKeyFile is the key's name beside the database.
const masterKeyFile = "gatehouse.key"

const (
	// maxMasterKeys bounds the keys that are tried on what is sealed.
	maxMasterKeys = 16
	// maxMasterKeyFile bounds the file, in bytes.
	maxMasterKeyFile = 4096
)

// openMasterKeys makes sure that there is a master key: the file beside the
// database is made for a new database, and for no other.
func (a *App) openMasterKeys(ctx context.Context, st store.Store) error {
	_, err := a.masterKeys()
	if a.MasterKey == "" && errors.Is(err, fs.ErrNotExist) {
		made := a.newMasterKey(ctx, st)
		if _, err = a.masterKeys(); err != nil { // else another process may have made it
			err = cmp.Or(made, err)
		}
	}
	if err != nil {
		return fmt.Errorf("master key: %w", err)
	}
	return nil
}

// masterKeys reads the master keys, the current one first: those given, or the
// lines of the file beside the database. It is safe for concurrent use.
func (a *App) masterKeys() ([]engine.MasterKey, error) {
	if a.MasterKey != "" {
		return a.givenMasterKeys()
	}
	if a.storage.Folder() == "" {
		return nil, errors.New("this storage needs master_key")
	}
	return readMasterKeys(a.masterKeyPath())
}

func (a *App) masterKeyPath() string { return filepath.Join(a.storage.Folder(), masterKeyFile) }

// masterKeyOwned is whose owner the key file has: the server that opens the
// database must be able to read the key.
func (a *App) masterKeyOwned() string {
	if s, ok := a.storage.(*SQLite); ok {
		return s.path
	}
	return a.storage.Folder()
}

// masterKeySource says where the master key comes from, for errors.
func (a *App) masterKeySource() string {
	if a.MasterKey != "" {
		return "the option master_key"
	}
	return a.masterKeyPath()
}

func (a *App) givenMasterKeys() (keys []engine.MasterKey, err error) {
	for _, given := range append([]string{a.MasterKey}, a.PreviousMasterKeys...) {
		text, err := resolve(given)
		if err != nil {
			return nil, err
		}
		more, err := parseMasterKeys(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	return keys, boundMasterKeys(keys)
}

// readMasterKeys reads the file beside a database.
func readMasterKeys(path string) (keys []engine.MasterKey, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxMasterKeyFile))
	if err != nil {
		return nil, err
	}
	if keys, err = parseMasterKeys(string(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, errors.Join(boundMasterKeys(keys), checkMode(path))
}

func boundMasterKeys(keys []engine.MasterKey) error {
	if len(keys) > maxMasterKeys {
		return fmt.Errorf("there are more than %d master keys: remove those that nothing is under", maxMasterKeys)
	}
	return nil
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

// parseMasterKeys reads a key a line: an option may name a key file by a
// placeholder, which has a line for each previous key, too.
func parseMasterKeys(text string) (keys []engine.MasterKey, err error) {
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		raw, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil || len(raw) != len(engine.MasterKey{}) {
			return nil, fmt.Errorf("expected %d hexadecimal digits a line", 2*len(engine.MasterKey{}))
		}
		keys = append(keys, engine.MasterKey(raw))
	}
	return keys, nil
}

// drawMasterKey returns a new key.
func drawMasterKey() (key engine.MasterKey, err error) {
	_, err = rand.Read(key[:])
	return key, err
}

// newMasterKey makes the key file. It does not when the database holds anything
// sealed: that is under a key which is missing now.
func (a *App) newMasterKey(ctx context.Context, st store.Store) error {
	sealed, err := a.holdsSealed(ctx, st)
	if err != nil {
		return err
	}
	if sealed {
		return fmt.Errorf("%s is missing, and the database cannot be opened without it: restore it, or give master_key", a.masterKeyPath())
	}
	key, err := drawMasterKey()
	if err != nil {
		return err
	}
	err = newfile.Create(a.masterKeyPath(), func(draft *os.File) error { // for good before anything is under the key
		_, err := draft.WriteString(masterKeyLines(key))
		return errors.Join(err, newfile.KeepOwner(draft, a.masterKeyOwned()))
	})
	if errors.Is(err, fs.ErrExist) { // another process was first
		return nil
	}
	return err
}

// holdsSealed reports whether the store has a root, as every one has since there
// are roots, or keys of a service.
func (a *App) holdsSealed(ctx context.Context, st store.Store) (bool, error) {
	rooted, err := engine.Rooted(ctx, st)
	if rooted || err != nil {
		return rooted, err
	}
	for _, d := range a.declarations {
		id, err := st.EnsureService(ctx, d.Service.Issuer)
		if err != nil {
			return false, err
		}
		if sealed, err := st.Keys(ctx, id); err != nil || len(sealed) > 0 {
			return true, err
		}
	}
	return false, nil
}

// masterKeyLines is the content of a key file.
func masterKeyLines(keys ...engine.MasterKey) string {
	var lines strings.Builder
	for _, key := range keys {
		lines.WriteString(hex.EncodeToString(key[:]) + "\n")
	}
	return lines.String()
}

// writeOver replaces a file by one that only its owner, who stays the same, can
// read: whole and for good, or not at all.
func writeOver(path, text string) error {
	draft, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = draft.WriteString(text)
	err = errors.Join(err, newfile.KeepOwner(draft, path), draft.Sync(), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft.Name()))
	}
	return newfile.SyncFolder(filepath.Dir(path))
}
