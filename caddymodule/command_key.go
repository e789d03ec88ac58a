package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

func keyCommand() *cobra.Command {
	key := &cobra.Command{Use: "key", Short: "Manages the signing keys"}
	rotate := &cobra.Command{
		Use: "rotate", Short: "Announces new signing keys, which take over from the old ones", Args: cobra.NoArgs,
		RunE: atDesk(existing, keyRotate),
	}
	rotate.Flags().StringSlice("alg", nil, "The algorithms; all that have keys by default")
	take := &cobra.Command{
		Use: "import <file>", Short: "Announces keys of your own, a JWK Set with private keys, which take over from the old ones", Args: oneFile,
		RunE: atDesk(orNew, keyImport),
	}
	for _, cmd := range []*cobra.Command{rotate, take} {
		cmd.Flags().String("announce", defaultAnnounce.String(), "How long the new keys are published before they sign")
		cmd.Flags().String("overlap", "", "How long the old keys verify after that; by default as long as tokens live")
	}
	key.AddCommand(rotate, take, masterKeyCommand(), &cobra.Command{
		Use: "list", Short: "Lists the signing keys", Args: cobra.NoArgs,
		RunE: atDesk(existing, keyList),
	})
	return key
}

func keyRotate(ctx context.Context, d *desk, cmd *cobra.Command, _ []string) error {
	algs, _ := cmd.Flags().GetStringSlice("alg")
	return replaceKeys(ctx, d, cmd, func(e *engine.Engine, announce time.Duration, overlap *time.Duration) ([]string, error) {
		return rotateKeys(ctx, e, d.service, algs, announce, overlap)
	})
}

// maxKeyFile bounds a file of keys, in bytes.
const maxKeyFile = model.MaxJWKS

func keyImport(ctx context.Context, d *desk, cmd *cobra.Command, args []string) error {
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	jwks, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil || len(jwks) > maxKeyFile {
		return errors.Join(err, fmt.Errorf("%s: expected a JWK Set of at most %d bytes", args[0], maxKeyFile))
	}
	return replaceKeys(ctx, d, cmd, func(e *engine.Engine, announce time.Duration, overlap *time.Duration) ([]string, error) {
		plan, err := rotation(d.service, announce, overlap)
		if err != nil {
			return nil, err
		}
		return e.ImportKeys(ctx, d.service.ID, string(jwks), plan)
	})
}

// replaceKeys opens the keys and says what became of them.
func replaceKeys(ctx context.Context, d *desk, cmd *cobra.Command, replace func(*engine.Engine, time.Duration, *time.Duration) ([]string, error)) error {
	announce, err := caddy.ParseDuration(flag(cmd, "announce"))
	if err != nil {
		return fmt.Errorf("--announce: %w", err)
	}
	var overlap *time.Duration
	if text := flag(cmd, "overlap"); text != "" {
		duration, err := caddy.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("--overlap: %w", err)
		}
		overlap = &duration
	}
	if err := d.app.openMasterKeys(ctx, d.store); err != nil {
		return err
	}
	e, err := engine.New(ctx, engine.Options{
		Store: d.store, MasterKeys: d.app.masterKeys, Services: []engine.Declaration{{Service: *d.service}},
	})
	if err != nil {
		return err
	}
	defer e.Close()
	kids, err := replace(e, announce, overlap)
	if err != nil {
		return err
	}
	for _, kid := range kids {
		say(cmd, "announced %s; it takes over at %s\n", kid, time.Now().Add(announce).UTC().Format(time.RFC3339))
	}
	return nil
}

func keyList(ctx context.Context, d *desk, cmd *cobra.Command, _ []string) error {
	rows, err := d.store.Keys(ctx, d.service.ID)
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b model.Key) int {
		return cmp.Or(cmp.Compare(a.Alg, b.Alg), cmp.Compare(a.NotBefore, b.NotBefore))
	})
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tALGORITHM\tSIGNS FROM\tENDS")
	for _, k := range rows {
		ends := "-"
		if k.ExpiresAt != 0 {
			ends = time.Unix(k.ExpiresAt, 0).UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", k.KID, k.Alg, time.Unix(k.NotBefore, 0).UTC().Format(time.RFC3339), ends)
	}
	return table.Flush()
}
