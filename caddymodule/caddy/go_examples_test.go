package main_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build builds a program of an example.
func buildExample(t *testing.T, name string) string {
	t.Helper()
	reads(t, filepath.Join(root, "examples", name))
	program := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", program, "./examples/"+name)
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}

// goServer: a plain net/http server refuses and lets through as the gateway does.
func goServer(t *testing.T, s *server) {
	program := prepare(t, "")
	program.launch(exec.Command(buildExample(t, "go-server")))
	const orders = "http://localhost:8181/orders"
	wait(t, "the Go server to listen", func() error { _, err := try(plain, "GET", orders, ""); return err })
	if got := get(t, orders).want(t, 401).header.Get("WWW-Authenticate"); got != `Bearer scope="orders:read"` {
		t.Errorf("the challenge is %s", got)
	}
	good := grant(t, "http://localhost:8180/token", "orders-api", "orders-api-secret", "orders:read")
	other := grant(t, "http://localhost:8180/token", "orders-api", "orders-api-secret", "orders:write")
	for range 3 {
		if got := send(t, "GET", orders, "", "Authorization", "Bearer "+good).want(t, 200); got.body != "Orders for orders-api.\n" {
			t.Errorf("the server says %q", got.body)
		}
	}
	for token, want := range map[string]int{other: 403, good + "x": 401} {
		if got := status(t, "GET", orders, token); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	s.stop() // promise 6: what is known goes on, what is not is 503
	if got := status(t, "GET", orders, good); got != 200 {
		t.Errorf("a token that is known, with the authorization server gone: %d", got)
	}
	if got := send(t, "GET", orders, "", "Authorization", "Bearer ga_unknown").want(t, 503).header.Get("Retry-After"); got == "" {
		t.Error("no Retry-After")
	}
}

// TestRateLimit: a rate limiter counts by who the gateway says it is, whatever
// the token.
func TestRateLimit(t *testing.T) {
	s := prepare(t, "")
	s.launch(exec.Command(buildExample(t, "rate-limit"), "run", "--config", filepath.Join(root, "examples", "rate-limit", "Caddyfile")))
	const api = "http://localhost:8171/"
	wait(t, "the server to start", func() error { _, err := try(plain, "GET", api, ""); return err })
	token := func(client string) string {
		return grant(t, "http://localhost:8170/token", client, client+"-secret", "orders:read")
	}
	for call := range 5 {
		if got := status(t, "GET", api, token("shop")); got != 200 {
			t.Errorf("call %d: %d", call+1, got)
		}
	}
	limited := send(t, "GET", api, "", "Authorization", "Bearer "+token("shop")).want(t, 429)
	if limited.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := send(t, "GET", api, "", "Authorization", "Bearer "+token("batch")).want(t, 200); !strings.Contains(got.body, "batch") {
		t.Errorf("another client: %s", got.body)
	}
	if got := status(t, "GET", api, ""); got != 401 {
		t.Errorf("nobody: %d", got)
	}
}
