package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func masterKeyCommand() *cobra.Command {
	master := &cobra.Command{
		Use: "master", Short: "Replaces the master key",
		Long: `The master key encrypts private keys and client secrets in the storage. What is
derived, such as pairwise subjects, does not change with it.

The key file beside the database: "rotate" makes a new key and encrypts
everything with it, while servers run; "reseal" goes on with one that was
interrupted. "forget" then removes the old key.

The option master_key, with one node or many:
 1. On every node, add the new key as a previous one: master_key <old> <new>
 2. On every node, make it the current one: master_key <new> <old>
 3. Run "reseal" once.
 4. On every node, remove the old key.

A backup can be restored only with the master key of its time.`,
	}
	master.AddCommand(&cobra.Command{
		Use: "rotate", Short: "Puts a new master key into the key file, and encrypts everything with it", Args: cobra.NoArgs,
		RunE: atVault(masterKeyRotate),
	}, &cobra.Command{
		Use: "reseal", Short: "Encrypts everything with the current master key", Args: cobra.NoArgs,
		RunE: atVault(masterKeyReseal),
	}, &cobra.Command{
		Use: "forget", Short: "Removes the previous master keys from the key file", Args: cobra.NoArgs,
		RunE: atVault(masterKeyForget),
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

// atVault runs a command's work on the storage of the configuration.
func atVault(work func(ctx context.Context, v *vault) error) func(*cobra.Command, []string) error {
	return atApp(func(ctx context.Context, app *App, cmd *cobra.Command, _ []string) (err error) {
		st, err := app.storage.Open(ctx)
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
	// keyFileLease is the lease under which one process at a time changes the key
	// file. Two at once could lose a key under which something is.
	keyFileLease = "master key file"
	// keyFileTime is how long the change of a file may take.
	keyFileTime = time.Minute
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

// changeFile replaces the keys in the key file, while no other command does.
func (v *vault) changeFile(ctx context.Context, change func([]engine.MasterKey) ([]engine.MasterKey, error)) error {
	holder := rand.Text()
	held, err := v.store.Lease(ctx, keyFileLease, holder, keyFileTime)
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("another command is changing the key file, or was interrupted: try again in %s", keyFileTime)
	}
	// Best effort: a lease that is not given back ends by itself.
	defer func() { _, _ = v.store.Lease(context.WithoutCancel(ctx), keyFileLease, holder, 0) }()
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
	// Nothing new while something is under a key that is not known.
	if now, err := engine.Survey(ctx, v.rows, v.app.masterKeys); err != nil {
		return err
	} else if now.Unopened > 0 {
		return unopened(now)
	}
	err := v.changeFile(ctx, func(keys []engine.MasterKey) ([]engine.MasterKey, error) {
		key, err := drawMasterKey()
		keys = append([]engine.MasterKey{key}, keys...)
		return keys, errors.Join(err, boundMasterKeys(keys))
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
	say(v.cmd, "encrypted %d values anew; all %d are under the current master key\n", before+more, now.Current)
	if now.Unopened > 0 {
		return unopened(now)
	}
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
	forgotten := 0
	err = v.changeFile(ctx, func(keys []engine.MasterKey) ([]engine.MasterKey, error) {
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

func unopened(now engine.Sealed) error {
	return fmt.Errorf("no master key opens %d values, the first of them %s: restore the key that they are under", now.Unopened, now.First)
}

// unfinished says how to go on: a second "rotate" would draw one more key.
func unfinished(err error) error {
	return fmt.Errorf("%w; nothing is lost: run caddy gatehouse key master reseal", err)
}
