package main_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// TestUserCommands (promise 5, threat 4): accounts are managed beside a
// running server, which follows within a second, and without one.
func TestUserCommands(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	const password, other = "correct horse battery", "another battery staple"
	if out := s.gatehouse(password+"\n", "user", "add", "Bob", "--password-stdin", "--email", "bob@example.com", "--claim", "name=Bob Builder", "--claim", "email_verified=true"); !strings.HasPrefix(out, "added Bob, subject ") {
		t.Fatalf("user add: %s", out)
	}
	if _, errs, err := s.command(password+"\n", "gatehouse", "-c", s.config, "user", "add", "BOB", "--password-stdin"); err == nil || !strings.Contains(errs, "already") {
		t.Errorf("adding the same name in another spelling: %v %s", err, errs)
	}
	if out := s.gatehouse("", "user", "list"); !regexp.MustCompile(`Bob +\S+ +active`).MatchString(out) {
		t.Errorf("user list: %s", out)
	}

	signIn := func(p *person, password string) (access, refresh string) {
		t.Helper()
		r := newRequest(web, s.app+"/callback", "openid email profile offline_access orders:read")
		tokens := s.redeem(r, webSecret, p.code(r, "bob", password)).want(t, 200).json(t)
		return tokens["access_token"].(string), tokens["refresh_token"].(string)
	}
	p := s.person(t)
	token, refresh := signIn(p, password)
	claims := get(t, s.as+"/userinfo", "Authorization", "Bearer "+token).want(t, 200).json(t)
	if claims["email"] != "bob@example.com" || claims["name"] != "Bob Builder" || claims["email_verified"] != true {
		t.Errorf("claims %v", claims)
	}
	s.call(token).want(t, 200)

	if out := s.gatehouse(other+"\n", "user", "passwd", "bob", "--password-stdin"); !strings.Contains(out, "sessions have ended") {
		t.Errorf("user passwd: %s", out)
	}
	within(t, promised, "the session to end", func() error { return p.signedOut() })
	s.call(token).want(t, 200) // a new password ends sign-ins, and nothing else
	signIn(p, other)

	s.gatehouse("", "user", "disable", "bob")
	s.awaitStatus(promised, token, http.StatusUnauthorized)
	within(t, promised, "the session to end", func() error { return p.signedOut() })
	if r := s.post("/token", web, webSecret, "grant_type", "refresh_token", "refresh_token", refresh).want(t, 400); r.text(t, "error") != "invalid_grant" {
		t.Errorf("refresh: %s", r.body)
	}
	if page := p.submit(p.open(s.as+"/grants"), "username", "bob", "password", other); !strings.Contains(page.body, "The name or the password is wrong.") {
		t.Errorf("a disabled user signs in: %s", page.body)
	}
	if out := s.gatehouse("", "user", "list"); !regexp.MustCompile(`Bob +\S+ +disabled`).MatchString(out) {
		t.Errorf("user list: %s", out)
	}

	s.stop()
	s.gatehouse("", "user", "enable", "Bob")
	s.gatehouse(password+"\n", "user", "passwd", "bob", "--password-stdin")
	s.gatehouse("a third password\n", "user", "add", "carol", "--password-stdin")
	s.start()
	signIn(s.person(t), password)
	s.call(token).want(t, 401)

	for name, args := range map[string][]string{
		"nobody":           {"user", "disable", "nobody"},
		"declared":         {"user", "passwd", "alice", "--password-stdin"},
		"no name":          {"user", "add"},
		"an odd name":      {"user", "add", "a b", "--password-stdin"},
		"an odd claim":     {"user", "add", "dave", "--claim", "x", "--password-stdin"},
		"no password":      {"user", "add", "dave", "--password-stdin", "--email", "d@example.com", "--issuer", s.as + "/other"},
		"no configuration": {"user", "list", "--config", s.folder + "/none"},
	} {
		out, errs, err := s.command("a password of dave\n", append([]string{"gatehouse", "--config", s.config}, args...)...)
		if err == nil || errs == "" || strings.Contains(out+errs, "panic") {
			t.Errorf("%s: %v %s %s", name, err, out, errs)
		}
	}
}

// signedOut returns nil when the browser is asked to sign in.
func (p *person) signedOut() error {
	if page := p.open(p.as + "/grants"); page.url.Path != "/login" {
		return fmt.Errorf("the browser is at %s", page.url)
	}
	return nil
}

