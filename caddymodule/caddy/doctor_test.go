package main_test

import (
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type finding struct{ Name, Severity, Value, Advice string }

// doctor runs caddy gatehouse doctor, and returns what it found by name. The
// exit status must go with the findings.
func (s *server) doctor(t *testing.T) map[string]finding {
	t.Helper()
	out, errs, err := s.command("", "gatehouse", "--config", s.config, "doctor", "--json")
	var list []finding
	if e := json.Unmarshal([]byte(out), &list); e != nil {
		t.Fatalf("%v: %s %s", e, out, errs)
	}
	findings, failing := map[string]finding{}, false
	for _, f := range list {
		failing = failing || f.Severity == "fails"
		if worse, there := findings[f.Name]; !there || worse.Severity == "ok" {
			findings[f.Name] = f
		}
	}
	if failing != (err != nil) || strings.Contains(out+errs, "panic") {
		t.Errorf("it ended with %v: %s", err, out)
	}
	return findings
}

// TestDoctor: beside a server in which all is well, and without it, it says how
// things are, changes nothing and ends well.
func TestDoctor(t *testing.T) {
	s := prepareOwn(t, caddyfile(t))
	if f := s.doctor(t)["storage"]; f.Severity != "warning" || !strings.Contains(f.Value, s.database()) {
		t.Errorf("before the first start: %+v", f)
	}
	if _, err := os.Stat(s.database()); err == nil {
		t.Error("it made a database")
	}
	s.start()
	token := s.serviceToken("orders:read")
	well := func(when string) {
		t.Helper()
		findings := s.doctor(t)
		for _, name := range []string{"configuration", "schema", "journal", "synchronous", "write lock", "migration lock", "size", "disk",
			"permissions", "move", "rows", "sweeping", "integrity", "master key", "encrypted", "signing keys", "feed", "clock"} {
			if f := findings[name]; f.Value == "" || f.Severity != "ok" && name != "disk" { // this machine's
				t.Errorf("%s: %s is %+v", when, name, f)
			}
		}
		if f := findings["configuration"]; !strings.HasPrefix(f.Value, s.config) {
			t.Errorf("%s: %+v", when, f)
		}
	}
	well("beside a server")
	if out := s.gatehouse("", "doctor"); !strings.Contains(out, "ok      schema: ") {
		t.Errorf("in words: %s", out)
	}
	s.call(token).want(t, 200)
	s.stop()
	well("without one")
	s.start()
	s.call(token).want(t, 200)
}

// TestDoctorFindsTroubles: what would stop a server fails, what will one day
// trouble it is a warning, and no key is told.
func TestDoctorFindsTroubles(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	s.stop()
	key := filepath.Join(filepath.Dir(s.database()), "gatehouse.key")
	good := map[string][]byte{}
	for _, path := range []string{s.config, s.database(), key} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		good[path] = content
	}
	write := func(t *testing.T, path string, content []byte, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, content, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	other := strings.Repeat("33", 32)
	for name, c := range map[string]struct {
		finding, severity, say string
		spoil                  func(t *testing.T)
	}{
		"a setting that is none": {"configuration", "fails", "no_such_setting", func(t *testing.T) {
			write(t, s.config, []byte(caddyfile(t, "service", "no_such_setting on")), 0o600)
		}},
		"a secret that is not there": {"configuration", "fails", "GATEHOUSE_NO_SUCH_SECRET", func(t *testing.T) {
			write(t, s.config, []byte(caddyfile(t, "clients", "client other {\nclient_secret {env.GATEHOUSE_NO_SUCH_SECRET}\ngrant_types client_credentials\n}")), 0o600)
		}},
		"no key file":           {"master key", "fails", "no such file", func(t *testing.T) { os.Remove(key) }},
		"a key for all to read": {"master key", "fails", "chmod 600", func(t *testing.T) { write(t, key, good[key], 0o644) }},
		"another key":           {"encrypted", "fails", "no master key opens", func(t *testing.T) { write(t, key, []byte(other+"\n"), 0o600) }},
		"a key not yet used":    {"encrypted", "warning", "reseal", func(t *testing.T) { write(t, key, append([]byte(other+"\n"), good[key]...), 0o600) }},
		"a database for all to read": {"permissions", "warning", "chmod 600", func(t *testing.T) {
			write(t, s.database(), good[s.database()], 0o644)
		}},
		"no database": {"storage", "fails", "not a database", func(t *testing.T) {
			write(t, s.database(), []byte(strings.Repeat("not a database. ", 1000)), 0o600)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for path, content := range good {
				write(t, path, content, 0o600)
			}
			c.spoil(t)
			f := s.doctor(t)
			if got := f[c.finding]; got.Severity != c.severity || !strings.Contains(got.Value+got.Advice, c.say) {
				t.Errorf("found %+v in %+v", got, f)
			}
			for _, told := range f {
				if strings.Contains(told.Value+told.Advice, other) {
					t.Errorf("it tells a key: %+v", told)
				}
			}
		})
	}
}

// TestDoctorReadsClocks: a change from the future tells that a clock is wrong,
// unless it is by a few seconds, which do no harm.
func TestDoctorReadsClocks(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	s.stop()
	db, err := sql.Open("sqlite", s.database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	for ahead, severity := range map[time.Duration]string{3 * time.Second: "ok", time.Hour: "warning"} {
		at := time.Now().Add(ahead)
		run(`INSERT INTO changes (service, kind, ref, subject, at, ms) VALUES (1, 2, 7, '', ?, 0)`, at.Unix())
		if f := s.doctor(t)["clock"]; f.Severity != severity {
			t.Errorf("%s ahead: %+v", ahead, f)
		}
		run(`DELETE FROM changes WHERE at = ?`, at.Unix())
	}
}
