package caddymodule

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
	"github.com/gatehouse-auth/gatehouse/engine/store/newfile"
)

func exportCommand() *cobra.Command {
	export := &cobra.Command{
		Use: "export", Short: "Writes everything that is stored, or one service, into a file", Args: cobra.NoArgs,
		Long: `Writes a file of JSON lines as of one moment, beside a running server, which does
not wait for it. It can be imported into an empty storage, or beside services that
came from this one.

Private keys and client secrets stay encrypted under the master key, which is not
in the file. Hashes of passwords and of tokens, names and claims are as they are
stored: guard the file as you do the storage. An export that was killed leaves a
file named as the output with .new- and a number behind: remove it.

A service that an import has not loaded to its end is left out, and named.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return atVault(existing, exportRows)(cmd, nil)
		},
	}
	export.Flags().StringP("output", "o", "-", "The file to make, for its owner alone; - is standard output")
	export.Flags().Bool("without-tokens", false, "Leave out sessions, grants and tokens: everybody signs in anew")
	return export
}

func exportRows(ctx context.Context, v *vault) error {
	without, _ := v.cmd.Flags().GetBool("without-tokens")
	var done archive.Exported
	write := func(w io.Writer) (err error) {
		done, err = archive.Export(ctx, v.store, flag(v.cmd, "issuer"), !without, time.Now(), w)
		return err
	}
	var err error
	if output := flag(v.cmd, "output"); output == "-" {
		err = write(v.cmd.OutOrStdout())
	} else {
		err = newfile.Create(output, func(draft *os.File) error { return write(draft) })
	}
	if err != nil {
		return err
	}
	for _, issuer := range done.LeftOut {
		fmt.Fprintf(v.cmd.ErrOrStderr(), "left out, since it was not loaded to its end: %s\n", issuer)
	}
	fmt.Fprintf(v.cmd.ErrOrStderr(), "exported %d rows\n", done.Rows)
	return nil
}
