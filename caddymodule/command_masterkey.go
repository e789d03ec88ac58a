package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

func masterKeyCommand() *cobra.Command {
	master := &cobra.Command{
		Use: "master", Short: "Replaces the master key",
		Long: `The master key encrypts private keys and client secrets in the storage. What is
derived, such as pairwise subjects, does not change with it.

The key file beside the database: "rotate" makes a new key and encrypts
everything with it, while servers run; "reseal" goes on with one that was
interrupted. "forget" then removes the old key. The file is for every database in
its folder: "forget" refuses while one of the others, or a copy, needs the old key.

The option master_key, with one node or many:
 1. On every node, add the new key as a previous one: master_key <old> <new>
 2. On every node, make it the current one: master_key <new> <old>
 3. Run "reseal" once.
 4. On every node, remove the old key.

A backup can be restored only with the master key of its time.`,
	}
	master.AddCommand(&cobra.Command{
		Use: "rotate", Short: "Puts a new master key into the key file, and encrypts everything with it", Args: cobra.NoArgs,
		RunE: atVault(existing, masterKeyRotate),
	}, &cobra.Command{
		Use: "reseal", Short: "Encrypts everything with the current master key", Args: cobra.NoArgs,
		RunE: atVault(existing, masterKeyReseal),
	}, &cobra.Command{
		Use: "forget", Short: "Removes the previous master keys from the key file", Args: cobra.NoArgs,
		RunE: atVault(existing, masterKeyForget),
	})
	return master
}

// vault is what commands for the master key work with: a whole storage.
type vault struct {
	app   *App
	store store.Store
	rows  engine.Vault
	cmd   *cobra.Command
}

// atVault runs a command's work on the storage of the configuration. An interrupt
// ends it, so that nothing half done is left; a second one ends the process.
func atVault(open opener, work func(ctx context.Context, v *vault) error) func(*cobra.Command, []string) error {
	return atApp(func(ctx context.Context, app *App, cmd *cobra.Command, _ []string) (err error) {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop)
		st, err := open(ctx, app.storage)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.Close()) }()
		rows, ok := st.(engine.Vault)
		if !ok {
			return errors.New("this storage cannot list what is encrypted in it")
		}
		return work(ctx, &vault{app, st, rows, cmd})
	})
}

const (
	// keyFileWait is how long a command waits for another that changes the key file.
	keyFileWait = 10 * time.Second
	// followed is how long servers may take to follow the change feed: after it
	// they encrypt with the new key.
	followed = 2 * time.Second
)

// hasFile fails when the master key is not in a file of ours.
func (v *vault) hasFile() error {
	if v.app.MasterKey != "" {
		return errors.New("the master key is the option master_key: change it there, as caddy gatehouse key master --help says")
	}
	return nil
}

// takesWrites fails when all has moved to another storage: nothing can be encrypted
// anew here, and the keys of the file may be needed there.
func (v *vault) takesWrites(ctx context.Context) error {
	st, ok := v.store.(movable)
	if !ok {
		return nil
	}
	found, err := st.Moved(ctx)
	if err == nil && found != nil {
		err = fmt.Errorf("%s: %s", found.Value, found.Advice)
	}
	return err
}

