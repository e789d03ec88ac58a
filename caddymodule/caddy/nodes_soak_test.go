package main_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakTime is how long the soak lasts, which GATEHOUSE_SOAK lengthens.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("GATEHOUSE_SOAK")
	if text == "" {
		return 24 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// brief lets everything be over within seconds: an hour compressed.
const brief = "access_token_duration 2s\nrefresh_token_duration 4s\nauthorization_code_duration 2s"

// soaked is what a server and its database hold at a moment.
type soaked struct {
	usage
	disk       int // bytes of SQLite's files, or of PostgreSQL's database
	partitions int
}

// TestSoak: what a server holds, with SQLite or as a node with PostgreSQL, and
// its database, is in the last third of the time what it was in the second, while
// tokens, sign-ins and revocations come and go. Nodes make partitions of hours,
// so that these must not become more; those of seconds come and go in the soak of
// engine/store/postgres.
func TestSoak(t *testing.T) {
	local, cluster := startOwn(t, caddyfile(t, "service", brief)), startNodes(t, 1, "service", brief)
	servers := map[string]*server{"SQLite": local, "PostgreSQL": cluster.nodes[0]}
	ctx, cancel := context.WithCancel(t.Context())
	var rounds atomic.Int64
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	for _, s := range servers {
		for range 4 {
			workers.Go(func() {
				for ctx.Err() == nil {
					if err := s.round(rounds.Add(1)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	third := soakTime(t) / 3
	second, last := map[string]soaked{}, map[string]soaked{}
	var atFirst, atSecond int64 // how many rounds there were by the end of a third
	for start := time.Now(); time.Since(start) < 3*third && !t.Failed(); time.Sleep(third / 16) {
		for name, s := range servers {
			s.person(t).signIn("openid offline_access orders:read")
			now := soaked{usage: s.use()}
			if s == local {
				now.disk = sizeOf(s.database()) + sizeOf(s.database()+"-wal")
			} else {
				now.disk, now.partitions = cluster.size(t)
			}
			switch elapsed := time.Since(start); {
			case elapsed > 2*third:
				last[name] = last[name].most(now)
			case elapsed > third:
				second[name], atSecond = second[name].most(now), rounds.Load()
			default:
				atFirst = rounds.Load()
			}
		}
	}
	t.Logf("%d tokens", rounds.Load())
	// The clients do as much as the machine lets them: where that becomes more, so
	// does what is on disk for a while.
	faster := max(1, float64(rounds.Load()-atSecond)/float64(max(1, atSecond-atFirst)))
	for name := range servers {
		before, now := second[name], last[name]
		t.Logf("%s: at most in the second third %+v, in the last %+v", name, before, now)
		if now.heap > before.heap*5/4+8<<20 || now.goroutines > before.goroutines+50 || now.files > before.files+20 ||
			float64(now.disk) > faster*float64(before.disk)*5/4+4<<20 || now.partitions > before.partitions+3 { // one a table, when an hour begins
			t.Errorf("%s: from %+v to %+v", name, before, now)
		}
	}
}

// round gets a token, uses it, and revokes one in ten.
func (s *server) round(n int64) error {
	client := []string{"Authorization", basic(demo, demoSecret)}
	issued, err := try(plain, http.MethodPost, s.as+"/token", form("grant_type", "client_credentials", "scope", "orders:read"), client...)
	if err != nil || issued.status != http.StatusOK {
		return fmt.Errorf("a token: %v %+v", err, issued)
	}
	token := issued.text(s.t, "access_token")
	if r, err := try(plain, http.MethodGet, s.api+"/orders", "", "Authorization", "Bearer "+token); err != nil || r.status != http.StatusOK && r.status != http.StatusUnauthorized {
		return fmt.Errorf("the API: %v %+v", err, r) // 401: the machine was busy until it had expired
	}
	if n%10 > 0 {
		return nil
	}
	if r, err := try(plain, http.MethodPost, s.as+"/revoke", form("token", token), client...); err != nil || r.status != http.StatusOK {
		return fmt.Errorf("revoking: %v %+v", err, r)
	}
	return nil
}

// most is the larger of each.
func (a soaked) most(b soaked) soaked {
	return soaked{
		usage{max(a.goroutines, b.goroutines), max(a.files, b.files), max(a.heap, b.heap)},
		max(a.disk, b.disk), max(a.partitions, b.partitions),
	}
}

// size is that of the cluster's database: its bytes, and how many partitions there are.
func (c *cluster) size(t *testing.T) (bytes, partitions int) {
	t.Helper()
	text := c.ask(t, "SELECT format('%s %s', pg_database_size(current_database()), (SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'))")
	if n, err := fmt.Sscan(text, &bytes, &partitions); n != 2 || partitions == 0 {
		t.Fatalf("the database says %q: %v", text, err)
	}
	return bytes, partitions
}

// sizeOf is the size of a file, 0 when there is none.
func sizeOf(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return int(info.Size())
}
