package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
)

func importCommand() *cobra.Command {
	load := &cobra.Command{
		Use: "import <file>", Short: "Loads an exported file into an empty storage, or beside services of the same origin", Args: importArgs,
		Long: `Reads the file to its end first, and refuses it when it was cut or changed, when
the master key does not open what is encrypted in it, or when the storage has one
of its services or ids: they are kept, and nothing is merged.

A storage of its own can always take it. One with other services can only when
those came from the storage that the file is from: any other one has counted the
same ids, and has derived subjects and tokens from other secrets.

The master key of the exported storage must be there before: as master_key, or as
the key file beside the database. A service can be used once all of it is loaded;
until then no server can start with it.

An import that was interrupted is begun again by the next one, which removes what
is there of it; --cancel only removes that. It removes what a move has left, too:
a move that has failed is better run again.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return atVault(existing, cancelImport)(cmd, nil)
			}
			return atVault(orNew, func(ctx context.Context, v *vault) error { return importRows(ctx, v, args[0]) })(cmd, nil)
		},
	}
	load.Flags().Bool("cancel", false, "Remove what an import that was interrupted has left")
	return load
}

// importArgs takes a file, unless the import is given up.
func importArgs(cmd *cobra.Command, args []string) error {
	if cancel, _ := cmd.Flags().GetBool("cancel"); cancel {
		return cobra.NoArgs(cmd, args)
	}
	return oneFile(cmd, args)
}

// oneFile takes a file, for which an error asks as the usage does.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("expected one file, not %d: %s", len(args), cmd.UseLine())
	}
	return nil
}

func cancelImport(ctx context.Context, v *vault) error {
	l, err := archive.Load(ctx, v.store)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Clear(ctx); err != nil {
		return err
	}
	say(v.cmd, "nothing is left of an import that was interrupted\n")
	return nil
}

func importRows(ctx context.Context, v *vault, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	plan, err := archive.Verify(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := v.opens(ctx, exported{file}); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	rows, err := plan.Import(ctx, v.store, file, func(name string, a, b []byte) (bool, error) {
		return engine.SameSecret(v.app.masterKeys, name, a, b)
	})
	if err != nil {
		return v.importError(err)
	}
	say(v.cmd, "imported %d rows of %d services\n", rows, len(plan.Services))
	return nil
}

// importError says how to go on.
func (v *vault) importError(err error) error {
	switch {
	case errors.Is(err, archive.ErrLoading):
		return err
	case errors.Is(err, archive.ErrTaken):
		return fmt.Errorf("%w; import it into a storage of its own, or empty this one: %s", err, howToEmpty(v.app.storage))
	case errors.Is(err, store.ErrConflict): // ids are drawn by each storage for itself
		return fmt.Errorf(`%w: it has the id or the name of another row, so that this storage cannot take it in; `+
			`import the file into a storage of its own, or one that was exported with --without-tokens if that leaves the row out; `+
			`import --cancel removes what is there of it`, err)
	}
	return fmt.Errorf("%w; nothing is lost: run it again", err)
}

// howToEmpty says how a storage is made one that takes everything in.
func howToEmpty(storage Storage) string {
	switch s := storage.(type) {
	case *SQLite:
		return fmt.Sprintf("if nothing in it is needed, stop what uses it, and remove %s and the files beside it that end in -wal, -shm and -lock", s.path)
	case *Postgres:
		return "if nothing in it is needed, stop what uses it, and drop the schema gatehouse, or the one that the search_path of its connection string names"
	}
	return "see what it keeps, and remove that if nothing is needed"
}

// opens fails unless the master keys of a configuration open all that is sealed.
func (v *vault) opens(ctx context.Context, sealed engine.Vault) error {
	now, err := engine.Survey(ctx, sealed, v.app.masterKeys)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the master key must be there first: copy it to %s, or give master_key (%w)", v.app.masterKeyPath(), err)
	}
	if err != nil {
		return err
	}
	if now.Unopened > 0 {
		return fmt.Errorf("the master key from %s does not open %d of %d encrypted values, the first of them %s: that of the storage which they are from must be there",
			v.app.masterKeySource(), now.Unopened, now.Unopened+now.Current+now.Previous, now.First)
	}
	return nil
}

// exported is a file of rows as a vault that is only looked at.
type exported struct{ file io.ReadSeeker }

// Rows is part of engine.Vault.
func (e exported) Rows(_ context.Context, _ model.ID, f func(store.Row) error) error {
	if _, err := e.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, err := archive.NewReader(e.file)
	if err != nil {
		return err
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
}

// Write is part of engine.Vault.
func (exported) Write(context.Context, ...store.Step) error { return fs.ErrPermission }
