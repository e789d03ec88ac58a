package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres"
)

func init() {
	caddy.RegisterModule(new(Postgres))
}

// Postgres keeps everything in a PostgreSQL database, for any number of nodes.
// It needs master_key: every node must have the same.
type Postgres struct {
	// DSN is the connection string, usually a placeholder such as
	// {env.DATABASE_URL}: a URL or keywords, as libpq has them. The tables lie
	// in the schema gatehouse unless it names a search_path.
	DSN string `json:"dsn,omitempty"`
	// ReadReplica is the connection string of a read replica that introspection
	// may ask. Default: none. Nothing that is used once is ever asked for there,
	// and one that is behind by more than half a second is left out.
	ReadReplica string `json:"read_replica,omitempty"`
	// Readers and Writers are the connections that read, and those that write.
	// Default: 4, or one a processor if those are more, and 2.
	Readers int `json:"readers,omitempty"`
	Writers int `json:"writers,omitempty"`

	dsn, replica string
}

// CaddyModule returns the Caddy module information.
func (*Postgres) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.storage.postgres", New: func() caddy.Module { return new(Postgres) }}
}

// Provision settles the connection strings.
func (p *Postgres) Provision(caddy.Context) (err error) {
	if p.dsn, err = resolve(p.DSN); err == nil {
		p.replica, err = resolve(p.ReadReplica)
	}
	if err == nil && p.dsn == "" {
		err = errors.New("expected a connection string")
	}
	if err == nil && (p.Readers < 0 || p.Writers < 0 || p.Readers+p.Writers > maxConnections) {
		err = fmt.Errorf("expected at most %d connections", maxConnections)
	}
	if err != nil {
		return fmt.Errorf("storage postgres: %w", err)
	}
	return nil
}

// maxConnections bounds what one node may open.
const maxConnections = 1000

// UnmarshalCaddyfile reads the storage line.
//
// Syntax:
//
//	storage postgres <connection string> {
//		read_replica <connection string>
//		readers <number>
//		writers <number>
//	}
func (p *Postgres) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&p.DSN) {
		return d.Err("storage postgres: expected one connection string, such as {env.DATABASE_URL}")
	}
	for d.NextBlock(0) {
		name, value := d.Val(), ""
		if !d.AllArgs(&value) {
			return d.Errf("storage postgres: %s: expected one value", name)
		}
		var err error
		switch name {
		case "read_replica":
			p.ReadReplica = value
		case "readers":
			p.Readers, err = strconv.Atoi(value)
		case "writers":
			p.Writers, err = strconv.Atoi(value)
		default:
			return d.Errf("storage postgres: unknown option %s", name)
		}
		if err != nil {
			return d.Errf("storage postgres: %s: expected a number", name)
		}
	}
	return nil
}

// Identity names the database without giving its password away.
func (p *Postgres) Identity() string {
	text, _ := json.Marshal([]any{p.dsn, p.replica, p.Readers, p.Writers}) // texts and numbers
	digest := sha256.Sum256(text)
	return "postgres:" + hex.EncodeToString(digest[:])
}

// Folder is none: a key must not lie on one of many nodes.
func (*Postgres) Folder() string { return "" }

// Open connects, and makes or migrates the tables.
func (p *Postgres) Open(ctx context.Context) (store.Store, error) {
	return openPostgres(ctx, postgres.Options{
		DSN: p.dsn, Replica: p.replica, Readers: p.Readers, Writers: p.Writers, Report: report,
	})
}

// OpenAsIs opens the database, and the replica, to look at them.
func (p *Postgres) OpenAsIs(ctx context.Context) (store.Store, error) {
	return openPostgres(ctx, postgres.Options{DSN: p.dsn, Replica: p.replica, AsIs: true})
}

func openPostgres(ctx context.Context, o postgres.Options) (store.Store, error) {
	st, err := postgres.Open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return st, nil
}

// report logs what a store found. It looks the logger up when it is called: a
// store outlives the configuration that opened it.
func report(f store.Finding) {
	log := caddy.Log().Named("gatehouse.storage").Warn
	if f.Failing {
		log = caddy.Log().Named("gatehouse.storage").Error
	}
	log(f.Name+": "+f.Value, zap.String("advice", f.Advice))
}

// Interface guards
var (
	_ Storage               = (*Postgres)(nil)
	_ asItIs                = (*Postgres)(nil)
	_ caddy.Provisioner     = (*Postgres)(nil)
	_ caddyfile.Unmarshaler = (*Postgres)(nil)
)
