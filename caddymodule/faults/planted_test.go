package faults

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// lock holds the write lock of a database for some time, as another process does.
func lock(t *testing.T, path string, d time.Duration) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The gaps in a busy node's writes are short: SQLite's own pauses, of up to
	// 100 ms, rarely meet one.
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Microsecond) {
		if _, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err == nil {
			break
		}
		if !strings.Contains(err.Error(), "SQLITE_BUSY") || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	time.Sleep(d)
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
}

// trouble is what brings a bug to light.
type trouble string

const (
	load    trouble = "load"
	crash   trouble = "a crash"   // of a node
	outage  trouble = "an outage" // of the database, for a moment
	silence trouble = "load, after which all have heard of it"
)

// planted are bugs that are put in on purpose. Each breaks one promise.
var planted = []struct {
	bug    string
	shows  trouble
	rounds int      // in which it shows at the latest
	want   []string // one of which is found
}{
	{"early_answer", crash, 30, []string{"an acknowledged token is not good any more"}},
	{"early_answer", outage, 30, []string{"an acknowledged token is not good any more"}},
	{"read_then_write", load, 30, []string{"a code was redeemed twice"}},
	{"lost_revocation", load, 10, []string{"a token is good after its end was acknowledged"}},
	{"swallowed_error", outage, 10, []string{"is not good any more", "after its end was acknowledged", "refused for no reason"}},
	{"second_successor", load, 30, []string{"a refresh token has two successors"}},
	{"torn_write", load, 30, []string{"is not good any more"}},
	{"unnoticed_rotation", load, 10, []string{"a refresh token has two successors", "after its end was acknowledged"}},
	{"blind_retry", outage, 20, []string{"redeemed twice", "answered twice", "two successors", "is not good any more"}},
	{"stale_read", load, 10, []string{"a token is good after its end was acknowledged"}},
	{"mixed_answers", load, 10, []string{"a token is taken for another's"}},
	{"deaf_to_others", silence, 10, []string{"a token is good after its end was acknowledged"}},
}

// place is a store for some nodes, and how it fails.
type place struct {
	nodes  int
	fresh  func() (path string) // of an empty database
	outage func(path string)
}

// The harness finds a bug that is put in on purpose. Without the bug,
// what brought it to light finds nothing, so that it is the bug that is found.
func TestPlantedBugs(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel() // with the other, beside nothing else
		findPlanted(t, place{1, func() string { return filepath.Join(t.TempDir(), "gatehouse.db") },
			func(path string) { lock(t, path, 2*busyTimeout) }})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server, n := pgtest.Start(t), 0
		findPlanted(t, place{2, func() string {
			n++
			schema := fmt.Sprintf("planted%d", n)
			server.Exec(t, "postgres", "CREATE SCHEMA "+schema)
			return server.Address("postgres") + "&search_path=" + schema
		}, func(string) {
			server.Kill(t)
			server.Run(t)
		}})
	})
}

func findPlanted(t *testing.T, p place) {
	control, path := faultyRun(t, p, "none")
	for _, test := range planted {
		if test.shows == silence && p.nodes == 1 {
			continue // there are no others
		}
		t.Run(test.bug+" under "+string(test.shows), func(t *testing.T) {
			rounds := hunt(t, p, test.bug, test.rounds, test.shows, test.want)
			control.t = t
			for range rounds {
				control.suffer(p, path, test.shows)
				control.clean("without a bug")
			}
		})
	}
}

func faultyRun(t *testing.T, p place, bug string) (r *run, path string) {
	path = p.fresh()
	var lines []string
	for range p.nodes {
		lines = append(lines, "faulty "+bug+" "+path)
	}
	return newRun(t, lines...), path
}

// suffer brings trouble in the middle of load.
func (r *run) suffer(p place, path string, what trouble) {
	r.t.Helper()
	r.under(100*time.Millisecond, func() {
		switch what {
		case crash:
			r.crash(r.nodes[0])
		case outage:
			r.away(0, func() { p.outage(path) })()
		default:
			time.Sleep(50 * time.Millisecond)
		}
	})
	if what == silence {
		r.hear()
	}
}

// hunt brings trouble until the bug shows, and returns how often that was.
func hunt(t *testing.T, p place, bug string, most int, what trouble, want []string) int {
	t.Helper()
	r, path := faultyRun(t, p, bug)
	defer func() {
		for _, n := range r.nodes {
			n.kill()
		}
	}()
	var others []Violation // of promises that the bug breaks by the way
	for round := range most {
		r.suffer(p, path, what)
		for _, found := range r.verdict() {
			if slices.ContainsFunc(want, func(text string) bool { return strings.Contains(found.Promise, text) }) {
				t.Logf("round %d: %v", round+1, found)
				return round + 1
			}
			others = append(others, found)
		}
	}
	t.Fatalf("%d rounds, want one of %q, found %v", most, want, others[:min(3, len(others))])
	return 0
}
