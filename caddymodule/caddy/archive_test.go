package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// elsewhere is the configuration of a server with its database in a folder.
func elsewhere(t *testing.T, folder string) string {
	t.Helper()
	return caddyfile(t, "gatehouse", "storage sqlite {$DATA}/"+folder+"/gatehouse.db")
}

// configured writes a configuration of its own for a command.
func (s *server) configured(name, caddyfile string) (path string) {
	s.t.Helper()
	path = filepath.Join(s.folder, name)
	if err := os.WriteFile(path, []byte(caddyfile), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// fails runs caddy gatehouse, which must fail and say why.
func (s *server) fails(want string, args ...string) {
	s.t.Helper()
	out, errs, err := s.command("", append([]string{"gatehouse"}, args...)...)
	if err == nil || !strings.Contains(errs, want) || strings.Contains(errs, "panic") {
		s.t.Errorf("caddy gatehouse %s: %v %s %s, want %q", strings.Join(args, " "), err, out, errs, want)
	}
}

func (s *server) copyKey(from, to string) {
	s.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// TestExportImport: what a server has acknowledged holds on another one that its
// export was imported into: tokens, revocations, codes that were used, accounts,
// keys. A file or a master key that does not fit is refused, with nothing written.
func TestExportImport(t *testing.T) {
	s := startOwn(t, elsewhere(t, "one"))
	s.gatehouse("correct horse battery\n", "user", "add", "bob", "--password-stdin")
	p := s.person(t)
	r := newRequest(web, s.app+"/callback", "openid offline_access orders:read")
	code := p.code(r, "bob", "correct horse battery")
	tokens := s.redeem(r, webSecret, code).want(t, 200).json(t)
	refresh := tokens["refresh_token"].(string)
	revoked, kept := s.serviceToken("orders:read"), s.serviceToken("orders:read")
	s.revoke(demo, demoSecret, revoked)
	jwks := get(t, s.as+"/jwks").want(t, 200).body

	all, few := filepath.Join(s.folder, "all.jsonl"), filepath.Join(s.folder, "few.jsonl")
	_, errs, err := s.command("", "gatehouse", "-c", s.config, "export", "--output", all)
	if err != nil || !strings.Contains(errs, "exported") {
		t.Fatalf("export: %v %s", err, errs)
	}
	if info, err := os.Stat(all); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has the mode %v, %v", info.Mode(), err)
	}
	s.fails("file already exists", "-c", s.config, "export", "-o", all)
	s.fails("no service has the issuer", "-c", s.config, "export", "-o", few, "--issuer", "https://none.example")
	if err := os.WriteFile(few, []byte(s.gatehouse("", "export", "--without-tokens", "--issuer", s.as)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails("has the service "+s.as, "-c", s.config, "import", all)
	s.stop()

	whole, err := os.ReadFile(all)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(whole); strings.Contains(text, kept) || strings.Contains(text, "correct horse") || strings.Contains(text, "BEGIN") || strings.Contains(text, `"d":`) {
		t.Error("the file holds a secret in the clear")
	}
	cut := filepath.Join(s.folder, "cut.jsonl")
	if err := os.WriteFile(cut, whole[:len(whole)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	two := s.configured("two.caddyfile", elsewhere(t, "two"))
	s.fails("not a whole export", "-c", two, "import", cut)
	s.fails("the master key must be there first", "-c", two, "import", all)
	key := filepath.Join(s.folder, "two", "gatehouse.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("00", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails("does not open", "-c", two, "import", all)
	s.copyKey(filepath.Join(s.folder, "one", "gatehouse.key"), key)

	s.config = two
	if out := s.gatehouse("", "import", all); !strings.Contains(out, "of 1 services") {
		t.Errorf("import: %s", out)
	}
	s.fails("has the service "+s.as, "-c", two, "import", all)
	s.start()
	s.call(kept).want(t, 200)
	s.call(revoked).want(t, 401)
	s.call(tokens["access_token"].(string)).want(t, 200)
	s.post("/token", web, webSecret, "grant_type", "refresh_token", "refresh_token", refresh).want(t, 200)
	if again := get(t, s.as+"/jwks").want(t, 200).body; again != jwks {
		t.Errorf("the keys are others: %s", again)
	}
	if page := p.open(s.as + "/grants"); page.url.Path != "/grants" {
		t.Errorf("the session is gone: %s", page.url)
	}
	s.redeem(r, webSecret, code).want(t, 400)            // the code was used
	s.call(tokens["access_token"].(string)).want(t, 401) // which ends what it was used for (RFC 6749 §4.1.2)
	if got := s.serviceToken("orders:read"); got == "" {
		t.Error("no new token")
	}
	s.stop()

	s.config = s.configured("three.caddyfile", elsewhere(t, "three"))
	if err := os.Mkdir(filepath.Join(s.folder, "three"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.copyKey(key, filepath.Join(s.folder, "three", "gatehouse.key"))
	s.gatehouse("", "import", few)
	s.start()
	s.call(kept).want(t, 401)
	fresh := s.person(t)
	again := newRequest(web, s.app+"/callback", "openid")
	if fresh.code(again, "bob", "correct horse battery") == "" {
		t.Error("bob is gone")
	}
}

// TestBackup: a backup that is made under load is a database with every token
// that was acknowledged before it began, and every revocation.
func TestBackup(t *testing.T) {
	s := startOwn(t, elsewhere(t, "one"))
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if r, err := try(plain, "POST", s.as+"/token", "grant_type=client_credentials", "Authorization", basic(demo, demoSecret)); err != nil || r.status != 200 {
					t.Errorf("a token during the backup: %v %+v", err, r)
					return
				}
			}
		})
	}
	var good, bad []string
	for i := range 40 {
		token := s.serviceToken("orders:read")
		if i%4 > 0 {
			good = append(good, token)
			continue
		}
		s.revoke(demo, demoSecret, token)
		bad = append(bad, token)
	}
	copied := filepath.Join(s.folder, "two", "gatehouse.db")
	if err := os.Mkdir(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	out := s.gatehouse("", "backup", copied)
	key := filepath.Join(s.folder, "one", "gatehouse.key")
	if !strings.Contains(out, fmt.Sprintf("without the master key from %s", key)) {
		t.Errorf("backup: %s", out)
	}
	s.fails("file already exists", "-c", s.config, "backup", copied)
	close(stop)
	load.Wait()
	s.kill()

	s.config = s.configured("two.caddyfile", elsewhere(t, "two"))
	s.copyKey(key, filepath.Join(s.folder, "two", "gatehouse.key"))
	s.start()
	for _, token := range good {
		s.call(token).want(t, 200)
	}
	for _, token := range bad {
		s.call(token).want(t, 401)
	}
	s.serviceToken("orders:read")
}
