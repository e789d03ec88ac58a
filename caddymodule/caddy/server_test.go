package main_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// patience is how long a test waits for what should come soon.
const patience = time.Minute

// promised is within which a revocation holds everywhere, and what is like one: a
// second. Where everything takes ten times as long, a pause of the machine's is no
// broken promise; what is remembered without being told is so for a minute.
var promised = time.Duration(size(1, 10)) * time.Second

// server is a running Caddy with Gatehouse in it.
type server struct {
	t       *testing.T
	binary  string // the Caddy that runs
	cmd     *exec.Cmd
	env     []string
	folder  string // holds its data and its configuration
	config  string // the Caddyfile
	output  *output
	exited  chan struct{}
	stopped bool

	as, api, up, app, admin string // addresses
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// startExample runs Caddyfile.example, on its own ports.
func startExample(t *testing.T) *server {
	t.Helper()
	s := prepare(t, filepath.Join(root, "Caddyfile.example"))
	reads(t, s.config, filepath.Join(root, "examples", "browser-app"))
	s.as, s.api, s.app, s.up = "http://localhost:8080", "http://localhost:8081", "http://localhost:8082", "http://localhost:8083"
	s.admin = "http://localhost:2019"
	s.start()
	return s
}

// reads opens files that a child process will read, since go test believes an
// old result as long as the files that the test itself has opened are the same.
func reads(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		err := filepath.WalkDir(path, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				_, err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// prepare makes a server's folder and environment, and does not start it.
func prepare(t *testing.T, config string) *server {
	t.Helper()
	folder := t.TempDir()
	s := &server{t: t, binary: binary, folder: folder, config: config}
	s.env = append(os.Environ(), "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder)
	t.Cleanup(func() { s.stop() })
	return s
}

// prepareOwn makes a server with a configuration of its own on free ports,
// which the Caddyfile has as {$AS}, {$API}, {$UP}, {$APP} and {$ADMIN}.
func prepareOwn(t *testing.T, caddyfile string) *server {
	t.Helper()
	s := prepare(t, "")
	s.config = filepath.Join(s.folder, "Caddyfile")
	for _, a := range []struct {
		name    string
		address *string
	}{{"AS", &s.as}, {"API", &s.api}, {"UP", &s.up}, {"APP", &s.app}, {"ADMIN", &s.admin}} {
		port := freePort(t)
		*a.address = "http://localhost:" + port
		s.env = append(s.env, a.name+"="+port)
	}
	s.env = append(s.env, "DATA="+s.folder)
	s.configure(caddyfile)
	return s
}

func startOwn(t *testing.T, caddyfile string) *server {
	t.Helper()
	s := prepareOwn(t, caddyfile)
	s.start()
	return s
}

func (s *server) configure(caddyfile string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(caddyfile), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

var ports = struct {
	sync.Mutex
	given map[string]bool
}{given: map[string]bool{}}

// freePort returns a port that nobody listens on and that no other test got.
func freePort(t *testing.T) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for {
		port := strconv.Itoa(pgtest.FreePort(t))
		if !ports.given[port] {
			ports.given[port] = true
			return port
		}
	}
}

// start starts the server and waits until it serves.
func (s *server) start() {
	s.t.Helper()
	s.launch(exec.Command(s.binary, "run", "--config", s.config))
	wait(s.t, "the server to start", func() error {
		if strings.Contains(s.output.String(), "serving initial configuration") {
			return nil
		}
		select {
		case <-s.exited:
			s.t.Fatalf("the server ended:\n%s", s.output)
		default:
		}
		return fmt.Errorf("so far:\n%s", s.output)
	})
}

// launch starts a command as this server's process, in a group of its own.
func (s *server) launch(cmd *exec.Cmd) {
	s.t.Helper()
	s.output, s.exited, s.stopped = new(output), make(chan struct{}), false
	cmd.Dir, cmd.Env = root, s.env
	cmd.Stdout, cmd.Stderr = s.output, s.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = cmd
	go func() {
		_ = cmd.Wait()
		close(s.exited)
	}()
}

// stop ends the server as an operator does, and looks at how it went.
func (s *server) stop() {
	s.t.Helper()
	if s.cmd == nil || s.stopped {
		return
	}
	s.stopped = true
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // for which a server waits
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(patience):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.exited
		s.t.Error("the server did not stop")
	}
	s.t.Helper()
	log := s.output.String()
	if strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
		s.t.Errorf("the server panicked or raced:\n%s", log)
	}
	if s.t.Failed() {
		s.t.Logf("the server's last words:\n%s", tail(log, 4000))
	}
}

// kill ends the server as a power cut does.
func (s *server) kill() {
	s.t.Helper()
	s.stopped = true
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
}

func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "…" + text[len(text)-n:]
}

// database is where the server keeps everything.
func (s *server) database() string {
	return filepath.Join(s.folder, "caddy", "gatehouse", "gatehouse.db")
}

// command runs caddy with these arguments beside the server, and returns what
// it wrote to standard output and standard error.
func (s *server) command(stdin string, args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = root, s.env, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// gatehouse runs caddy gatehouse with these arguments, which must succeed.
func (s *server) gatehouse(stdin string, args ...string) string {
	s.t.Helper()
	out, errs, err := s.command(stdin, append([]string{"gatehouse", "--config", s.config}, args...)...)
	if err != nil {
		s.t.Fatalf("caddy gatehouse %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	if slices.Contains(args, "--reload") {
		s.settled()
	}
	return out
}

// wait polls until what is awaited has come, and fails when it does not.
func wait(t *testing.T, what string, done func() error) {
	t.Helper()
	within(t, patience, what, done)
}

// within is wait with a time of its own.
func within(t *testing.T, limit time.Duration, what string, done func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting %s for %s: %v", limit, what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// caddyfile is the configuration of most servers here, with words replaced:
// name, replacement, …. The names stand in it as comments.
func caddyfile(t *testing.T, replacements ...string) string {
	t.Helper()
	text := ownCaddyfile
	for i := 0; i+1 < len(replacements); i += 2 {
		pattern := regexp.MustCompile(`(?m)^[\t]*# ` + regexp.QuoteMeta(replacements[i]) + `$`)
		if !pattern.MatchString(text) {
			t.Fatalf("the Caddyfile has no line %q", replacements[i])
		}
		text = pattern.ReplaceAllLiteralString(text, replacements[i+1])
	}
	return text
}

const (
	demo, demoSecret = "demo-service", "demo-service-secret"
	web, webSecret   = "web", "web-client-secret"
	alice, wonder    = "alice", "wonderland"
)

const ownCaddyfile = `{
	default_bind 127.0.0.1
	admin localhost:{$ADMIN}
	# global
	gatehouse {
		# gatehouse
		service {
			issuer http://localhost:{$AS}
			supported_scopes openid profile email offline_access orders:read orders:write admin
			# service
			client demo-service {
				client_secret demo-service-secret
				grant_types client_credentials
			}
			client web {
				client_secret web-client-secret
				client_name "Web"
				redirect_uris http://localhost:{$APP}/callback
			}
			client native {
				redirect_uris http://127.0.0.1/callback
			}
			# clients
			account alice {
				password_hash $argon2id$v=19$m=19456,t=2,p=1$YXkal6pvp5uvMZRQbEzY1A$bIhPaV/wQ3d+oOUqCC2uSzz2AbFN0RD+6s5uT2T8bJc
				email alice@example.com
				claim name "Alice Liddell"
				# account
			}
		}
	}
}
http://localhost:{$AS}, http://127.0.0.1:{$AS} {
	# server site
	gatehouse_server
}
http://localhost:{$API} {
	# api site
	gatehouse_bearer {
		scopes orders:read
		forward sub X-User
		forward client_id X-Client
	}
	reverse_proxy 127.0.0.1:{$UP}
}
# sites
http://:{$UP} {
	# upstream site
	respond "user={header.X-User} client={header.X-Client}"
}
`
