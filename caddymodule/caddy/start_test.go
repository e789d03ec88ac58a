package main_test

import (
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refused starts a server that must not start, and returns what it said.
func (s *server) refused() string {
	s.t.Helper()
	s.launch(exec.Command(s.binary, "run", "--config", s.config))
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Fatalf("the server started, or hangs:\n%s", s.output)
	}
	s.stopped = true
	if code := s.cmd.ProcessState.ExitCode(); code != 1 {
		s.t.Errorf("exit status %d:\n%s", code, s.output)
	}
	return s.output.String()
}

// TestMasterKey (threat 25; CVE-2026-27586, CVE-2026-31837): a key that cannot
// be used stops the start. There is no other key in its place, and the error
// names the file.
func TestMasterKey(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	token := s.serviceToken("orders:read")
	s.stop()
	path := filepath.Join(filepath.Dir(s.database()), "gatehouse.key")
	key, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	other := hex.EncodeToString([]byte("another key, of thirty-two bytes"))
	for _, c := range []struct {
		name  string
		spoil func() error
		say   []string
	}{
		{"missing", func() error { return os.Remove(path) }, []string{"missing", "restore it"}},
		{"empty", func() error { return os.WriteFile(path, nil, 0o600) }, []string{"64 hexadecimal digits"}},
		{"garbled", func() error { return os.WriteFile(path, key[:40], 0o600) }, []string{"64 hexadecimal digits"}},
		{"of another database", func() error { return os.WriteFile(path, []byte(other), 0o600) }, []string{"key"}},
		{"readable by others", func() error { return os.Chmod(path, 0o644) }, []string{"chmod 600"}},
		{"a folder", func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, []string{"directory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, key, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(); err != nil {
				t.Fatal(err)
			}
			said := s.refused()
			for _, want := range append(c.say, path) {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q:\n%s", want, lastLine(said))
				}
			}
			if strings.Contains(said, "panic") || strings.Contains(said, other) || strings.Contains(said, string(key[:40])) {
				t.Errorf("it panicked, or told a key:\n%s", said)
			}
		})
	}
	s.t = t
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, key, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.call(token).want(t, 200)
}

// TestUnreadableMasterKey is TestMasterKey for a key that is somebody else's.
func TestUnreadableMasterKey(t *testing.T) {
	requirePart(t, "root") // who can start a server as somebody else
	s := startOwn(t, caddyfile(t))
	s.stop()
	path := filepath.Join(filepath.Dir(s.database()), "gatehouse.key")
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Fatal(err)
	}
	// Everything is nobody's, but for the key; and nobody must reach it.
	if output, err := exec.Command("chown", "-R", "65534:65534", s.folder).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, output)
	}
	if err := os.Chown(path, 0, 0); err != nil {
		t.Fatal(err)
	}
	for folder := s.folder; folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
	s.launch(exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", binary, "run", "--config", s.config))
	<-s.exited
	s.stopped = true
	if said := s.output.String(); s.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said, path) || !strings.Contains(said, "permission denied") {
		t.Errorf("%s: %s", s.cmd.ProcessState, lastLine(said))
	}
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}

// TestStorageThatCannotBeOpened (threats 25 and 35): what cannot be a database
// stops the start, with an error that names it, and stays as it was.
func TestStorageThatCannotBeOpened(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := startOwn(t, caddyfile(t))
	newer.stop()
	cut := filepath.Join(folder, "cut.db")
	whole, err := os.ReadFile(newer.database())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, whole[:len(whole)/3*2+100], 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a folder": folder, "a text": text, "below a file": filepath.Join(text, "gatehouse.db"),
		"a device": "/dev/null", "in /proc": "/proc/gatehouse/gatehouse.db", "cut short": cut,
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := os.ReadFile(path)
			s := prepareOwn(t, caddyfile(t, "gatehouse", "storage sqlite "+path))
			if said := s.refused(); !strings.Contains(said, path) || strings.Contains(said, "panic") || strings.Contains(said, "goroutine ") {
				t.Errorf("it does not name %s:\n%s", path, lastLine(said))
			} else {
				t.Log(lastLine(said))
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file has changed")
			}
		})
	}
}

