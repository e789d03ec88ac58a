package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// looked opens a database as it is, and returns what is found of one thing.
func looked(t *testing.T, opts Options, name string) store.Finding {
	t.Helper()
	opts.AsIs = true
	found, err := open(t, opts).Inspect(context.Background())
	must(t, err)
	return one(t, found, name)
}

// one is what was found of a thing, first.
func one(t *testing.T, found []store.Finding, name string) store.Finding {
	t.Helper()
	if i := slices.IndexFunc(found, func(f store.Finding) bool { return f.Name == name }); i >= 0 {
		return found[i]
	}
	t.Fatalf("nothing of %s: %+v", name, found)
	return store.Finding{}
}

// Operators look before they start a node, and when something is wrong.
func TestLooking(t *testing.T) {
	server := pgtest.Start(t)
	server.Exec(t, "postgres", `CREATE ROLE guest LOGIN`)
	for name, test := range map[string]func(*testing.T, *pgtest.Server){
		"what would not work": testTroubles, "before the first start": testNoTables, "what cannot be opened": testAdvice,
		"beside a lock": testBesideALock, "a silent node": testSilentNode, "a read replica": testReadReplica,
	} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
}

// What would keep a node from starting, or from working, fails where it is looked
// at too, and is told with what to do.
func testTroubles(t *testing.T, server *pgtest.Server) {
	h := newHouse(t, Options{DSN: place(server)})
	_, schema, _ := strings.Cut(h.opts.DSN, "search_path=")
	server.Exec(t, "postgres", `GRANT USAGE ON SCHEMA `+schema+` TO guest`,
		`GRANT SELECT ON ALL TABLES IN SCHEMA `+schema+` TO guest`, `CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0`)
	for name, c := range map[string]struct{ dsn, finding, value, advice string }{
		"a database that can only be read": {h.opts.DSN + "&default_transaction_read_only=on", "writing", "can only be read", "read-write"},
		"a user who owns nothing":          {asGuest(h.opts.DSN), "writing", "guest may not change the tables in the schema " + schema, "own"},
	} {
		f := looked(t, Options{DSN: c.dsn}, c.finding)
		if !f.Failing || !strings.Contains(f.Value, c.value) || !strings.Contains(f.Advice, c.advice) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := looked(t, Options{DSN: h.opts.DSN}, "writing"); f.Advice != "" || !strings.Contains(f.Value, schema) {
		t.Errorf("of the owner: %+v", f)
	}
	latin := open(t, Options{DSN: server.Address("latin"), SweepInterval: -1})
	if f := looked(t, Options{DSN: latin.opts.DSN}, "server"); !f.Failing || !strings.Contains(f.Advice, "UTF-8") {
		t.Errorf("another encoding: %+v", f)
	}

	// A later version, beside which this one may be started, and one beside which
	// it may not.
	connection := h.connect(t)
	for oldest, failing := range map[int]bool{1: false, 1000: true} {
		_, err := connection.Exec(context.Background(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, true)`)
		must(t, err)
		_, err = connection.Exec(context.Background(), `UPDATE compatibility SET oldest = $1`, oldest)
		must(t, err)
		if f := looked(t, Options{DSN: h.opts.DSN}, "schema"); f.Failing != failing || f.Advice == "" || failing && !strings.Contains(f.Value, "newer Gatehouse") {
			t.Errorf("a version that needs one that knows %d: %+v", oldest, f)
		}
	}
}

// asGuest is an address with another user.
func asGuest(dsn string) string { return strings.Replace(dsn, "gatehouse@", "guest@", 1) }

// There are no tables: whether a start would make them is told, or what keeps it
// from that. Tables that a user may not see are not missing.
func testNoTables(t *testing.T, server *pgtest.Server) {
	server.Exec(t, "postgres", `CREATE SCHEMA closed`, `CREATE SCHEMA seen`, `GRANT USAGE ON SCHEMA seen TO guest`,
		`CREATE SCHEMA his AUTHORIZATION guest`)
	at := func(schema string) string { return server.Address("postgres") + "&search_path=" + schema }
	for name, c := range map[string]struct{ dsn, say, advice string }{
		"nothing, which a start makes":      {at("nothing"), "", ""},
		"a schema of this user":             {asGuest(at("his")), "", ""},
		"a schema that may not be used":     {asGuest(at("closed")), "may not use the schema closed", "own"},
		"a schema for others":               {asGuest(at("seen")), "may not make tables in the schema seen", "own"},
		"a schema that may not be made":     {asGuest(at("nothing")), "may not make the schema nothing", "own"},
		"a database that cannot be written": {at("nothing") + "&default_transaction_read_only=on", "can only be read", "read-write"},
	} {
		_, err := Open(context.Background(), Options{DSN: c.dsn, AsIs: true})
		if c.say == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), c.say) || !strings.Contains(Advice(err), c.advice) {
			t.Errorf("%s: %v, advice %q", name, err, Advice(err))
		}
	}
}

// What keeps a database from being opened is told together with what to do about
// it.
func testAdvice(t *testing.T, server *pgtest.Server) {
	address := server.Address("postgres")
	for name, c := range map[string]struct{ dsn, advice string }{
		"nobody listens":    {fmt.Sprintf("postgres://gatehouse@127.0.0.1:%d/postgres?sslmode=disable", pgtest.FreePort(t)), "whether the database runs"},
		"a user it refuses": {strings.Replace(address, "gatehouse@", "nobody@", 1), "the user and the password"},
		"no such database":  {server.Address("none"), "its name"},
		"no TLS":            {strings.Replace(address, "sslmode=disable", "sslmode=require", 1), "sslmode"},
	} {
		s, err := Open(context.Background(), Options{DSN: c.dsn})
		if err == nil {
			must(t, s.Close())
		}
		if advice := Advice(err); !strings.Contains(advice, c.advice) {
			t.Errorf("%s: %v, advice %q", name, err, advice)
		}
	}
	if advice := Advice(store.ErrNotFound); advice != "" {
		t.Errorf("of what is no error of the database: %q", advice)
	}
}

// What cannot be looked at is a finding among the others, not instead of them.
func testBesideALock(t *testing.T, server *pgtest.Server) {
	h := newHouse(t, Options{DSN: place(server) + "&lock_timeout=300&idle_in_transaction_session_timeout=0"})
	held, err := h.connect(t).Begin(context.Background())
	must(t, err)
	_, err = held.Exec(context.Background(), `LOCK TABLE nodes IN ACCESS EXCLUSIVE MODE`)
	must(t, err)
	found, err := h.Inspect(context.Background())
	must(t, err)
	if f := one(t, found, "node"); !f.Failing || !strings.Contains(f.Advice, "holds a lock") {
		t.Errorf("%+v", f)
	}
	if f := one(t, found, "partitions"); f.Advice != "" {
		t.Errorf("%+v", f)
	}
	must(t, held.Rollback(context.Background()))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Inspect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("who gives up is told %v", err)
	}
}

// A node that was killed, or is cut off from the database, is named until its row
// goes: if it runs, what is revoked may still hold there.
func testSilentNode(t *testing.T, server *pgtest.Server) {
	h := newHouse(t, Options{DSN: place(server)})
	for ago, advised := range map[time.Duration]bool{0: false, 2 * time.Minute: true} {
		_, err := h.connect(t).Exec(context.Background(), `INSERT INTO nodes (name, schema, started, seen, feed, ahead) VALUES ($1, 1, 0, `+databaseSeconds+` - $2::bigint, 0, 0)`,
			"node of "+ago.String()+" ago", int64(ago/time.Second))
		must(t, err)
		found, err := h.Inspect(context.Background())
		must(t, err)
		i := slices.IndexFunc(found, func(f store.Finding) bool { return strings.HasPrefix(f.Value, "node of "+ago.String()+" ago:") })
		if i < 0 || found[i].Failing || strings.Contains(found[i].Advice, "does not follow") != advised {
			t.Errorf("seen %s ago: %d in %+v", ago, i, found)
		}
	}
}

// A read replica is looked at as it is given: one that is away, or is another
// database's, is a warning, for the primary answers instead.
func testReadReplica(t *testing.T, server *pgtest.Server) {
	h := newHouse(t, Options{DSN: place(server), Now: wrongBy(-time.Minute)}) // what it tells is a minute old
	must(t, h.Write(context.Background(), store.RevokeGrants{Service: h.service, Client: 1}))
	other, late := newHouse(t, Options{DSN: place(server)}), newHouse(t, Options{DSN: place(server)})
	var feed string
	must(t, h.connect(t).QueryRow(context.Background(), `SELECT name FROM feed`).Scan(&feed))
	_, err := late.connect(t).Exec(context.Background(), `UPDATE feed SET name = $1, last = 0`, feed)
	must(t, err)
	away := fmt.Sprintf("postgres://gatehouse@127.0.0.1:%d/postgres?sslmode=disable", pgtest.FreePort(t))
	for name, c := range map[string]struct{ dsn, value, advice string }{
		"one that follows": {h.opts.DSN, "behind", ""},
		"one that is late": {late.opts.DSN, "1m", "does not keep up"},
		"one that is away": {away, "connect", "whether the database runs"},
		"one of another's": {other.opts.DSN, "another database", "host and port"},
		"one without rows": {server.Address("postgres"), "feed", "the primary is asked meanwhile"},
	} {
		f := looked(t, Options{DSN: h.opts.DSN, Replica: c.dsn}, "read replica")
		if f.Failing || !strings.Contains(f.Value, c.value) || (f.Advice == "") != (c.advice == "") || !strings.Contains(f.Advice, c.advice) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
