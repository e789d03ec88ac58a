package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// pairedClient is told another subject than other clients are.
const pairedClient = `client paired {
	client_secret the-secret-of-paired
	redirect_uris http://localhost:{$APP}/callback
	subject_type pairwise
}`

// kept is what a rotation of the master key must leave as it was.
type kept struct {
	token           string // of demo-service
	refresh, next   string // of native: a refresh token, and its successor
	paired, subject any    // a token of the pairwise client, and the sub that it is told
	id, secret      string // of a client that has registered itself
}

func keep(t *testing.T, s *server) kept {
	t.Helper()
	k := kept{token: s.serviceToken("orders:read")}
	r := newRequest("native", "http://127.0.0.1/callback", "openid offline_access")
	k.refresh = s.redeem(r, "", s.person(t).code(r, alice, wonder)).want(t, http.StatusOK).text(t, "refresh_token")
	k.next = s.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", k.refresh).want(t, http.StatusOK).text(t, "refresh_token")
	r = newRequest("paired", s.app+"/callback", "openid")
	k.paired = s.redeem(r, "the-secret-of-paired", s.person(t).code(r, alice, wonder)).want(t, http.StatusOK).json(t)["access_token"]
	k.subject = get(t, s.as+"/userinfo", "Authorization", "Bearer "+k.paired.(string)).want(t, http.StatusOK).json(t)["sub"]
	made := send(t, http.MethodPost, s.as+"/register", `{"grant_types":["client_credentials"],"response_types":[],"scope":"orders:read"}`,
		"Content-Type", "application/json").want(t, http.StatusCreated)
	k.id, k.secret = made.text(t, "client_id"), made.text(t, "client_secret")
	return k
}

// same holds that nothing has changed at a server.
func (k kept) same(t *testing.T, s *server) {
	t.Helper()
	s.call(k.token).want(t, http.StatusOK)
	again := s.post("/token", "native", "", "grant_type", "refresh_token", "refresh_token", k.refresh).want(t, http.StatusOK)
	if next := again.text(t, "refresh_token"); next != k.next {
		t.Error("the succession of a refresh token is another")
	}
	if sub := get(t, s.as+"/userinfo", "Authorization", "Bearer "+k.paired.(string)).want(t, http.StatusOK).json(t)["sub"]; sub != k.subject || sub == alice {
		t.Errorf("the pairwise subject is %v, and was %v", sub, k.subject)
	}
	s.post("/token", k.id, k.secret, "grant_type", "client_credentials").want(t, http.StatusOK)
}

// load asks for tokens, and refuses none, until it is ended.
func (k kept) load(t *testing.T, servers ...*server) (end func()) {
	done, asked := make(chan struct{}), new(atomic.Int64)
	var all sync.WaitGroup
	for _, s := range servers {
		for client, secret := range map[string]string{demo: demoSecret, k.id: k.secret} {
			all.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					r, err := try(http.DefaultClient, http.MethodPost, s.as+"/token", "grant_type=client_credentials", "Authorization", basic(client, secret))
					if err != nil || r.status != http.StatusOK {
						t.Errorf("under load: %v %v", r, err)
						return
					}
					asked.Add(1)
				}
			})
		}
	}
	return func() {
		t.Helper()
		close(done)
		all.Wait()
		if asked.Load() == 0 {
			t.Error("there was no load")
		}
	}
}

// TestMasterKeyRotation: the master key is replaced under two servers on one
// database, with load on both. Tokens, the succession of refresh tokens, pairwise
// subjects (OpenID Connect Core §8.1), registered clients and signing keys are
// the same before, during and after, and after a start with the new key alone.
func TestMasterKeyRotation(t *testing.T) {
	one, two := startTwo(t)
	k := keep(t, one)
	jwks := get(t, one.as+"/jwks").body
	check := func(what string) {
		t.Helper()
		for _, s := range []*server{one, two} {
			k.same(t, s)
			if got := get(t, s.as+"/jwks").body; got != jwks {
				t.Errorf("%s: the keys are %s, and were %s", what, got, jwks)
			}
		}
		one.person(t).signIn("openid")
	}
	file := filepath.Join(one.folder, "shared", "gatehouse.key")
	before := readLines(t, file)
	end := k.load(t, one, two)
	out := one.gatehouse("", "key", "master", "rotate")
	if !strings.Contains(out, "under the current master key") || !strings.Contains(out, "forget removes") || strings.Contains(out, before[0]) {
		t.Errorf("rotate said: %s", out)
	}
	check("with both keys")
	lines := readLines(t, file)
	if len(lines) != 2 || lines[1] != before[0] || lines[0] == lines[1] {
		t.Fatalf("the file has %d keys", len(lines))
	}
	if out := one.gatehouse("", "doctor"); !strings.Contains(out, "not needed any more") {
		t.Errorf("doctor said: %s", out)
	}
	one.gatehouse("", "key", "master", "forget")
	end()
	if after := readLines(t, file); len(after) != 1 || after[0] != lines[0] {
		t.Fatalf("the file has %d keys", len(after))
	}
	check("with the new key alone")
	late := send(t, http.MethodPost, two.as+"/register", `{"grant_types":["client_credentials"],"response_types":[]}`, "Content-Type", "application/json").want(t, http.StatusCreated)
	for _, s := range []*server{one, two} {
		s.stop()
		s.start()
	}
	check("after a start")
	one.post("/token", late.text(t, "client_id"), late.text(t, "client_secret"), "grant_type", "client_credentials").want(t, http.StatusOK)
}

