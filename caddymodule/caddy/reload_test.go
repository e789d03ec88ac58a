package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load replaces the configuration of a running server.
func (s *server) load(caddyfile string) {
	s.t.Helper()
	r, err := persist(func() (*reply, error) {
		return try(plain, http.MethodPost, s.admin+"/load", caddyfile, "Content-Type", "text/caddyfile", "Cache-Control", "must-revalidate")
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if r.status != http.StatusOK {
		s.t.Fatalf("load: %d %s", r.status, r.body)
	}
	s.settled()
}

// settled waits until the configuration before has given up its sockets. Caddy
// answers a reload when that has been begun, not when it is done ("the scheduler
// might still pause them right before calling Shutdown()"): until then the kernel
// gives it some of the new connections, and resets those that wait when it closes.
func (s *server) settled() {
	s.t.Helper()
	wait(s.t, "the configuration before to be gone", func() error {
		for _, address := range []string{s.as, s.api, s.up, s.app, s.admin} {
			if n := listening(address); n > 1 {
				return fmt.Errorf("%d sockets at %s", n, address)
			}
		}
		return nil
	})
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // the server closes them too
}

// listening counts the sockets that listen on an address's port, on Linux.
func listening(address string) (n int) {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(u.Port())
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			// proc_pid_net(5): sl, local_address, rem_address, st; 0A is LISTEN.
			if f := strings.Fields(line); len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				n++
			}
		}
	}
	return n
}

// persist sends a request again whose connection was cut. Caddy, as every
// server, closes connections on which a request is just arriving when it gives
// its listeners to another configuration.
func persist(work func() (*reply, error)) (r *reply, err error) {
	for range 10 {
		if r, err = work(); err == nil {
			return r, nil
		}
	}
	return nil, err
}

// cacheStats are the first cache's.
func (s *server) cacheStats() (sum struct{ Hits, Misses, Fetches, Entries int }) {
	s.t.Helper()
	var list []struct{ Hits, Misses, Fetches, Entries int }
	r := get(s.t, s.admin+"/gatehouse/cache")
	if err := json.Unmarshal([]byte(r.body), &list); err != nil || len(list) == 0 {
		s.t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	for _, c := range list {
		sum.Hits, sum.Misses, sum.Fetches, sum.Entries = sum.Hits+c.Hits, sum.Misses+c.Misses, sum.Fetches+c.Fetches, sum.Entries+c.Entries
	}
	return sum
}

// remembers waits until a token is known for longer than a moment. It is not soon
// after its client has been declared, or the revocation stream has begun: another
// node of the engine may not have heard of what came before.
func (s *server) remembers(token string) {
	s.t.Helper()
	wait(s.t, "a token to be remembered", func() error {
		s.call(token).want(s.t, http.StatusOK)
		before := s.cacheStats().Fetches
		time.Sleep(200 * time.Millisecond)
		s.call(token).want(s.t, http.StatusOK)
		if s.cacheStats().Fetches != before {
			return fmt.Errorf("it was asked about again")
		}
		return nil
	})
}

func (s *server) goroutines() int {
	s.t.Helper()
	text := get(s.t, s.admin+"/debug/pprof/goroutine?debug=1").body
	n, err := strconv.Atoi(regexp.MustCompile(`total (\d+)`).FindStringSubmatch(text)[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *server) openFiles() int {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "fd"))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(entries)
}

// TestHundredReloads (promise 12): 100 reloads under load fail no request,
// lose neither cache nor sessions, and leak neither goroutines nor files.
func TestHundredReloads(t *testing.T) {
	// No reverse_proxy: its idle connections outlive a reload, by two minutes.
	text := strings.Replace(caddyfile(t, "global", "metrics"), "reverse_proxy 127.0.0.1:{$UP}", "respond orders", 1)
	// All of it may take longer than the minute for which an answer is believed.
	text = strings.Replace(text, "scopes orders:read\n", "scopes orders:read\n\t\tcache_ttl 1h\n", 1)
	s := startOwn(t, text)
	cached := s.serviceToken("orders:read")
	s.remembers(cached)
	p := s.person(t)
	refresh := p.signIn("openid offline_access orders:read")["refresh_token"].(string)
	before := s.cacheStats()
	reload := func(n int) {
		for i := range n {
			s.load(strings.Replace(text, "# upstream site", fmt.Sprintf("header X-Reload %d", i), 1))
		}
	}
	reload(10)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	goroutines, files := s.goroutines(), s.openFiles()

	var failed, served, attempts atomic.Int64
	stop := make(chan struct{})
	var workers sync.WaitGroup
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	for i := range 4 {
		workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := persist(func() (*reply, error) {
					attempts.Add(1)
					if i == 0 {
						return try(client, "POST", s.as+"/token", "grant_type=client_credentials", "Authorization", basic(demo, demoSecret))
					}
					return try(client, "GET", s.api+"/orders", "", "Authorization", "Bearer "+cached)
				})
				served.Add(1)
				if err != nil || r.status != http.StatusOK {
					if failed.Add(1) < 5 {
						t.Errorf("a request during a reload: %v %+v", err, r)
					}
				}
			}
		})
	}
	reload(100)
	close(stop)
	workers.Wait()
	client.CloseIdleConnections()

	after := s.cacheStats()
	t.Logf("%d requests during 100 reloads, of which %d connections were cut", served.Load(), attempts.Load()-served.Load())
	if served.Load() < 200 || failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), served.Load())
	}
	if after.Fetches != before.Fetches || after.Hits <= before.Hits || after.Entries < before.Entries {
		t.Errorf("the cache was %+v and is %+v: a token was asked about again", before, after)
	}
	if s.call(cached).want(t, 200); s.cacheStats().Fetches != before.Fetches {
		t.Error("the token that was cached before is not any more")
	}
	wait(t, "what the reloads held to be given back", func() error {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if now, open := s.goroutines(), s.openFiles(); now > goroutines+8 || open > files+8 {
			return fmt.Errorf("100 reloads: goroutines from %d to %d, files from %d to %d", goroutines, now, files, open)
		}
		return nil
	})
	if page := p.open(s.as + "/grants"); !strings.Contains(page.body, "Applications with access") {
		t.Errorf("the browser is not signed in any more: %s", page.url)
	}
	s.post("/token", web, webSecret, "grant_type", "refresh_token", "refresh_token", refresh).want(t, 200)
	if metrics := get(t, s.admin+"/metrics").body; strings.Count(metrics, "\ngatehouse_cache_lookups_total{") == 0 {
		t.Error("the metrics are gone")
	}
}

