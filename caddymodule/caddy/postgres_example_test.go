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

// TestPostgreSQLExample: the page of examples/postgres holds word for word. The
// binary runs instead of go run, which would link it once more.
func TestPostgreSQLExample(t *testing.T) {
	folder := filepath.Join(root, "examples", "postgres")
	reads(t, folder)
	text, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	first := prepare(t, "")
	first.env = append(first.env, "DATABASE_URL="+pgtest.Start(t).Address("postgres"), "GATEHOUSE_MASTER_KEY="+nodesKey)
	bash := newShell(t, first.env)
	var nodes []*server
	for _, step := range consoleBlocks(string(text)) {
		command := strings.ReplaceAll(step.command, "go run ./caddymodule/caddy", binary)
		if strings.HasSuffix(command, " run --config examples/postgres/Caddyfile") {
			node := prepare(t, "")
			node.env = append(node.env, first.env...)
			before, program, _ := strings.Cut(command, binary)
			node.launch(exec.Command("bash", "-c", before+"exec "+binary+program))
			node.serves()
			nodes = append(nodes, node)
			continue
		}
		output, status, err := bash.run(command)
		if err != nil || status != 0 || !step.matches(output) {
			t.Errorf("README.md:%d: %s: %v, status %d, prints\n%s\nand not\n%s", step.line, step.command, err, status, output, strings.Join(step.output, "\n"))
		}
	}
	if len(nodes) != 2 {
		t.Fatalf("%d nodes", len(nodes))
	}
	balanced(t, nodes[0])
}

// balanced holds that a node that has ended costs none of the requests that the
// load balancer of the example takes, whatever their method.
func balanced(t *testing.T, stopping *server) {
	balancer := prepare(t, "")
	balancer.env = append(balancer.env, "PORT=8224", "NODES=127.0.0.1:8220 127.0.0.1:8222")
	balancer.launch(exec.Command(binary, "run", "--config", "examples/postgres/balancer.Caddyfile"))
	balancer.serves()
	ask := func() {
		t.Helper()
		for range 10 {
			get(t, "http://localhost:8224/.well-known/openid-configuration").want(t, http.StatusOK)
			send(t, http.MethodPost, "http://localhost:8224/token", form("grant_type", "client_credentials"),
				"Authorization", basic("demo-service", "demo-service-secret")).want(t, http.StatusOK)
		}
	}
	ask()
	stopping.stop()
	ask()
}

// serves waits until a server that was launched serves.
func (s *server) serves() {
	s.t.Helper()
	wait(s.t, "the server to start", func() error {
		select {
		case <-s.exited:
			s.t.Fatalf("the server ended:\n%s", s.output)
		default:
		}
		if log := s.output.String(); !strings.Contains(log, "serving initial configuration") {
			return fmt.Errorf("so far:\n%s", log)
		}
		return nil
	})
}