// startTwo starts two servers on one database.
func startTwo(t *testing.T) (one, two *server) {
	t.Helper()
	text := caddyfile(t, "gatehouse", "storage sqlite {$DATA}/shared/gatehouse.db",
		"service", "dynamic_registration_supported on", "clients", pairedClient)
	one = startOwn(t, text)
	two = prepareOwn(t, strings.NewReplacer("{$DATA}", one.folder,
		"issuer http://localhost:{$AS}", "issuer "+one.as+"\n\t\t\tauthorization_endpoint http://localhost:{$AS}/authorize\n\t\t\ttoken_endpoint http://localhost:{$AS}/token").Replace(text))
	two.start()
	return one, two
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	return strings.Fields(string(text))
}

// TestMasterKeyOption: with master_key in the configuration, the order that the
// command's help names replaces the key while nodes serve: known everywhere,
// then current everywhere, then everything under it, then the old one gone.
func TestMasterKeyOption(t *testing.T) {
	first, second := strings.Repeat("11", 32), strings.Repeat("22", 32)
	with := func(keys string) string {
		return caddyfile(t, "gatehouse", "master_key "+keys, "service", "dynamic_registration_supported on", "clients", pairedClient)
	}
	s := startOwn(t, with(first))
	k := keep(t, s)
	reload := func(keys string) {
		t.Helper()
		s.configure(with(keys))
		s.reload()
		k.same(t, s)
	}
	reload(first + " " + second)
	reload(second + " " + first)
	if out := s.gatehouse("", "doctor"); !strings.Contains(out, "reseal") {
		t.Errorf("doctor before the values are under the new key: %s", out)
	}
	if _, errs, err := s.command("", "gatehouse", "--config", s.config, "key", "master", "rotate"); err == nil || !strings.Contains(errs, "the option master_key") {
		t.Errorf("rotating what stands in the configuration: %v %s", err, errs)
	}
	if out := s.gatehouse("", "key", "master", "reseal"); !strings.Contains(out, "may be removed") || strings.Contains(out, first) {
		t.Errorf("reseal said: %s", out)
	}
	k.same(t, s)
	reload(second)
	s.stop()
	s.start()
	k.same(t, s)
	if strings.Contains(s.output.String(), first) || strings.Contains(s.output.String(), second) {
		t.Error("a key is in the log")
	}
}

// TestServerWithoutTheNewMasterKey: a server that has not been told of the new
// key serves on with what is in memory, and says at its health what it lacks.
func TestServerWithoutTheNewMasterKey(t *testing.T) {
	first, second := strings.Repeat("11", 32), strings.Repeat("22", 32)
	s := startOwn(t, caddyfile(t, "gatehouse", "master_key "+first))
	token := s.serviceToken("orders:read")
	ahead := *s
	ahead.config = filepath.Join(s.folder, "Caddyfile.ahead")
	if err := os.WriteFile(ahead.config, []byte(caddyfile(t, "gatehouse", "master_key "+second+" "+first)), 0o600); err != nil {
		t.Fatal(err)
	}
	ahead.gatehouse("", "key", "master", "reseal")
	within(t, 2*promised, "the health to tell", func() error {
		r := get(t, s.admin+"/gatehouse/health").want(t, http.StatusOK)
		var health struct {
			OK   bool
			Keys string
		}
		if err := json.Unmarshal([]byte(r.body), &health); err != nil {
			return err
		}
		if !health.OK || !strings.Contains(health.Keys, "master key") {
			return fmt.Errorf("%s", r.body)
		}
		return nil
	})
	s.call(token).want(t, http.StatusOK)
	s.call(s.serviceToken("orders:read")).want(t, http.StatusOK)
	s.person(t).signIn("openid")
	if log := s.output.String(); strings.Count(log, "wrong_master_key") != 1 {
		t.Errorf("the log tells of it %d times", strings.Count(log, "wrong_master_key"))
	}
}