// TestChangedConfiguration (promises 5 and 12, threats 4 and 18): what a reload
// takes away is gone with it: a client, an account, a scope of the API's.
func TestChangedConfiguration(t *testing.T) {
	text := caddyfile(t)
	s := startOwn(t, text)
	service := s.serviceToken("orders:read")
	tokens := s.person(t).signIn("openid offline_access orders:read")
	person, refresh := tokens["access_token"].(string), tokens["refresh_token"].(string)
	s.call(service).want(t, 200)
	s.call(person).want(t, 200)

	s.load(strings.Replace(text, "client demo-service {", "client another-service {", 1))
	s.call(service).want(t, 401)
	s.call(person).want(t, 200)
	s.post("/token", demo, demoSecret, "grant_type", "client_credentials").want(t, 401)

	s.load(text)
	s.post("/token", demo, demoSecret, "grant_type", "client_credentials").want(t, 200)

	s.load(strings.Replace(text, "scopes orders:read\n", "scopes orders:write\n", 1)) // policy is not cached
	if r := s.call(person).want(t, 403); !strings.Contains(r.header.Get("WWW-Authenticate"), `scope="orders:write"`) {
		t.Errorf("challenge %s", r.header.Get("WWW-Authenticate"))
	}

	s.load(strings.Replace(text, "# account", "disabled", 1))
	s.call(person).want(t, 401)
	if r := s.post("/token", web, webSecret, "grant_type", "refresh_token", "refresh_token", refresh).want(t, 400); r.text(t, "error") != "invalid_grant" {
		t.Errorf("refresh: %s", r.body)
	}
	s.load(text)
	s.call(person).want(t, 401) // enabling gives nothing back
}

// TestRefusedConfiguration (threats 25 and 35): a configuration that cannot be
// is refused, and the one before goes on.
func TestRefusedConfiguration(t *testing.T) {
	text := caddyfile(t)
	s := startOwn(t, text)
	token := s.serviceToken("orders:read")
	for name, change := range map[string][2]string{
		"no such setting":    {"# service", "no_such_setting 1"},
		"no such scope":      {"scopes orders:read\n", "scopes no:such\n"},
		"two equal clients":  {"# clients", "client web {\n redirect_uris https://x.example/\n}"},
		"a secret not there": {"client_secret web-client-secret", "client_secret {env.GATEHOUSE_NO_SUCH}"},
		"a folder for a db":  {"# gatehouse", "storage sqlite " + t.TempDir()},
		"an odd issuer":      {"issuer http://localhost:{$AS}", "issuer http://example.com"},
		"a bad password":     {"password_hash $argon2id$v=19$m=19456,t=2,p=1$", "password_hash $argon2id$v=19$m=19456,t=0,p=1$"},
	} {
		start := time.Now()
		r := send(t, http.MethodPost, s.admin+"/load", strings.Replace(text, change[0], change[1], 1), "Content-Type", "text/caddyfile")
		if r.status != http.StatusBadRequest || !strings.Contains(r.body, "error") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("%s: refused after %s", name, took)
		}
		s.call(token).want(t, 200)
	}
	s.post("/token", demo, demoSecret, "grant_type", "client_credentials").want(t, 200)
}
