package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/caddymodule/benchmark/scale/measured"
)

// A node on PostgreSQL is laid out as one on SQLite, but for the storage and the
// master key, which must not lie on one of many nodes.
func TestCaddyfileOnPostgres(t *testing.T) {
	l, err := newLayout("/tmp/x", 9000, false)
	if err != nil {
		t.Fatal(err)
	}
	text := func(l layout) string {
		var b strings.Builder
		if err := template.Must(template.New("").Parse(caddyfile)).Execute(&b, l); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	lite := text(l)
	l.DSN, l.MasterKey = "postgres://127.0.0.1:1/node", "abcd"
	want := strings.Replace(lite, "storage sqlite /tmp/x/gatehouse.db\n", "storage postgres postgres://127.0.0.1:1/node\n\t\tmaster_key abcd\n", 1)
	if diff := cmp.Diff(want, text(l)); diff != "" {
		t.Error(diff)
	}
}

// The processor time of a server with many processes is that of all of them,
// and no less when one has ended.
func TestTreeCPU(t *testing.T) {
	stat := []byte("4242 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 25 300 40 20 0 9 0 100 1 1")
	if got, want := parseEndedCPU(stat), 3400*time.Millisecond; got != want {
		t.Errorf("children that have ended: %s, want %s", got, want)
	}
	if got := parseEndedCPU([]byte("nonsense")); got != 0 {
		t.Errorf("nonsense: %s", got)
	}
	server, err := startPostgres(t.Context())
	skipIfMissing(t, err)
	defer server.stop()
	before, during := server.cpu(), time.Duration(0)
	err = pg{server: server, dsn: server.address("postgres")}.connected(t.Context(), func(conn *pgx.Conn) error {
		_, err := conn.Exec(t.Context(), `SELECT count(*) FROM generate_series(1, 3000000)`)
		during = server.cpu()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := server.cpu(); during < before+50*time.Millisecond || after < during {
		t.Errorf("%s before, %s with a client, %s when it had left", before, during, after)
	}
}

// A file of measurements keeps other rows of the same machine, and none of
// another.
func TestWriteMeasurements(t *testing.T) {
	path := filepath.Join(t.TempDir(), "measured.json")
	of := func(name string, value float64) []result {
		return []result{{row: row{name: name}, numbers: map[string]float64{"rate": value}}, {row: row{name: "without numbers"}}}
	}
	for _, step := range []struct {
		machine string
		results []result
		want    map[string]map[string]float64
	}{
		{"a", of("x", 1), map[string]map[string]float64{"x": {"rate": 1}}},
		{"a", of("y", 2), map[string]map[string]float64{"x": {"rate": 1}, "y": {"rate": 2}}},
		{"a", of("x", 3), map[string]map[string]float64{"x": {"rate": 3}, "y": {"rate": 2}}},
		{"b", of("z", 4), map[string]map[string]float64{"z": {"rate": 4}}},
	} {
		if err := writeMeasurements(path, step.machine, step.results); err != nil {
			t.Fatal(err)
		}
		got, err := measured.Read(path)
		if err != nil || got.Machine != step.machine {
			t.Fatalf("%s, %v", got.Machine, err)
		}
		if diff := cmp.Diff(step.want, got.Rows); diff != "" {
			t.Error(diff)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeMeasurements(path, "b", of("x", 1)); err == nil {
		t.Error("a file that cannot be read was overwritten")
	}
}