// TestUserHash: what caddy gatehouse user hash prints goes into a Caddyfile.
func TestUserHash(t *testing.T) {
	s := prepareOwn(t, caddyfile(t))
	out, errs, err := s.command("white rabbit\n", "gatehouse", "user", "hash")
	if err != nil || !strings.HasPrefix(out, "$argon2id$v=19$") {
		t.Fatalf("%v %s %s", err, out, errs)
	}
	s.configure(caddyfile(t, "clients", "account rabbit {\n password_hash "+strings.TrimSpace(out)+"\n}"))
	s.start()
	p := s.person(t)
	if page := p.submit(p.open(s.as+"/grants"), "username", "rabbit", "password", "white rabbit"); page.url.Path != "/grants" {
		t.Errorf("%d %s", page.status, page.body)
	}
}

// TestKeyCommands: keys are rotated beside a running server, which publishes
// the new ones and goes on to sign with the old ones, and without one.
func TestKeyCommands(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	keys := func() int { return strings.Count(get(t, s.as+"/jwks").want(t, 200).body, `"kid"`) }
	before := keys()
	if lines := strings.Count(s.gatehouse("", "key", "list"), "\n"); lines != before+1 {
		t.Errorf("key list shows %d lines for %d keys", lines, before)
	}
	out := s.gatehouse("", "key", "rotate", "--alg", "ES256", "--announce", "1h")
	kid := regexp.MustCompile(`^announced (\S+); it takes over at`).FindStringSubmatch(out)
	if kid == nil {
		t.Fatalf("key rotate: %s", out)
	}
	within(t, 2*promised, "the new key", func() error {
		if !strings.Contains(get(t, s.as+"/jwks").body, kid[1]) {
			return fmt.Errorf("%s is not published", kid[1])
		}
		return nil
	})
	s.person(t).signIn("openid")

	r := send(t, "POST", s.admin+"/gatehouse/keys/rotate", `{"algs":["EdDSA"],"announce":"1m"}`, "Content-Type", "application/json")
	if r.status != 200 || keys() != before+2 {
		t.Errorf("rotation over the admin API: %d %s; %d keys", r.status, r.body, keys())
	}
	s.stop()
	s.gatehouse("", "key", "rotate")
	s.start()
	if got := keys(); got != before+5 {
		t.Errorf("%d keys, want %d", got, before+5)
	}
	if _, errs, err := s.command("", "gatehouse", "-c", s.config, "key", "rotate", "--alg", "none"); err == nil || !strings.Contains(errs, "none") {
		t.Errorf("rotating to alg none: %v %s", err, errs)
	}
}

// TestCommandsAtOnce: two processes that write at the same time wait for each
// other, while the server goes on.
func TestCommandsAtOnce(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	const n = 6
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			name := fmt.Sprintf("user%d", i)
			if out, errs, err := s.command("a password for all\n", "gatehouse", "-c", s.config, "user", "add", name, "--password-stdin"); err != nil {
				t.Errorf("%s: %v %s %s", name, err, out, errs)
			}
		})
	}
	for range 50 {
		s.post("/token", demo, demoSecret, "grant_type", "client_credentials").want(t, 200)
	}
	all.Wait()
	if out := s.gatehouse("", "user", "list"); strings.Count(out, "active") != n {
		t.Errorf("user list: %s", out)
	}
}

// TestTwoServers: two processes on one database, as while one replaces the
// other, know each other's tokens, and a revocation within a second (promise 5).
func TestTwoServers(t *testing.T) {
	text := caddyfile(t, "gatehouse", "storage sqlite {$DATA}/shared/gatehouse.db")
	one := startOwn(t, text)
	two := prepareOwn(t, strings.NewReplacer("{$DATA}", one.folder,
		"issuer http://localhost:{$AS}", "issuer "+one.as+"\n\t\t\tauthorization_endpoint http://localhost:{$AS}/authorize\n\t\t\ttoken_endpoint http://localhost:{$AS}/token").Replace(text))
	two.start()
	token := one.serviceToken("orders:read")
	two.call(token).want(t, 200)
	one.call(two.serviceToken("orders:read")).want(t, 200)
	one.revoke(demo, demoSecret, token)
	two.awaitStatus(promised, token, http.StatusUnauthorized)
}
