package caddymodule

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup <file>", Short: "Copies the SQLite database, as of one moment, while servers run", Args: oneFile,
		Long: `Makes a copy, checks it, and gives it its name only then. To restore it, stop the
servers, put it in the place of the database without the files that end in -wal
and -shm, and start them with the master key of the time of the backup. What was
revoked since is good again: restoring is for disasters. A backup that was killed
leaves a file named as the copy with .new- and a number behind, which holds what
the database does: remove it, and those beside it that end in -journal.

The master key is not in the copy. Keep both, apart from each other.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return atVault(existing, func(ctx context.Context, v *vault) error { return backUp(ctx, v, args[0]) })(cmd, nil)
		},
	}
}

func backUp(ctx context.Context, v *vault, path string) error {
	st, ok := v.store.(interface {
		Backup(ctx context.Context, path string) error
	})
	if !ok {
		return errors.New("this storage has means of its own for backups, such as pg_basebackup")
	}
	if err := st.Backup(ctx, path); err != nil {
		return err
	}
	say(v.cmd, "wrote %s; without the master key from %s, which is not in it, it cannot be used: keep both, apart from each other\n",
		path, v.app.masterKeySource())
	return nil
}
