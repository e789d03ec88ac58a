package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

func moveCommand() *cobra.Command {
	move := &cobra.Command{
		Use: "move --to <configuration>", Short: "Moves everything from SQLite to the storage of another configuration, while servers run", Args: cobra.NoArgs,
		Long: `Copies what the storage of --config holds into the empty storage of --to, follows
what changes meanwhile, and then lets nobody write for a moment in which the last
changes are copied. Every row is compared with the new storage's once, and what
changes after that is read back as it is copied. From then on the old database
takes nothing more: servers read from it, and answer what must be written with
503 until they have the new configuration. Reload all of them at once; --reload
does it with the one that the admin endpoint of --config names, and moves nothing
unless that one can run the new configuration. What starts servers, such as a unit
of systemd, must name the new configuration, too, before the next start.

A reload does not change the environment of a process: a server reads {env.NAME}
in the new configuration as it was when it was started. Start it anew with what it
needs before the move, or with the new configuration after it.

The new configuration needs the same master key: as master_key, since the key file
beside a SQLite database is not looked for by other storages.

Whenever it fails or is interrupted before that moment is over, servers go on as
before, and it can be run again: it removes what it has left. It does not have to
be stopped by you, but --cancel removes what a move that was killed has left in
the old database. Should it say that everything is in the new storage, which could
not be told so, then run it again.

There is no other way back than --take-back: the old database takes writes again.
What the new storage has taken since is not in it: tokens that were revoked there,
or used, are good again here. Let no server use the new storage any more before.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			work := move
			if cancel, _ := cmd.Flags().GetBool("cancel"); cancel {
				work = cancelMove
			} else if back, _ := cmd.Flags().GetBool("take-back"); back {
				work = takeBack
			}
			return atVault(existing, fromSQLite(work))(cmd, nil)
		},
	}
	move.Flags().String("to", "", "The configuration with the new storage")
	move.Flags().String("read-only", "30s", "How long nobody may be able to write before it gives up")
	move.Flags().Bool("reload", false, "Load the new configuration into the running server at the end")
	move.Flags().Bool("cancel", false, "Remove what a move that was killed has left in the old database")
	move.Flags().Bool("take-back", false, "Let the old database take writes again, without what the new storage has taken")
	move.MarkFlagsMutuallyExclusive("to", "cancel", "take-back")
	return move
}

// fromSQLite runs work on the store that is moved from.
func fromSQLite(work func(ctx context.Context, v *vault, from *sqlite.Store) error) func(context.Context, *vault) error {
	return func(ctx context.Context, v *vault) error {
		from, ok := v.store.(*sqlite.Store)
		if !ok {
			return errors.New("only SQLite can be moved from")
		}
		return work(ctx, v, from)
	}
}

func cancelMove(ctx context.Context, v *vault, from *sqlite.Store) error {
	if err := from.CancelMove(ctx); err != nil {
		return err
	}
	say(v.cmd, "nothing of a move is left in the old database\n")
	return nil
}

func takeBack(ctx context.Context, v *vault, from *sqlite.Store) error {
	if err := from.TakeBack(ctx); err != nil {
		return err
	}
	say(v.cmd, "the old database takes writes again; what the new storage has taken since is not in it\n")
	return nil
}

// unswept is what storages implement that can be moved to: a row that the store
// removes by itself would be missed when both sides are compared.
type unswept interface {
	// OpenUnswept opens the storage without its sweeper.
	OpenUnswept(ctx context.Context) (store.Store, error)
}

// OpenUnswept is part of unswept.
func (s *SQLite) OpenUnswept(ctx context.Context) (store.Store, error) {
	return sqlite.Open(ctx, sqlite.Options{Path: s.path, SweepInterval: -1})
}

// OpenUnswept is part of unswept.
func (p *Postgres) OpenUnswept(ctx context.Context) (store.Store, error) {
	return postgres.Open(ctx, postgres.Options{DSN: p.dsn, SweepInterval: -1, Report: report})
}

func move(ctx context.Context, v *vault, from *sqlite.Store) error {
	readOnly, err := caddy.ParseDuration(flag(v.cmd, "read-only"))
	if err != nil || readOnly <= 0 {
		return fmt.Errorf("--read-only: expected a duration such as 30s")
	}
	target, err := v.destination(ctx)
	if err != nil {
		return err
	}
	to, err := target.app.storage.(unswept).OpenUnswept(ctx)
	if err != nil {
		return err
	}
	reload, _ := v.cmd.Flags().GetBool("reload")
	if reload {
		if err := target.findServer(v.cmd); err != nil {
			return errors.Join(err, to.Close())
		}
	}
	moved, err := from.Move(ctx, sqlite.MoveOptions{To: to, ReadOnly: readOnly, Report: func(stage sqlite.MoveStage, rows int64) {
		say(v.cmd, "%s\n", stageText(stage, rows))
	}})
	over := time.Now()
	switch {
	case errors.Is(err, sqlite.ErrMoved):
		err = fmt.Errorf("%w; with --take-back the old database takes writes again", err)
	case errors.Is(err, archive.ErrTaken):
		err = fmt.Errorf("%w; it must be empty: %s", err, howToEmpty(target.app.storage))
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	say(v.cmd, "moved; nobody could write for %s\n", moved.ReadOnly.Round(time.Millisecond))
	if !reload {
		say(v.cmd, "until they are reloaded, servers only read; run at once: caddy reload --config %[1]s\n"+
			"one that lacks something of it in its environment is started anew: caddy run --config %[1]s\n"+
			"start servers with it from now on: with the old configuration they only read\n", target.file)
		return nil
	}
	if err := target.load(); err != nil {
		return fmt.Errorf("everything has moved, but the server did not take the new configuration, and only reads until it does: "+
			"start it anew with %s, or run move --take-back: %w", target.file, err)
	}
	say(v.cmd, "reloaded; nobody could write for %s\n"+
		"start servers with %s from now on: with the old configuration, which a service of the system may name, they only read\n",
		(moved.ReadOnly + time.Since(over)).Round(time.Millisecond), target.file)
	return nil
}

// destination is the configuration that names the storage to move to.
type destination struct {
	app  *App
	file string

	config []byte // in JSON
	admin  string // of the server that is to load it
}

// destination reads the new configuration and looks whether it can take over.
func (v *vault) destination(ctx context.Context) (*destination, error) {
	file := flag(v.cmd, "to")
	if file == "" {
		return nil, errors.New("where to? give the configuration with the new storage: --to")
	}
	app, err := readApp(file, flag(v.cmd, "adapter"))
	if err != nil {
		return nil, err
	}
	caddyCtx, cancel := caddy.NewContext(caddy.Context{Context: ctx})
	defer cancel()
	if err := app.loadStorage(caddyCtx); err != nil {
		return nil, err
	}
	if _, ok := app.storage.(unswept); !ok {
		return nil, errors.New("nothing can be moved to this storage")
	}
	if app.storage.Identity() == v.app.storage.Identity() {
		return nil, fmt.Errorf("%s names the same storage", file)
	}
	if app.MasterKey == "" && v.app.MasterKey == "" && app.storage.Folder() == "" {
		return nil, fmt.Errorf("%s needs the master key: master_key {file.%s}, or where you put it", file, v.app.masterKeyPath())
	}
	next := &vault{app: app, cmd: v.cmd}
	if err := next.opens(ctx, v.rows); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &destination{app: app, file: file}, nil
}

// findServer finds the server that is to load the new configuration, which must
// answer, and must be able to run it.
func (d *destination) findServer(cmd *cobra.Command) (err error) {
	if d.config, _, _, err = caddycmd.LoadConfig(d.file, flag(cmd, "adapter")); err != nil {
		return err
	}
	old := flagOr(cmd, "config", "Caddyfile")
	if d.admin, err = caddycmd.DetermineAdminAPIAddress("", nil, old, flag(cmd, "adapter")); err != nil {
		return err
	}
	resp, err := caddycmd.AdminAPIRequest(d.admin, http.MethodGet, "/config/admin", nil, nil)
	if err != nil {
		return fmt.Errorf("--reload: no server answers at %s: %w", d.admin, err)
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if err := d.ask(); err != nil {
		return fmt.Errorf("nothing has moved, since the server could not run the new configuration: %w; "+
			"a reload does not change the environment of a process: start it anew with what it needs, "+
			"or move without --reload and start it anew with %s at once", err, d.file)
	}
	return nil
}

// ask asks the server whether it could run the new configuration of the app.
func (d *destination) ask() error {
	var config struct {
		Apps struct {
			Gatehouse json.RawMessage `json:"gatehouse"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(d.config, &config); err != nil {
		return err
	}
	question, err := json.Marshal(successor{config.Apps.Gatehouse, d.app.storage.Identity()})
	if err != nil {
		return err
	}
	return d.post("/gatehouse/successor", question)
}

// load gives the new configuration to the server.
func (d *destination) load() error { return d.post("/load", d.config) }

func (d *destination) post(path string, body []byte) error {
	resp, err := caddycmd.AdminAPIRequest(d.admin, http.MethodPost, path, nil, bytes.NewReader(body))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func stageText(stage sqlite.MoveStage, rows int64) string {
	switch stage {
	case sqlite.MoveJournal:
		return "changes are noted from now on"
	case sqlite.MoveCopy:
		return fmt.Sprintf("copied %d rows", rows)
	case sqlite.MoveFollow:
		return fmt.Sprintf("followed %d changes", rows)
	case sqlite.MoveCompare:
		return fmt.Sprintf("both sides have the same %d rows", rows)
	case sqlite.MoveHold:
		return "nobody can write now"
	case sqlite.MoveRefuse:
		return "the old database takes no more"
	}
	return "the new storage has everything"
}
