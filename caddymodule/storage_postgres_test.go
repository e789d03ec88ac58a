package caddymodule

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// The storage line of the Caddyfile, and what is wrong with others.
func TestPostgresCaddyfile(t *testing.T) {
	for text, want := range map[string]Postgres{
		"postgres {env.DATABASE_URL}": {DSN: "{env.DATABASE_URL}"},
		"postgres postgres://a/b {\n read_replica postgres://c/d\n readers 8\n writers 3\n}": {
			DSN: "postgres://a/b", ReadReplica: "postgres://c/d", Readers: 8, Writers: 3,
		},
	} {
		var got Postgres
		if err := got.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Postgres{})); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for text, want := range map[string]string{
		"postgres":                         "expected one connection string",
		"postgres a b":                     "expected one connection string",
		"postgres a {\n readers\n}":        "expected one value",
		"postgres a {\n readers many\n}":   "expected a number",
		"postgres a {\n pool_size 5\n}":    "unknown option pool_size",
		"postgres a {\n read_replica\n}":   "expected one value",
		"postgres a {\n writers 1 2 3\n}":  "expected one value",
		"postgres a {\n read_replica b c}": "expected one value",
	} {
		if err := new(Postgres).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// What cannot be opened is refused before anything is; caddy validate asks nobody.
func TestPostgresProvision(t *testing.T) {
	t.Setenv("GATEHOUSE_TEST_DSN", "postgres://nobody:a-password@127.0.0.1:1/none")
	for name, c := range map[string]struct {
		storage Postgres
		want    string
	}{
		"good":                 {Postgres{DSN: "{env.GATEHOUSE_TEST_DSN}", Readers: 4, Writers: 2}, ""},
		"no connection string": {Postgres{}, "expected a connection string"},
		"an unset placeholder": {Postgres{DSN: "{env.GATEHOUSE_TEST_NO_DSN}"}, "GATEHOUSE_TEST_NO_DSN"},
		"too many":             {Postgres{DSN: "a", Readers: 600, Writers: 600}, "at most 1000 connections"},
		"less than none":       {Postgres{DSN: "a", Readers: -1}, "at most 1000 connections"},
	} {
		err := c.storage.Provision(caddy.Context{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Threat 34: neither what names an open store nor an error has the password. What
// differs is another store.
func TestPostgresHidesItsPassword(t *testing.T) {
	one := Postgres{DSN: "postgres://gatehouse:a-password@127.0.0.1:1/none?connect_timeout=1"}
	other := Postgres{DSN: one.DSN, Readers: 9}
	for _, p := range []*Postgres{&one, &other} {
		if err := p.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := one.Open(t.Context())
	if err == nil || strings.Contains(err.Error()+one.Identity(), "a-password") {
		t.Errorf("%v, %s", err, one.Identity())
	}
	if one.Identity() == other.Identity() {
		t.Error("two kinds of stores share one")
	}
}

// A key must not lie on one of many nodes: without master_key nothing starts.
func TestPostgresNeedsAMasterKey(t *testing.T) {
	storage := &Postgres{DSN: pgtest.Start(t).Address("postgres")}
	if err := storage.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	st, err := storage.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	a := &App{storage: storage}
	if err := a.openMasterKeys(t.Context(), st); err == nil || !strings.Contains(err.Error(), "needs master_key") {
		t.Errorf("without one: %v", err)
	}
	a.MasterKey = strings.Repeat("5a", 32)
	if err := a.openMasterKeys(t.Context(), st); err != nil {
		t.Errorf("with one: %v", err)
	}
	lookedAtReplica(t, storage.DSN)
}

// lookedAtReplica fails unless the read replica is looked at, too.
func lookedAtReplica(t *testing.T, dsn string) {
	t.Helper()
	away := fmt.Sprintf("postgres://gatehouse@127.0.0.1:%d/none?sslmode=disable", pgtest.FreePort(t))
	storage := &Postgres{DSN: dsn, ReadReplica: away}
	if err := storage.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	st, err := storage.OpenAsIs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	found, err := st.Inspect(t.Context())
	if err != nil || !slices.ContainsFunc(found, func(f store.Finding) bool { return f.Name == "read replica" && f.Advice != "" }) {
		t.Errorf("it found %+v, %v", found, err)
	}
}
