package main_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	_ "modernc.org/sqlite" // the driver that locks the database
)

// TestDatabaseLocked (promise 6): while another process holds the database,
// writes are 503 with Retry-After, tokens known to the gateway go on, and
// nothing that was acknowledged is lost.
func TestDatabaseLocked(t *testing.T) {
	t.Parallel() // it waits, most of the time
	s := startOwn(t, caddyfile(t))
	cached, known := s.serviceToken("orders:read"), s.serviceToken("orders:read")
	s.call(cached).want(t, 200)
	p := s.person(t)
	tokens := p.signIn("openid offline_access orders:read")

	db, err := sql.Open("sqlite", s.database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("PRAGMA busy_timeout = 5000"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	s.unavailable(cached)
	s.call(known).want(t, 200) // reading goes on beside a writer
	if _, err := db.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}

	s.post("/token", demo, demoSecret, "grant_type", "client_credentials").want(t, 200)
	s.call(known).want(t, 200)
	s.post("/token", web, webSecret, "grant_type", "refresh_token", "refresh_token", tokens["refresh_token"].(string)).want(t, 200)
}

// unavailable expects writes to be refused, and the cache to go on. It asks
// everything at once, since each waits for the lock.
func (s *server) unavailable(cached string) {
	s.t.Helper()
	busy := func(r *reply, err error) error {
		switch {
		case err != nil:
			return err
		case r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "":
			return fmt.Errorf("status %d, Retry-After %q, body %s", r.status, r.header.Get("Retry-After"), r.body)
		case !strings.Contains(r.body, "temporarily_unavailable") && !strings.Contains(r.body, "<h1>"):
			return fmt.Errorf("body %s", r.body)
		case strings.Contains(strings.ToLower(r.body), "sql"):
			return fmt.Errorf("it tells about the database: %s", r.body)
		}
		return nil
	}
	var all sync.WaitGroup
	for what, ask := range map[string]func() (*reply, error){
		"token": func() (*reply, error) {
			return try(plain, "POST", s.as+"/token", "grant_type=client_credentials", "Authorization", basic(demo, demoSecret))
		},
		"revocation": func() (*reply, error) {
			return try(plain, "POST", s.as+"/revoke", form("token", cached), "Authorization", basic(demo, demoSecret))
		},
		"authorization": func() (*reply, error) {
			return try(plain, "GET", s.as+"/authorize?"+newRequest(web, s.app+"/callback", "openid").Encode(), "")
		},
	} {
		all.Go(func() {
			if err := busy(ask()); err != nil {
				s.t.Errorf("%s: %v", what, err)
			}
		})
	}
	s.call(cached).want(s.t, 200)
	all.Wait()
	s.call(cached).want(s.t, 200)
}

// TestDatabaseUnreadable (promise 6): while nothing can be read either, a token
// that the gateway does not know is 503, never 401 or 200. All of SQLite's
// locks are held, as a damaged network file system might.
func TestDatabaseUnreadable(t *testing.T) {
	t.Parallel() // it waits, most of the time
	s := startOwn(t, caddyfile(t))
	cached, known := s.serviceToken("orders:read"), s.serviceToken("orders:read")
	s.call(cached).want(t, 200)

	file, err := os.OpenFile(s.database()+"-shm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// The eight locks of the WAL index (sqlite.org/walformat.html §2.3).
	locks := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 120, Len: 8}
	wait(t, "the locks", func() error { return syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &locks) })
	var all sync.WaitGroup // SQLite waits for ten seconds
	for what, address := range map[string]string{"gateway": s.api + "/orders", "userinfo": s.as + "/userinfo"} {
		all.Go(func() {
			r, err := try(plain, http.MethodGet, address, "", "Authorization", "Bearer "+known)
			if err != nil || r.status != 503 || r.header.Get("Retry-After") == "" {
				t.Errorf("%s: %v %+v", what, err, r)
			}
		})
	}
	s.call(cached).want(t, 200)
	s.call("nonsense").want(t, 401) // which is no handle: there is nothing to look up
	all.Wait()
	s.call(cached).want(t, 200)
	locks.Type = syscall.F_UNLCK
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &locks); err != nil {
		t.Fatal(err)
	}
	wait(t, "the gateway to know the token", func() error {
		if r := s.call(known); r.status != 200 {
			return &unexpected{r.status, 200}
		}
		return nil
	})
}