// TestMissingSecret (threat 25, CVE-2026-27586): a secret that is not there
// stops the start; it is never empty, nor the text of its placeholder.
func TestMissingSecret(t *testing.T) {
	for name, c := range map[string]struct{ from, to, say string }{
		"client secret, environment": {"client_secret web-client-secret", "client_secret {env.GATEHOUSE_NO_SUCH}", "GATEHOUSE_NO_SUCH"},
		"client secret, file":        {"client_secret web-client-secret", "client_secret {file./no/such/file}", "/no/such/file"},
		"client secret, too short":   {"client_secret web-client-secret", "client_secret short", "client_secret"},
		"master key, environment":    {"# gatehouse", "master_key {env.GATEHOUSE_NO_SUCH}", "GATEHOUSE_NO_SUCH"},
		"master key, garbled":        {"# gatehouse", "master_key 0123", "64 hexadecimal digits"},
		"storage path, environment":  {"# gatehouse", "storage sqlite {env.GATEHOUSE_NO_SUCH}/x.db", "GATEHOUSE_NO_SUCH"},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepareOwn(t, strings.Replace(caddyfile(t), c.from, c.to, 1))
			if said := s.refused(); !strings.Contains(said, c.say) || strings.Contains(said, "panic") {
				t.Errorf("it does not say %q:\n%s", c.say, lastLine(said))
			}
		})
	}
}

// TestOddConfigurations (threat 35): a mistake is an error with its line, never
// a panic and never open.
func TestOddConfigurations(t *testing.T) {
	for name, c := range map[string]struct{ from, to, say string }{
		"unknown setting":      {"# service", "acces_token_duration 60", "acces_token_duration"},
		"setting twice":        {"# service", "issuer http://localhost:1", "issuer"},
		"no https":             {"issuer http://localhost:{$AS}", "issuer http://example.com", "issuer"},
		"issuer with a query":  {"issuer http://localhost:{$AS}", "issuer https://example.com/?a=b", "issuer"},
		"issuer with a slash":  {"issuer http://localhost:{$AS}", "issuer https://example.com/", "issuer"},
		"redirect fragment":    {"redirect_uris http://127.0.0.1/callback", "redirect_uris http://127.0.0.1/callback#x", "redirect_uris"},
		"redirect script":      {"redirect_uris http://127.0.0.1/callback", "redirect_uris javascript:alert(1)", "redirect_uris"},
		"public with secret":   {"client native {", "client native {\nclient_type public\nclient_secret not-so-secret", "native"},
		"forward to Host":      {"forward sub X-User", "forward sub Host", "forward"},
		"forward twice":        {"forward client_id X-Client", "forward client_id x_user", "forward"},
		"no such scope":        {"scopes orders:read\n", "scopes orders:raed\n", "orders:raed"},
		"an unknown issuer":    {"\tgatehouse_server\n", "\tgatehouse_server http://localhost:1\n", "http://localhost:1"},
		"a claim that is sub":  {"# account", "claim sub root", "sub"},
		"no password hash":     {"email alice@example.com", "email alice@example.com\n}\naccount bob {", "bob"},
		"templates not there":  {"\tgatehouse_server\n", "\tgatehouse_server {\ntemplates /no/such/folder\n}\n", "/no/such/folder"},
		"a path on a path":     {"\tgatehouse_server\n", "\tgatehouse_server {\nlogin_path /token\n}\n", "/token"},
		"duration of zero":     {"# service", "access_token_duration 0", "access_token_duration"},
		"unknown storage":      {"# gatehouse", "storage mysql", "mysql"},
		"negative cache":       {"scopes orders:read\n", "scopes orders:read\ncache_size -1\n", "cache_size"},
		"resource without tls": {"scopes orders:read\n", "scopes orders:read\nresource http://example.com/\n", "resource"},
	} {
		t.Run(name, func(t *testing.T) {
			config := strings.Replace(caddyfile(t), c.from, c.to, 1)
			if config == caddyfile(t) {
				t.Fatal("nothing was changed")
			}
			s := prepareOwn(t, config)
			out, errs, err := s.command("", "validate", "--config", s.config)
			if said := out + errs; err == nil || !strings.Contains(lastLine(said), c.say) || strings.Contains(said, "panic") {
				t.Errorf("%v: it does not say %q:\n%s", err, c.say, lastLine(said))
			}
		})
	}
}
