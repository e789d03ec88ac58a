package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresSettings are all that differs from PostgreSQL's defaults: memory as its
// manual recommends (§20.4.1), room for the WAL of a measurement, and
// connections. Commits wait for the disk.
func postgresSettings() []string {
	buffers := 1 << 20
	if memory, err := strconv.Atoi(strings.TrimSuffix(fieldOf("/proc/meminfo", "MemTotal"), " kB")); err == nil {
		buffers = memory / 4
	}
	return []string{fmt.Sprintf("shared_buffers=%dkB", buffers), "max_wal_size=4GB", "max_connections=200"}
}

// postgresServer is a PostgreSQL with a data folder of its own, on loopback.
type postgresServer struct {
	*child
	port   port
	folder string
}

// startPostgres makes a database cluster in a temporary folder and starts a
// server on it.
func startPostgres(ctx context.Context) (*postgresServer, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "gatehouse-benchmark-pg-*")
	if err != nil {
		return nil, err
	}
	p := &postgresServer{folder: folder}
	if err := p.start(ctx, bin); err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	return p, nil
}

func (p *postgresServer) start(ctx context.Context, bin string) error {
	as := postgresAccount()
	if as != nil {
		if err := os.Chown(p.folder, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	data := filepath.Join(p.folder, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=gatehouse", "--auth=trust",
		"--encoding=UTF8", "--no-locale", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = p.folder, &syscall.SysProcAttr{Credential: as}
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	p.port = ports[0]
	args := []string{"-D", data, "-p", strconv.Itoa(int(p.port)), "-h", "127.0.0.1", "-k", ""}
	for _, setting := range postgresSettings() {
		args = append(args, "-c", setting)
	}
	if p.child, err = startChildAs(ctx, as, p.folder, []string{"LC_ALL=C", "TZ=UTC"}, filepath.Join(bin, "postgres"), args...); err != nil {
		return err
	}
	return p.await(func() error {
		conn, err := pgx.Connect(ctx, p.address("postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// stop ends the server, once its clients have left, and removes its data.
func (p *postgresServer) stop() {
	p.child.stop()
	_ = os.RemoveAll(p.folder)
}

// address is the connection string of a database, whose tables are Gatehouse's.
func (p *postgresServer) address(database string) string {
	return fmt.Sprintf("postgres://gatehouse@%s/%s?sslmode=disable&search_path=gatehouse", p.port.address(), database)
}

// create makes a database and returns its connection string.
func (p *postgresServer) create(ctx context.Context, database string) (string, error) {
	conn, err := pgx.Connect(ctx, p.address("postgres"))
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{database}.Sanitize())
	return p.address(database), errors.Join(err, conn.Close(ctx))
}

// drop removes a database whose clients have left.
func (p *postgresServer) drop(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, p.address("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `DROP DATABASE `+pgx.Identifier{database}.Sanitize()+` WITH (FORCE)`)
	return errors.Join(err, conn.Close(ctx))
}

// cpu is the processor time of all the server's processes, those that have ended
// among them.
func (p *postgresServer) cpu() time.Duration { return treeCPU(p.cmd.Process.Pid) }

// postgresAccount is whom the server runs as when this program runs as root:
// it refuses to be root.
func postgresAccount() *syscall.Credential {
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

// postgresPrograms finds the folder of PostgreSQL's programs: in PATH, or where
// Debian puts them, the newest.
func postgresPrograms() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", notInstalled("not installed: there is no PostgreSQL")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}
