// Package pgtest runs PostgreSQL servers for tests: real ones, from the
// machine's own packages, on loopback, with data that goes with the test.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL server that a test has for itself.
type Server struct {
	Port int
	// Dir is the data folder.
	Dir string

	bin string
	log string

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
}

// Start starts an empty server with settings such as "max_connections=20". It
// skips the test when PostgreSQL is not installed, and fails it instead when
// GATEHOUSE_REQUIRE is set. The server ends with the test.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := Prepare(t)
	s.run(t, "initdb", "--pgdata="+s.Dir, "--username=gatehouse", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	s.Configure(t, settings...)
	s.Run(t)
	return s
}

// Prepare makes a place for a server's data and finds the programs.
func Prepare(t testing.TB) *Server {
	t.Helper()
	bin, err := programs()
	if err != nil {
		if os.Getenv("GATEHOUSE_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	root, err := os.MkdirTemp("", "gatehouse-pg-") // short: a socket's path has a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	s := &Server{Port: FreePort(t), Dir: filepath.Join(root, "data"), bin: bin, log: filepath.Join(root, "log")}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if account := servant(); account != nil { // the server refuses to run as root
		for _, dir := range []string{root, s.Dir} {
			if err := os.Chown(dir, int(account.Uid), int(account.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// Configure adds settings, which hold from the next start.
func (s *Server) Configure(t testing.TB, settings ...string) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(s.Dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range append([]string{"shared_buffers=64MB", "max_wal_size=1GB"}, settings...) {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Fprintf(file, "%s = '%s'\n", strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// Run starts the server on the data that is there, and waits until it answers.
// Processes of a server that was killed may hold its memory for a moment, which
// keeps a new one from starting.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for s.start(t); ; time.Sleep(20 * time.Millisecond) {
		err := s.ping()
		if err == nil {
			return
		}
		select {
		case <-s.exited:
			s.start(t)
		default:
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(s.log)
			t.Fatalf("PostgreSQL does not answer: %v\n%s", err, log)
		}
	}
}

// start starts the process.
func (s *Server) start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := s.command("postgres", "-D", s.Dir, "-p", strconv.Itoa(s.Port), "-h", "127.0.0.1", "-k", "")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // however it ends
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	t.Cleanup(func() { end(cmd, exited, syscall.SIGQUIT) })
}

// end ends a process that may have ended.
func end(cmd *exec.Cmd, exited chan struct{}, signal os.Signal) {
	select {
	case <-exited:
	default:
		_ = cmd.Process.Signal(signal)
		<-exited
	}
}

func (s *Server) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.Address("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Address is the connection string of a database on the server. "postgres" is
// there from the start.
func (s *Server) Address(database string) string {
	return fmt.Sprintf("postgres://gatehouse@127.0.0.1:%d/%s?sslmode=disable", s.Port, database)
}

// Exec runs statements in a database.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.Address(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// Stop ends the server as an operator would (fast shutdown).
func (s *Server) Stop(testing.TB) { end(s.cmd, s.exited, syscall.SIGINT) }

// Kill ends the server and every process of it at once, as a power cut would
// for all that it had not written. The data can be run again.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	// The processes are in sessions of their own, out of reach of a signal to a
	// group. While it is stopped, the server starts no others.
	_ = s.cmd.Process.Signal(syscall.SIGSTOP)
	children := s.children()
	for list := s.children(); len(list) != len(children); list = s.children() {
		children = list
	}
	_ = s.cmd.Process.Kill()
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.exited
}

// children are the ids of the server's processes, where the system tells.
func (s *Server) children() (pids []int) {
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.PID()))
	for _, field := range strings.Fields(string(list)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// PID is the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Replica makes a server that follows this one, and starts it. settings are
// the replica's. The primary needs no more than its defaults.
func (s *Server) Replica(t testing.TB, settings ...string) *Server {
	t.Helper()
	r := Prepare(t)
	r.run(t, "pg_basebackup", "--pgdata="+r.Dir, "--host=127.0.0.1", "--port="+strconv.Itoa(s.Port), "--username=gatehouse",
		"--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	r.Configure(t, settings...)
	r.Run(t)
	return r
}

// Promote makes a replica the primary.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.run(t, "pg_ctl", "promote", "--wait", "--pgdata="+s.Dir)
}

// run runs one of PostgreSQL's programs to its end.
func (s *Server) run(t testing.TB, program string, args ...string) {
	t.Helper()
	if out, err := s.command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = filepath.Dir(s.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: servant()}
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	return cmd
}

// servant is whom the server runs as when the test runs as root.
func servant() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if account, err := user.Lookup(name); err == nil {
			uid, _ := strconv.Atoi(account.Uid)
			gid, _ := strconv.Atoi(account.Gid)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return nil
}

// programs finds the folder of PostgreSQL's programs: in PATH, or where Debian
// puts them, the newest first.
func programs() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed")
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

func version(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return n
}

// FreePort returns a port of the loopback that nobody listens on. The server's end
// of a connection to it was closed first and waits (TIME-WAIT, RFC 9293 §3.3.2):
// for a minute the system gives the port to whoever asks for it, as servers do
// (SO_REUSEADDR), and to nobody who asks for any, such as a test beside this one.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	if _, err := io.Copy(io.Discard, client); err != nil { // until that has arrived
		t.Fatal(err)
	}
	return l.Addr().(*net.TCPAddr).Port
}
