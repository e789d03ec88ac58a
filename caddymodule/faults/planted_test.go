package faults

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// lock holds the write lock of a database for some time, as another process does.
func lock(t *testing.T, path string, d time.Duration) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
}

// Issue 5: the harness finds a bug that is put in on purpose. Each breaks one
// promise, and shows under the fault beside it. Without the bug the same run is
// clean, so that it is the bug that is found.
func TestPlantedBugs(t *testing.T) {
	kill := func(r *run, _ string) { r.crash(r.nodes[0]) }
	load := func(*run, string) { time.Sleep(50 * time.Millisecond) }
	locked := func(r *run, path string) { lock(r.t, path, 2*busyTimeout) }
	for _, test := range []struct {
		bug    string
		fault  func(r *run, path string)
		rounds int
		want   []string // one of which is found
	}{
		{"early_answer", kill, 30, []string{"an acknowledged token is not good any more"}},
		{"read_then_write", load, 30, []string{"a code was redeemed twice"}},
		{"lost_revocation", load, 3, []string{"a token is good after its end was acknowledged"}},
		{"swallowed_error", locked, 10, []string{"is not good any more", "after its end was acknowledged", "refused for no reason"}},
		{"second_successor", load, 30, []string{"a refresh token has two successors"}},
		{"torn_write", load, 30, []string{"is not good any more"}},
		{"unnoticed_rotation", load, 3, []string{"a refresh token has two successors", "after its end was acknowledged"}},
	} {
		t.Run(test.bug, func(t *testing.T) {
			rounds := hunt(t, test.bug, test.rounds, test.fault, test.want)
			r, path := faultyRun(t, "none")
			for range rounds {
				r.under(100*time.Millisecond, func() { test.fault(r, path) })
				r.clean("without a bug")
			}
		})
	}
}

func faultyRun(t *testing.T, bug string) (*run, string) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	return newRun(t, "faulty "+bug+" "+path), path
}

// hunt repeats a fault until the bug shows, and returns how often that was.
func hunt(t *testing.T, bug string, most int, fault func(*run, string), want []string) int {
	t.Helper()
	r, path := faultyRun(t, bug)
	defer r.nodes[0].kill()
	for round := range most {
		r.under(100*time.Millisecond, func() { fault(r, path) })
		found := r.verdict()
		if len(found) == 0 {
			continue
		}
		for _, text := range want {
			if strings.Contains(found[0].Promise, text) {
				t.Logf("round %d, %d violations: %v", round+1, len(found), found[0])
				return round + 1
			}
		}
		t.Fatalf("found %v, want one of %q", found[0], want)
	}
	t.Fatalf("%d rounds, and nothing was found", most)
	return 0
}
