package main_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// onPostgres is the configuration of a server on a database, with the master key
// of the SQLite file before it.
func (s *server) onPostgres(address string) string {
	s.t.Helper()
	return caddyfile(s.t, "gatehouse", fmt.Sprintf("storage postgres %q\nmaster_key {file.%s}", address, s.masterKey()))
}

func (s *server) masterKey() string {
	return filepath.Join(filepath.Dir(s.database()), "gatehouse.key")
}

// journal is what clients were told while a store moved.
type journal struct {
	*server
	mu                    sync.Mutex
	good, revoked         []string
	refused, acknowledged atomic.Int64
	longest               atomic.Int64 // nanoseconds without an acknowledgement
	last                  time.Time
	stop                  chan struct{}
	workers               sync.WaitGroup
}

// startJournal starts clients that get tokens and revoke some of them.
func (s *server) startJournal() *journal {
	s.t.Helper()
	j := &journal{server: s, stop: make(chan struct{}), last: time.Now()}
	for range 4 {
		j.workers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-j.stop:
					return
				case <-time.After(5 * time.Millisecond):
					j.token(n%5 == 0)
				}
			}
		})
	}
	wait(s.t, "the load", func() error {
		if n := j.acknowledged.Load(); n < 100 {
			return fmt.Errorf("%d tokens", n)
		}
		return nil
	})
	return j
}

