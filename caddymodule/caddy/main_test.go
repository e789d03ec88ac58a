// The tests of this folder run the real binary, as operators, browsers, client
// libraries and attackers meet it. Those that use the ports of
// Caddyfile.example and of the examples run one after the other, and nowhere
// else: go test runs packages at the same time.
package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var (
	binary string // the Caddy with Gatehouse in it, built once
	root   string // of this repository
)

func TestMain(m *testing.M) {
	code, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func build(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "gatehouse-binary")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	if root, err = filepath.Abs("../.."); err != nil {
		return 0, err
	}
	binary = filepath.Join(folder, "caddy")
	args := []string{"build", "-o", binary}
	if raceDetector {
		args = append(args, "-race")
	}
	if output, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, output)
	}
	return m.Run(), nil
}

// parts are what a machine may lack.
var parts = map[string]func() (string, error){
	"chromium": func() (string, error) { return exec.LookPath("chromium") },
	"node": func() (string, error) {
		for _, library := range []string{"openid-client", "oauth4webapi", "@modelcontextprotocol/sdk", "@modelcontextprotocol/conformance"} {
			if _, err := os.Stat(filepath.Join("testdata", "node_modules", library)); err != nil {
				return "", fmt.Errorf("run npm ci in caddymodule/caddy/testdata: %w", err)
			}
		}
		return exec.LookPath("node")
	},
	"root": func() (string, error) {
		if os.Getuid() != 0 {
			return "", fmt.Errorf("the tests run as user %d", os.Getuid())
		}
		return "", nil
	},
	"systemd-analyze": func() (string, error) { return exec.LookPath("systemd-analyze") },
}

// requirePart skips a test that needs what this machine lacks. Where
// GATEHOUSE_REQUIRE is 1, as in CI, nothing may be lacking.
func requirePart(t *testing.T, name string) string {
	t.Helper()
	path, err := parts[name]()
	switch {
	case err == nil:
		return path
	case os.Getenv("GATEHOUSE_REQUIRE") == "1":
		t.Fatalf("this test needs %s: %v", name, err)
	default:
		t.Skipf("this test needs %s: %v", name, err)
	}
	return ""
}
