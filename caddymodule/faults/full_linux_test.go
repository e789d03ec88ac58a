package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// smallDisk mounts a file system of so many MiB, which takes root.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		if os.Getenv("GATEHOUSE_REQUIRE") != "" {
			t.Fatal("cannot mount a tmpfs: ", err)
		}
		t.Skip("cannot mount a tmpfs: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// fill leaves so many bytes of a disk free, and returns the file that takes the rest.
func fill(t *testing.T, dir string, free int64) string {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "filler")
	if size := int64(fs.Bavail)*fs.Bsize - free; size > 0 {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// The disk is full, and there is room again.
func TestFullDiskUnderSQLite(t *testing.T) {
	dir := smallDisk(t, 128)
	r := newRun(t, "sqlite "+filepath.Join(dir, "gatehouse.db"))
	for i := range few(t) {
		before := r.turnedAway()
		filler := fill(t, dir, 256<<10)
		defer os.Remove(filler)
		r.under(1, func() {
			r.until("the disk to be full", func() bool { return r.turnedAway() > before+clients })
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		})
		r.clean(fmt.Sprintf("after full disk %d", i+1))
	}
	r.end()
	r.nodes[0].kill() // before its disk goes
}

// PostgreSQL's disk is full, and there is room again: the nodes go on by
// themselves. Only a server that has given up is started again, as an operator
// does; the last time it is killed while its disk is full.
func TestFullDiskUnderPostgres(t *testing.T) {
	dir := smallDisk(t, 300)
	t.TempDir() // where the nodes' folders will be: not there
	t.Setenv("TMPDIR", dir)
	server := pgtest.Start(t, "min_wal_size=32MB", "max_wal_size=64MB")
	line := onPostgres(server.Port)
	r := newRun(t, line, line)
	const rounds = 3
	revived := 0
	for i := range rounds {
		before := r.turnedAway()
		filler := fill(t, dir, 256<<10)
		r.under(1, r.away(0, func() {
			r.until("the disk to be full", func() bool { return r.turnedAway() > before+clients })
			if i == rounds-1 {
				server.Kill(t)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if r.revive(server) {
				revived++
			}
		}))
		r.clean(fmt.Sprintf("after full disk %d", i+1))
	}
	if revived == rounds {
		t.Error("the server was started again each time")
	}
	t.Logf("%d of %d times the server was started again", revived, rounds)
	r.end()
	server.Stop(t)
}

// revive waits until a server answers. It starts it again if it has ended, and
// says so.
func (r *run) revive(server *pgtest.Server) (started bool) {
	r.t.Helper()
	r.until("PostgreSQL to answer", func() bool {
		if syscall.Kill(server.PID(), 0) != nil {
			server.Run(r.t)
			started = true
		}
		conn, err := pgx.Connect(r.t.Context(), server.Address("postgres"))
		return err == nil && conn.Close(r.t.Context()) == nil
	})
	return started
}