// token gets a token, and revokes it: what is refused with 503 is tried again.
func (j *journal) token(revoke bool) {
	r, ok := j.insist("/token", "grant_type=client_credentials&scope=orders:read")
	if !ok {
		return
	}
	token := r.text(j.t, "access_token")
	if revoke {
		if _, ok = j.insist("/revoke", form("token", token)); !ok {
			return
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if revoke {
		j.revoked = append(j.revoked, token)
	} else {
		j.good = append(j.good, token)
	}
	j.acknowledged.Add(1)
	now := time.Now()
	if gap := int64(now.Sub(j.last)); gap > j.longest.Load() {
		j.longest.Store(gap)
	}
	j.last = now
}

func (j *journal) insist(path, body string) (*reply, bool) {
	for {
		r, err := try(plain, http.MethodPost, j.as+path, body, "Authorization", basic(demo, demoSecret))
		switch {
		case err == nil && r.status == http.StatusOK:
			return r, true
		case err == nil && r.status == http.StatusServiceUnavailable:
			if r.header.Get("Retry-After") == "" {
				j.t.Errorf("503 without Retry-After: %s", r.body)
			}
			j.refused.Add(1)
		case err == nil: // else the reload has closed the connection
			j.t.Errorf("%s: %d %s", path, r.status, r.body)
			return nil, false
		}
		select {
		case <-j.stop:
			return nil, false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// end stops the load and checks what was acknowledged.
func (j *journal) end() {
	j.t.Helper()
	close(j.stop)
	j.workers.Wait()
	for list, status := range map[*[]string]int{&j.good: http.StatusOK, &j.revoked: http.StatusUnauthorized} {
		for i, token := range *list {
			if r := j.call(token); r.status != status {
				j.t.Errorf("token %d of %d: status %d, want %d", i, len(*list), r.status, status)
			}
		}
	}
	j.t.Logf("%d tokens, %d of them revoked, %d answers with 503, at most %s without one",
		j.acknowledged.Load(), len(j.revoked), j.refused.Load(), time.Duration(j.longest.Load()).Round(time.Millisecond))
}

// TestMove: a server moves from SQLite to PostgreSQL while clients are at work.
// Every acknowledged token is good afterwards, every acknowledged revocation
// holds, what was used stays used, refreshing goes on, sessions stay, and nobody
// was told anything but to come back.
func TestMove(t *testing.T) {
	pg := pgtest.Start(t)
	s := startOwn(t, caddyfile(t))
	to := s.configured("new.caddyfile", s.onPostgres(pg.Address("postgres")))
	s.gatehouse("correct horse battery\n", "user", "add", "bob", "--password-stdin")
	p := s.person(t)
	public := newRequest("native", "http://127.0.0.1/callback", "openid offline_access orders:read")
	first := s.redeem(public, "", p.code(public, "bob", "correct horse battery")).want(t, 200).text(t, "refresh_token")
	second := s.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", first).want(t, 200).text(t, "refresh_token")
	r := newRequest(web, s.app+"/callback", "openid orders:read")
	code := p.code(r, "bob", "correct horse battery")
	s.redeem(r, webSecret, code).want(t, 200)
	unused := newRequest(web, s.app+"/callback", "openid orders:read")
	later := p.code(unused, "bob", "correct horse battery")
	old := s.serviceToken("orders:read")
	jwks := get(t, s.as+"/jwks").body

	s.fails("where to?", "-c", s.config, "move")
	s.fails("names the same storage", "-c", s.config, "move", "--to", s.config)
	s.fails("needs the master key: master_key {file."+s.masterKey()+"}", "-c", s.config, "move", "--to",
		s.configured("nokey.caddyfile", caddyfile(t, "gatehouse", fmt.Sprintf("storage postgres %q", pg.Address("postgres")))))
	s.fails("does not open", "-c", s.config, "move", "--to", s.configured("otherkey.caddyfile",
		caddyfile(t, "gatehouse", fmt.Sprintf("storage postgres %q\nmaster_key %s", pg.Address("postgres"), strings.Repeat("00", 32)))))

	load := s.startJournal()
	out := s.gatehouse("", "move", "--to", to, "--reload")
	t.Log(out)
	if !regexp.MustCompile(`(?s)both sides have the same \d+ rows.*moved; nobody could write for .*reloaded; nobody could write for .*start servers with .* from now on`).MatchString(out) {
		t.Errorf("the command said: %s", out)
	}
	moved := load.acknowledged.Load()
	wait(t, "the load to go on", func() error {
		if n := load.acknowledged.Load(); n < moved+100 {
			return fmt.Errorf("%d tokens after the move", n-moved)
		}
		return nil
	})
	load.end()

	s.call(old).want(t, 200)
	if again := get(t, s.as+"/jwks").body; again != jwks {
		t.Errorf("the keys are others: %s", again)
	}
	if page := p.open(s.as + "/grants"); page.url.Path != "/grants" {
		t.Errorf("the session is gone: %s", page.url)
	}
	s.redeem(unused, webSecret, later).want(t, 200)
	s.redeem(r, webSecret, code).want(t, 400)
	third := s.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", second).want(t, 200).text(t, "refresh_token")
	s.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", third).want(t, 200)
	s.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", first).want(t, 400) // reuse, which ends the family
	s.fails("has moved to another store", "-c", s.config, "move", "--to", to)

	token := s.serviceToken("orders:read")
	s.stop()
	s.config = to
	s.start()
	s.call(token).want(t, 200)
}

// TestMoveKilled: a move that is killed leaves the server at work, and moving
// again ends well.
func TestMoveKilled(t *testing.T) {
	pg := pgtest.Start(t)
	s := startOwn(t, caddyfile(t))
	to := s.configured("new.caddyfile", s.onPostgres(pg.Address("postgres")))
	load := s.startJournal()
	for _, line := range []string{"changes are noted", "copied", "nobody can write now"} {
		s.killMove(to, line)
		before := load.acknowledged.Load()
		wait(t, "the load to go on after the kill", func() error {
			if n := load.acknowledged.Load(); n < before+20 {
				return fmt.Errorf("%d tokens", n-before)
			}
			return nil
		})
		pg.Exec(t, "postgres", "DELETE FROM gatehouse.leases") // which end by themselves, later
	}
	s.gatehouse("", "move", "--to", to, "--reload")
	load.end()
}

// killMove runs a move and kills it when it has said something.
func (s *server) killMove(to, line string) {
	s.t.Helper()
	cmd := exec.Command(s.binary, "gatehouse", "-c", s.config, "move", "--to", to)
	cmd.Dir, cmd.Env = root, s.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	said := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), line) {
			said = true
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err == nil || !said {
		s.t.Fatalf("the move was not killed: %v, it said %q: %v", err, line, said)
	}
}
