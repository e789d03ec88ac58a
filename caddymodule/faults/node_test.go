package faults

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// patience is how long a test waits for what should come soon.
const patience = time.Minute

// node is one process that serves the issuer.
type node struct {
	t      *testing.T
	number int    // in the history
	base   string // where clients reach it
	folder string

	cmd    *exec.Cmd
	stdin  *os.File // the child ends when it closes
	log    *os.File
	exited chan struct{}
	err    error // once it has exited
}

// configuration is every node's configuration. All of them are the same issuer.
const configuration = `{
	admin off
	persist_config off
	default_bind 127.0.0.1
	grace_period 1s
	gatehouse {
		storage %s
		master_key 5b2e0d7c9f4a41d6b8837a6f0c1e92d45b2e0d7c9f4a41d6b8837a6f0c1e92d4
		service {
			issuer %s
			supported_scopes openid offline_access orders:read
			dynamic_registration_supported on
			client service {
				client_secret the-secret-of-all
				grant_types client_credentials
			}
			client app {
				redirect_uris http://127.0.0.1/callback
			}
			client web {
				client_secret the-secret-of-all
				redirect_uris http://127.0.0.1/callback
			}
			# The passwords are wonderland. The hash is a cheap one: nobody waits for it.
			account alice {
				password_hash $argon2id$v=19$m=64,t=1,p=1$c2FsdCBvZiBhIHRlc3QhIQ$Z4FqvSeyBZCpZ3uHQzFeDoWD3fmXVsti2rGR2Gp4OGo
			}
			account bob {
				password_hash $argon2id$v=19$m=64,t=1,p=1$c2FsdCBvZiBhIHRlc3QhIQ$Z4FqvSeyBZCpZ3uHQzFeDoWD3fmXVsti2rGR2Gp4OGo
			}
		}
	}
}
%s {
	handle /api {
		gatehouse_bearer
		respond "{http.auth.user.client_id} {http.auth.user.sub}"
	}
	handle {
		gatehouse_server
	}
}
`

// newNode lays out a node, and does not start it. The issuer is the first
// node's address when it is empty.
func newNode(t *testing.T, number int, issuer, storage string) *node {
	t.Helper()
	n := &node{t: t, number: number, base: fmt.Sprintf("http://localhost:%d", pgtest.FreePort(t)), folder: t.TempDir()}
	if issuer == "" {
		issuer = n.base
	}
	text := fmt.Sprintf(configuration, storage, issuer, n.base)
	if err := os.WriteFile(filepath.Join(n.folder, "Caddyfile"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	return n
}

// start starts the node and waits until it serves.
func (n *node) start() {
	n.t.Helper()
	if err := n.tryStart(); err != nil {
		n.t.Fatalf("node %d: %v\n%s", n.number, err, n.lastWords())
	}
}

// tryStart is start, with the error of a node that ends instead.
func (n *node) tryStart() error {
	n.launch()
	deadline := time.Now().Add(patience)
	probe := http.Client{Timeout: requestTimeout}
	for {
		resp, err := probe.Get(n.base + "/jwks")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("it answers %s", resp.Status)
		}
		select {
		case <-n.exited:
			return fmt.Errorf("it ended: %w", n.err)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not serve: %w", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (n *node) launch() {
	n.t.Helper()
	log, err := os.Create(filepath.Join(n.folder, "log"))
	if err != nil {
		n.t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command(nodeBinary, "run", "--config", filepath.Join(n.folder, "Caddyfile"), "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), nodeEnv+"=1", "XDG_DATA_HOME="+n.folder, "XDG_CONFIG_HOME="+n.folder)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	read.Close()
	exited := make(chan struct{})
	n.cmd, n.stdin, n.log, n.exited = cmd, write, log, exited
	go func() {
		n.err = cmd.Wait()
		close(exited)
	}()
}

// kill ends the node as a power cut does, if it runs.
func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	<-n.exited
	n.stdin.Close()
	n.log.Close()
	n.cmd = nil
	if log := n.words(); strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
		n.t.Errorf("node %d panicked or raced:\n%s", n.number, n.lastWords())
	}
}

func (n *node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// awaitStopped waits until a process is stopped (T, as proc_pid_stat(5) has it).
func awaitStopped(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil && os.Getenv("GATEHOUSE_REQUIRE") != "" {
			t.Fatal(err)
		}
		if err != nil {
			t.Skip("this system does not tell how a process is: ", err)
		}
		if stat[bytes.LastIndexByte(stat, ')')+2] == 'T' {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d does not stop", pid)
		}
	}
}

// words are what the node has written since it was started.
func (n *node) words() string {
	text, _ := os.ReadFile(filepath.Join(n.folder, "log"))
	return string(text)
}

func (n *node) lastWords() string {
	text := n.words()
	return text[max(0, len(text)-3000):]
}