// changeFile replaces the keys in the key file, while no other command does: two at
// once could lose a key under which something is. The lock is at the file, which
// more than one database may share.
func (v *vault) changeFile(change func([]engine.MasterKey) ([]engine.MasterKey, error)) (err error) {
	unlock, err := sqlite.Lock(v.app.masterKeyPath(), keyFileWait)
	if err != nil {
		return fmt.Errorf("the key file cannot be had alone, as while another command changes it: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	keys, err := v.app.masterKeys()
	if err != nil {
		return fmt.Errorf("master key: %w", err)
	}
	if keys, err = change(keys); err != nil {
		return err
	}
	return writeOver(v.app.masterKeyPath(), masterKeyLines(keys...))
}

func masterKeyRotate(ctx context.Context, v *vault) error {
	if err := v.hasFile(); err != nil {
		return err
	}
	if err := v.takesWrites(ctx); err != nil {
		return err
	}
	// Nothing new while something is under a key that is not known.
	if now, err := engine.Survey(ctx, v.rows, v.app.masterKeys); err != nil {
		return err
	} else if now.Unopened > 0 {
		return unopened(now)
	}
	err := v.changeFile(func(keys []engine.MasterKey) ([]engine.MasterKey, error) {
		if len(keys) == maxMasterKeys {
			return nil, fmt.Errorf("there are %d master keys already: caddy gatehouse key master forget removes those that nothing is under", maxMasterKeys)
		}
		key, err := drawMasterKey()
		return append([]engine.MasterKey{key}, keys...), err
	})
	if err != nil {
		return err
	}
	say(v.cmd, "a new master key is in %s\n", v.app.masterKeyPath())
	return masterKeyReseal(ctx, v)
}

// masterKeyReseal looks twice: a server may have written under the old key until
// it heard of the new one.
func masterKeyReseal(ctx context.Context, v *vault) error {
	if err := v.takesWrites(ctx); err != nil {
		return err
	}
	_, before, err := engine.Reseal(ctx, v.rows, v.app.masterKeys)
	if err != nil {
		return unfinished(err)
	}
	select {
	case <-ctx.Done():
		return unfinished(ctx.Err())
	case <-time.After(followed):
	}
	now, more, err := engine.Reseal(ctx, v.rows, v.app.masterKeys)
	if err != nil {
		return unfinished(err)
	}
	if now.Unopened > 0 {
		return unopened(now)
	}
	say(v.cmd, "encrypted %d values anew; all %d are under the current master key\n", before+more, now.Current)
	return v.sayPrevious()
}

// sayPrevious says what may be done with keys that nothing is under.
func (v *vault) sayPrevious() error {
	keys, err := v.app.masterKeys()
	switch {
	case err != nil || len(keys) == 1:
		return err
	case v.app.MasterKey != "":
		say(v.cmd, "the previous keys may be removed from the configuration of every node\n")
	default:
		say(v.cmd, "caddy gatehouse key master forget removes the previous key\n")
	}
	say(v.cmd, "keep it with the backups of its time, which cannot be restored without it\n")
	return nil
}

func masterKeyForget(ctx context.Context, v *vault) error {
	if err := v.hasFile(); err != nil {
		return err
	}
	if err := v.takesWrites(ctx); err != nil {
		return err
	}
	before, err := v.app.masterKeys()
	if err != nil {
		return fmt.Errorf("master key: %w", err)
	}
	now, resealed, err := engine.Reseal(ctx, v.rows, v.app.masterKeys)
	if err != nil {
		return fmt.Errorf("%w; nothing is lost: run it again", err)
	}
	if resealed > 0 {
		return fmt.Errorf("%d values were under a previous key until now: a server may be using it still; look at caddy gatehouse doctor, and try again", resealed)
	}
	if now.Unopened > 0 {
		return unopened(now)
	}
	if err := v.othersNeed(ctx); err != nil {
		return err
	}
	forgotten := 0
	err = v.changeFile(func(keys []engine.MasterKey) ([]engine.MasterKey, error) {
		// Everything is under the key that was the first before: it must not be among
		// those that go.
		if keys[0] != before[0] {
			return nil, errors.New("another command has put a new key into the file meanwhile: run it again")
		}
		forgotten = len(keys) - 1
		return keys[:1], nil
	})
	if err == nil {
		say(v.cmd, "removed %d previous master keys\n", forgotten)
	}
	return err
}

// othersNeed fails while another database in the folder of the key file, or a copy
// of one, needs a previous key: no configuration need name them.
func (v *vault) othersNeed(ctx context.Context) error {
	folder := v.app.storage.Folder()
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	own, err := os.Stat(v.app.masterKeyOwned())
	if err != nil {
		return err
	}
	var needs error
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || os.SameFile(info, own)) {
			continue
		}
		if err == nil {
			err = v.needsPrevious(ctx, path)
		}
		if err != nil {
			needs = errors.Join(needs, fmt.Errorf("%s: %w", path, err))
		}
	}
	if needs != nil {
		needs = fmt.Errorf("%w\nnothing is forgotten: run reseal with the configuration of each, or take it away together with a copy of %s", needs, v.app.masterKeyPath())
	}
	return needs
}

// needsPrevious fails when a file, which is not open here, is a database with
// something under a previous key, or when that cannot be known.
func (v *vault) needsPrevious(ctx context.Context, path string) error {
	is, err := sqlite.IsDatabase(path)
	if !is || err != nil {
		return err
	}
	st, err := sqlite.Open(ctx, sqlite.Options{Path: path, AsIs: true})
	if err != nil {
		return err
	}
	now, err := engine.Survey(ctx, st, v.app.masterKeys)
	if err == nil && now.Previous > 0 {
		err = fmt.Errorf("%d values are under a previous master key", now.Previous)
	}
	return errors.Join(err, st.Close())
}

func unopened(now engine.Sealed) error {
	return fmt.Errorf("no master key opens %d values, the first of them %s: restore the key that they are under", now.Unopened, now.First)
}

// unfinished says how to go on: a second "rotate" would draw one more key.
func unfinished(err error) error {
	return fmt.Errorf("%w; nothing is lost: run caddy gatehouse key master reseal", err)
}
