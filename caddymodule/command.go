package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "gatehouse",
		Short: "Checks services, and manages users and keys, of Gatehouse",
		Long: `Works on the storage that the configuration names, beside a running server
or without one. A running server follows within a second.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.PersistentFlags().StringP("config", "c", "", "Configuration file (default: Caddyfile in this folder)")
			cmd.PersistentFlags().StringP("adapter", "a", "", "Name of config adapter to apply")
			cmd.PersistentFlags().String("issuer", "", "The service; may be left out when there is only one")
			cmd.AddCommand(serviceCommand(), userCommand(), keyCommand(), doctorCommand(),
				exportCommand(), importCommand(), backupCommand(), moveCommand())
		},
	})
}

// desk is what a command works with: one service on its storage.
type desk struct {
	app     *App
	store   store.Store
	service *model.Service
}

// atApp runs a command's work on the app of the configuration, whose storage can
// be opened.
func atApp(work func(ctx context.Context, app *App, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		ctx, cancel := caddy.NewContext(caddy.Context{Context: cmd.Context()})
		defer cancel()
		app, err := appFromFlags(cmd)
		if err != nil {
			return err
		}
		if err := app.loadStorage(ctx); err != nil {
			return err
		}
		return work(ctx, app, cmd, args)
	}
}

// opener is how a command opens the storage.
type opener func(context.Context, Storage) (store.Store, error)

// orNew opens a storage, and makes it at first.
func orNew(ctx context.Context, storage Storage) (store.Store, error) { return storage.Open(ctx) }

// existing opens a storage that must be there: of a path that is mistyped, or
// another user's, nothing would be read, copied or changed without a word.
func existing(ctx context.Context, storage Storage) (store.Store, error) {
	if storage, ok := storage.(asItIs); ok {
		st, err := storage.OpenAsIs(ctx)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no database%s: is this the user, and the configuration, of the server?", placeOf(err))
		}
		if err == nil { // other troubles are Open's to tell
			_ = st.Close()
		}
	}
	return storage.Open(ctx)
}

// placeOf says which file an error is about, if it is about one.
func placeOf(err error) string {
	var missing *fs.PathError
	if errors.As(err, &missing) {
		return " at " + missing.Path
	}
	return ""
}

// atDesk runs a command's work on the service that the flags name.
func atDesk(open opener, work func(ctx context.Context, d *desk, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return atApp(func(ctx context.Context, app *App, cmd *cobra.Command, args []string) (err error) {
		d, err := openDesk(ctx, app, open, flag(cmd, "issuer"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.store.Close()) }()
		return work(ctx, d, cmd, args)
	})
}

// appFromFlags reads the app out of the configuration. A command needs no
// client secret, so placeholders stay as they are.
func appFromFlags(cmd *cobra.Command) (*App, error) {
	file := flag(cmd, "config")
	if file == "" {
		file = "Caddyfile"
	}
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("which configuration? give --config: %w", err)
	}
	return readApp(file, flag(cmd, "adapter"))
}

// readApp reads the app out of a configuration.
func readApp(file, adapter string) (*App, error) {
	raw, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return nil, err
	}
	var config struct {
		Apps struct {
			Gatehouse *App `json:"gatehouse"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, err
	}
	if config.Apps.Gatehouse == nil {
		return nil, fmt.Errorf("%s does not configure gatehouse", file)
	}
	return config.Apps.Gatehouse, nil
}

// openDesk opens the storage and finds the service in it.
func openDesk(ctx context.Context, app *App, open opener, issuer string) (*desk, error) {
	for _, s := range app.Services {
		d, err := s.declareUnresolved()
		if err != nil {
			return nil, err
		}
		app.declarations = append(app.declarations, d)
	}
	service, err := app.Declared(issuer)
	if err != nil {
		return nil, err
	}
	st, err := open(ctx, app.storage)
	if err != nil {
		return nil, err
	}
	if service.ID, err = st.EnsureService(ctx, service.Issuer); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &desk{app: app, store: st, service: service}, nil
}

func flag(cmd *cobra.Command, name string) string {
	value, _ := cmd.Flags().GetString(name)
	return value
}

// say writes a command's result to standard output.
func say(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.OutOrStdout(), format, args...)
}