// TestDiskFull: a full disk is 503 for what must be written, and nothing that
// was acknowledged is lost when there is room again.
func TestDiskFull(t *testing.T) {
	requirePart(t, "root") // who may mount
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		if os.Getenv("GATEHOUSE_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip("mounting a small disk: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := startOwn(t, caddyfile(t, "gatehouse", "storage sqlite "+disk+"/gatehouse.db"))
	t.Cleanup(s.stop) // before the disk goes
	var tokens []string
	ballast := filepath.Join(disk, "ballast")
	free := func() int64 {
		var st syscall.Statfs_t
		if err := syscall.Statfs(disk, &st); err != nil {
			t.Fatal(err)
		}
		return int64(st.Bavail) * st.Bsize
	}
	cached := s.serviceToken("orders:read")
	s.call(cached).want(t, 200)
	if err := os.WriteFile(ballast, make([]byte, free()-64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var last *reply
	for range 5000 {
		if last = s.post("/token", demo, demoSecret, "grant_type", "client_credentials", "scope", "orders:read"); last.status != 200 {
			break
		}
		tokens = append(tokens, last.text(t, "access_token"))
	}
	if last.status != 503 || last.header.Get("Retry-After") == "" || len(tokens) == 0 {
		t.Errorf("after %d tokens: %d %v %s", len(tokens), last.status, last.header, last.body)
	}
	s.call(cached).want(t, 200)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	wait(t, "writes to go on", func() error {
		if r := s.post("/token", demo, demoSecret, "grant_type", "client_credentials"); r.status != 200 {
			return &unexpected{r.status, 200}
		}
		return nil
	})
	s.stop()
	s.start()
	for i, token := range tokens {
		if r := s.call(token); r.status != 200 {
			t.Fatalf("acknowledged token %d of %d: %d", i, len(tokens), r.status)
		}
	}
}

// TestKill: a server that is killed in the middle of its work has, when it
// starts again, everything that it acknowledged, and redeems nothing twice.
func TestKill(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	p := s.person(t)
	first := newRequest("native", "http://127.0.0.1:9/callback", "openid offline_access orders:read")
	code := p.code(first, alice, wonder)
	used := s.redeem(first, "", code).want(t, 200).json(t)
	chain := []string{used["refresh_token"].(string)} // a refresh token and its successors
	pending := newRequest(web, s.app+"/callback", "openid orders:read")
	pendingCode := p.code(pending, alice, wonder)

	for round := range 3 {
		var mu sync.Mutex
		var acknowledged, revoked []string
		var workers sync.WaitGroup
		dead := make(chan struct{})
		for i := range 4 {
			workers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-dead:
						return
					default:
					}
					r, err := try(plain, "POST", s.as+"/token", "grant_type=client_credentials&scope=orders:read", "Authorization", basic(demo, demoSecret))
					if err != nil || r.status != 200 {
						continue
					}
					token := r.text(t, "access_token")
					if n%3 == i%3 {
						if r, err := try(plain, "POST", s.as+"/revoke", form("token", token), "Authorization", basic(demo, demoSecret)); err == nil && r.status == 200 {
							mu.Lock()
							revoked = append(revoked, token)
							mu.Unlock()
						}
						continue
					}
					mu.Lock()
					acknowledged = append(acknowledged, token)
					mu.Unlock()
				}
			})
		}
		workers.Go(func() { // one client that refreshes, and remembers the last answer that it got
			for {
				select {
				case <-dead:
					return
				default:
				}
				r, err := try(plain, "POST", s.as+"/token", form("grant_type", "refresh_token", "refresh_token", chain[len(chain)-1], "client_id", "native"))
				if err == nil && r.status == 200 {
					chain = append(chain, r.text(t, "refresh_token"))
				}
			}
		})
		wait(t, "some work", func() error {
			mu.Lock()
			defer mu.Unlock()
			if len(acknowledged) < 100*(round+1) {
				return fmt.Errorf("%d tokens", len(acknowledged))
			}
			return nil
		})
		s.kill()
		close(dead)
		workers.Wait()
		s.start()

		t.Logf("round %d: %d tokens, %d revoked, %d refreshes so far", round, len(acknowledged), len(revoked), len(chain)-1)
		for i, token := range acknowledged {
			if r := s.call(token); r.status != 200 {
				t.Fatalf("acknowledged token %d of %d: %d %s", i, len(acknowledged), r.status, r.body)
			}
		}
		for i, token := range revoked {
			if r := s.call(token); r.status != 401 {
				t.Fatalf("revoked token %d of %d: %d", i, len(revoked), r.status)
			}
		}
		// The answer to the last refresh may be lost: asking again gives it.
		r := s.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", chain[len(chain)-1]).want(t, 200)
		chain = append(chain, r.text(t, "refresh_token"))
	}

	s.redeem(pending, webSecret, pendingCode).want(t, 200)
	s.redeem(pending, webSecret, pendingCode).want(t, 400)
	if len(chain) < 5 {
		t.Fatalf("only %d refreshes", len(chain))
	}
	s.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", chain[1]).want(t, 400)            // reuse of one from long ago
	s.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", chain[len(chain)-1]).want(t, 400) // which ended its family
	if r := s.redeem(first, "", code); r.status != 400 {
		t.Errorf("the first code again: %d %s", r.status, r.body)
	}
}
