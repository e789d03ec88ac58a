package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

func init() {
	caddy.RegisterModule(new(SQLite))
}

// Storage is what modules in the namespace gatehouse.storage implement.
type Storage interface {
	// Identity names what is opened. Configurations with the same identity
	// share one open store.
	Identity() string
	// Open opens the store, whose owner closes it. Errors say what to mend.
	Open(ctx context.Context) (store.Store, error)
	// Folder is where a master key is kept when none is given, empty if there
	// is no such place.
	Folder() string
}

// loadStorage loads the storage module, or the default one.
func (a *App) loadStorage(ctx caddy.Context) error {
	if a.StorageRaw == nil {
		a.storage = new(SQLite)
		return a.storage.(*SQLite).Provision(ctx)
	}
	module, err := ctx.LoadModule(a, "StorageRaw")
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	a.storage = module.(Storage)
	return nil
}

// SQLite keeps everything in one file on this machine.
type SQLite struct {
	// Path is the database file. Default: gatehouse/gatehouse.db in Caddy's data folder.
	Path string `json:"path,omitempty"`

	path string
}

// CaddyModule returns the Caddy module information.
func (*SQLite) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.storage.sqlite", New: func() caddy.Module { return new(SQLite) }}
}

// Provision settles the path.
func (s *SQLite) Provision(caddy.Context) error {
	path, err := resolve(s.Path)
	if err != nil {
		return fmt.Errorf("storage sqlite: %w", err)
	}
	if path == "" {
		path = filepath.Join(caddy.AppDataDir(), "gatehouse", "gatehouse.db")
	}
	s.path, err = filepath.Abs(path)
	return err
}

// UnmarshalCaddyfile reads the storage line.
//
// Syntax:
//
//	storage sqlite [<path>]
func (s *SQLite) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		s.Path = d.Val()
	}
	if d.NextArg() {
		return d.Err("storage sqlite: expected at most one path")
	}
	if d.NextBlock(0) {
		return d.Err("storage sqlite: expected no block")
	}
	return nil
}

// Identity is the file's path.
func (s *SQLite) Identity() string { return "sqlite:" + s.path }

// Folder is the file's folder.
func (s *SQLite) Folder() string { return filepath.Dir(s.path) }

// Open opens the file, and makes it at first. That it can only be read since all
// has moved is logged: the configuration may be the one of before.
func (s *SQLite) Open(ctx context.Context) (store.Store, error) {
	st, err := sqlite.Open(ctx, sqlite.Options{Path: s.path})
	if err != nil {
		return nil, fmt.Errorf("storage sqlite: %w", err)
	}
	found, err := st.Moved(ctx)
	if err != nil {
		return nil, fmt.Errorf("storage sqlite: %w", errors.Join(err, st.Close()))
	}
	if found != nil {
		report(*found)
	}
	return st, nil
}

// OpenAsIs opens the file to look at it.
func (s *SQLite) OpenAsIs(ctx context.Context) (store.Store, error) {
	st, err := sqlite.Open(ctx, sqlite.Options{Path: s.path, AsIs: true})
	if err != nil {
		return nil, fmt.Errorf("storage sqlite: %w", err)
	}
	return st, nil
}

// Interface guards
var (
	_ Storage               = (*SQLite)(nil)
	_ asItIs                = (*SQLite)(nil)
	_ caddy.Provisioner     = (*SQLite)(nil)
	_ caddyfile.Unmarshaler = (*SQLite)(nil)
)
