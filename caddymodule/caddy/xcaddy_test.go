package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const xcaddyMain = `package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
)

func main() { caddycmd.Main() }
`

// TestXcaddy does what xcaddy does: it builds a Caddy outside of this
// repository that imports the module. It needs no network: versions and sums
// are those of this repository, whose modules are in the cache already. The
// exclude lines go with them, since only the main module's are obeyed.
func TestXcaddy(t *testing.T) {
	t.Parallel() // it uses no ports
	folder := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false", "CGO_ENABLED=0", "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder)
		output, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
		}
		return string(output)
	}
	const module = "github.com/gatehouse-auth/gatehouse"
	goMod := read("go.mod")
	write("main.go", xcaddyMain)
	write("go.sum", read("go.sum"))
	write("go.mod", "module caddy\n\n"+regexp.MustCompile(`(?m)^go .*$`).FindString(goMod)+"\n\n"+
		regexp.MustCompile(`(?s)exclude \(.*?\n\)`).FindString(goMod)+"\n")
	run("go", "mod", "edit", "-require="+module+"@v0.0.0", "-replace="+module+"="+root)
	run("go", "build", "-o", "caddy", "-ldflags=-w -s", ".")

	caddy := filepath.Join(folder, "caddy")
	modules := run(caddy, "list-modules")
	for _, id := range []string{"gatehouse", "http.handlers.gatehouse_server", "http.handlers.gatehouse_bearer", "http.handlers.gatehouse_login",
		"http.matchers.gatehouse_token", "gatehouse.introspectors.engine", "gatehouse.introspectors.jwt", "gatehouse.introspectors.remote",
		"gatehouse.storage.sqlite", "admin.api.gatehouse"} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(id) + `$`).MatchString(modules) {
			t.Errorf("list-modules does not show %s", id)
		}
	}
}

// TestExamplesAreValid: every Caddyfile here adapts without a warning and
// validates, and validating leaves no file behind.
func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "examples", "*", "*Caddyfile"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range append(files, filepath.Join(root, "Caddyfile.example")) {
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			reads(t, file)
			s := prepare(t, file)
			if name == filepath.Join("examples", "rate-limit", "Caddyfile") {
				s.binary = buildExample(t, "rate-limit") // it has another module in it
			}
			s.env = append(s.env, "API_CLIENT_SECRET=a-secret-for-the-test", "DATABASE_URL=postgres://localhost/none", "GATEHOUSE_MASTER_KEY="+nodesKey)
			out, errs, err := s.command("", "adapt", "--config", file, "--validate")
			if err != nil || strings.Contains(errs, `"level":"warn"`) || !strings.HasPrefix(out, "{") {
				t.Errorf("adapt: %v %s", err, errs)
			}
			if _, errs, err := s.command("", "validate", "--config", file); err != nil {
				t.Errorf("validate: %v %s", err, errs)
			}
			if out, _, err := s.command("", "fmt", file); err != nil {
				t.Errorf("caddy fmt would change it: %v\n%s", err, out)
			}
			err = filepath.WalkDir(s.folder, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() && d.Name() == "pki" {
					return filepath.SkipDir // of tls internal: Caddy's own authority
				}
				if err == nil && !d.IsDir() {
					t.Errorf("validate leaves %s", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSystemdUnit: the unit is one that systemd takes.
func TestSystemdUnit(t *testing.T) {
	analyze := requirePart(t, "systemd-analyze")
	unit, err := os.ReadFile(filepath.Join(root, "examples", "systemd", "gatehouse.service"))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "gatehouse.service")
	text := strings.ReplaceAll(string(unit), "/usr/local/bin/caddy", binary)
	if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(analyze, "verify", "--man=no", copied).CombinedOutput()
	if err != nil || strings.Contains(string(output), "gatehouse.service") {
		t.Errorf("%v: %s", err, output)
	}
}
