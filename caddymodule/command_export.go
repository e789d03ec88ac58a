package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
)

func exportCommand() *cobra.Command {
	export := &cobra.Command{
		Use: "export", Short: "Writes everything that is stored, or one service, into a file", Args: cobra.NoArgs,
		Long: `Writes a file of JSON lines as of one moment, beside a running server, which does
not wait for it. It can be imported into an empty storage, or beside other
services.

Private keys and client secrets stay encrypted under the master key, which is not
in the file. Hashes of passwords and of tokens, names and claims are as they are
stored: guard the file as you do the storage.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return atVault(exportRows)(cmd, nil)
		},
	}
	export.Flags().StringP("output", "o", "-", "The file to make, for its owner alone; - is standard output")
	export.Flags().Bool("without-tokens", false, "Leave out sessions, grants and tokens: everybody signs in anew")
	return export
}

func exportRows(ctx context.Context, v *vault) error {
	without, _ := v.cmd.Flags().GetBool("without-tokens")
	rows := int64(0)
	write := func(w io.Writer) (err error) {
		rows, err = archive.Export(ctx, v.store, flag(v.cmd, "issuer"), !without, time.Now(), w)
		return err
	}
	output := flag(v.cmd, "output")
	var err error
	if output == "-" {
		err = write(v.cmd.OutOrStdout())
	} else {
		err = writeNew(output, write)
	}
	if err == nil {
		fmt.Fprintf(v.cmd.ErrOrStderr(), "exported %d rows\n", rows)
	}
	return err
}

// writeNew makes a file that only its owner can read, whole and for good, or not
// at all. fs.ErrExist: there is one.
func writeNew(path string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".gatehouse-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	err = write(file)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}
