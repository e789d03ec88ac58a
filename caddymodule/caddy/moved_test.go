package main_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// TestMoveAsksTheServer: a reload does not change the environment of a process.
// With --reload nothing moves unless the server itself can run the new
// configuration, on the storage that the command means.
func TestMoveAsksTheServer(t *testing.T) {
	pg := pgtest.Start(t)
	pg.Exec(t, "postgres", "CREATE DATABASE other")
	s := prepareOwn(t, caddyfile(t))
	configuration := func(name, variable string) string {
		return s.configured(name, caddyfile(t, "gatehouse",
			fmt.Sprintf("storage postgres {env.%s}\nmaster_key {file.%s}", variable, s.masterKey())))
	}
	good, missing, another := configuration("good.caddyfile", "GATEHOUSE_DSN"),
		configuration("missing.caddyfile", "GATEHOUSE_LATER"), configuration("another.caddyfile", "GATEHOUSE_OTHER")
	s.env = append(s.env, "GATEHOUSE_DSN="+pg.Address("postgres"), "GATEHOUSE_OTHER="+pg.Address("other"))
	s.start()
	s.env = append(s.env, "GATEHOUSE_LATER="+pg.Address("postgres"), "GATEHOUSE_OTHER="+pg.Address("postgres"))
	writes := func(status int) {
		t.Helper()
		s.post("/token", demo, demoSecret, "grant_type", "client_credentials", "scope", "orders:read").want(t, status)
	}
	for file, say := range map[string]string{missing: "GATEHOUSE_LATER", another: "another one for the server"} {
		s.fails("nothing has moved", "-c", s.config, "move", "--to", file, "--reload")
		s.fails(say, "-c", s.config, "move", "--to", file, "--reload")
		writes(http.StatusOK)
	}
	if f := s.doctor(t)["move"]; f.Severity != "ok" {
		t.Errorf("what was not moved: %+v", f)
	}
	token := s.serviceToken("orders:read")
	s.gatehouse("", "move", "--to", good, "--reload")
	writes(http.StatusOK)
	s.call(token).want(t, http.StatusOK)
}

// TestMovedServerIsNotWell: what has moved away cannot be written any more. The
// health of a server that runs on it says so, and so does the log of a start.
func TestMovedServerIsNotWell(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	key, err := os.ReadFile(s.masterKey())
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "gatehouse.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	token := s.serviceToken("orders:read")
	health := func(status int, say string) {
		t.Helper()
		if r := get(t, s.admin+"/gatehouse/health").want(t, status); !strings.Contains(r.body, say) {
			t.Errorf("the health is %s", r.body)
		}
	}
	health(http.StatusOK, `"store":"ok"`)
	to := s.configured("new.caddyfile", caddyfile(t, "gatehouse", "storage sqlite "+filepath.Join(folder, "new.db")))
	s.gatehouse("", "move", "--to", to)
	health(http.StatusServiceUnavailable, `"ok":false,"store":"all has moved to another store`)
	s.call(token).want(t, http.StatusOK)
	s.stop()
	s.start()
	if log := s.output.String(); !strings.Contains(log, "all has moved to another store") || !strings.Contains(log, "--take-back") {
		t.Errorf("the start says nothing of it:\n%s", log)
	}
	health(http.StatusServiceUnavailable, "moved")
	s.gatehouse("", "move", "--take-back")
	health(http.StatusOK, `"store":"ok"`)
}

// TestAdminAfterAFailedReload: a server that could not take a configuration goes on
// with the one before, and its admin endpoint tells of that one.
func TestAdminAfterAFailedReload(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	bad := s.configured("bad.caddyfile", caddyfile(t, "gatehouse", "storage sqlite "+s.folder))
	if _, errs, err := s.command("", "reload", "--config", bad, "--address", strings.TrimPrefix(s.admin, "http://")); err == nil || !strings.Contains(errs, "is a folder") {
		t.Fatalf("the reload: %v %s", err, errs)
	}
	s.call(s.serviceToken("orders:read")).want(t, http.StatusOK)
	if r := get(t, s.admin+"/gatehouse/health").want(t, http.StatusOK); !strings.Contains(r.body, `"store":"ok"`) {
		t.Errorf("the health is %s", r.body)
	}
	get(t, s.admin+"/gatehouse/cache").want(t, http.StatusOK)
}

// TestCommandsWantADatabase: a command that reads, copies or changes what is there
// fails when there is nothing, and makes nothing: the path is mistyped then, or
// that of another user.
func TestCommandsWantADatabase(t *testing.T) {
	s := prepareOwn(t, caddyfile(t))
	copied := filepath.Join(t.TempDir(), "copy.db")
	for _, args := range [][]string{
		{"backup", copied}, {"export", "-o", copied}, {"export"}, {"move", "--cancel"}, {"import", "--cancel"},
		{"key", "master", "rotate"}, {"key", "master", "reseal"}, {"key", "master", "forget"},
		{"key", "rotate"}, {"key", "list"}, {"user", "list"}, {"user", "disable", "bob"},
	} {
		s.fails("there is no database at "+s.database()+": is this the user", append([]string{"-c", s.config}, args...)...)
	}
	for _, path := range []string{copied, s.database()} {
		if found, _ := filepath.Glob(path + "*"); found != nil {
			t.Errorf("made: %v", found)
		}
	}
	s.gatehouse("correct horse battery\n", "user", "add", "bob", "--password-stdin")
	if f := s.doctor(t)["master key"]; f.Severity != "ok" || !strings.Contains(f.Value, "first start makes it") {
		t.Errorf("while nothing is encrypted: %+v", f)
	}
	s.start()
	if f := s.doctor(t)["master key"]; f.Severity != "ok" || !strings.Contains(f.Value, s.masterKey()) {
		t.Errorf("after the start: %+v", f)
	}
}

// TestCommandsOfRoot: what root does before the first start keeps the server, which
// is another user, from nothing.
func TestCommandsOfRoot(t *testing.T) {
	requirePart(t, "root")
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Fatal(err)
	}
	s := startOwn(t, caddyfile(t))
	s.stop()
	files, err := filepath.Glob(s.database() + "-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files { // a database that was restored
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if output, err := exec.Command("chown", "-R", "65534:65534", s.folder).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, output)
	}
	for _, path := range []string{s.folder, filepath.Dir(binary)} {
		for ; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.gatehouse("", "export")
	s.gatehouse("", "key", "master", "rotate")
	s.launch(exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", binary, "run", "--config", s.config))
	wait(t, "the server to start", func() error {
		if log := s.output.String(); !strings.Contains(log, "serving initial configuration") {
			return fmt.Errorf("so far:\n%s", log)
		}
		return nil
	})
	s.serviceToken("orders:read")
}
