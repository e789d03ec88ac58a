package faults

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SQLite's file is locked by another process.
func TestLockedFile(t *testing.T) {
	t.Parallel()
	t.Run("for a moment, again and again", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "gatehouse.db")
		r := newRun(t, "faulty none "+path)
		for i := range few(t) {
			r.under(50*time.Millisecond, func() { lock(t, path, 2*busyTimeout) })
			r.clean(fmt.Sprintf("after lock %d", i+1))
		}
		if r.turnedAway() == 0 {
			t.Error("no lock was in the way")
		}
		r.end()
	})
	t.Run("for longer than a write waits", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "gatehouse.db")
		r := newRun(t, "sqlite "+path)
		r.under(50*time.Millisecond, func() { lock(t, path, 9*time.Second) }) // and for a pause of the machine's
		if r.turnedAway() == 0 {
			t.Error("the lock was not in the way")
		}
		r.clean("after the lock")
	})
}

// SQLite's file is copied while nodes write to it. A node on the copy
// has what was acknowledged before: not a token less, not one that was revoked.
func TestCopiedFile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		copy func(r *run, from, to string)
	}{
		{"by a snapshot of the file system", func(r *run, from, to string) {
			n := r.nodes[0]
			n.signal(syscall.SIGSTOP)
			defer n.signal(syscall.SIGCONT)
			awaitStopped(r.t, n.cmd.Process.Pid)
			for _, suffix := range []string{"", "-wal"} {
				copyFile(r.t, from+suffix, to+suffix)
			}
		}},
		{"by SQLite", func(r *run, from, to string) {
			db, err := sql.Open("sqlite", "file:"+from+"?_pragma=busy_timeout(10000)")
			if err != nil {
				r.t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.ExecContext(r.t.Context(), "VACUUM INTO ?", to); err != nil {
				r.t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gatehouse.db")
			r := newRun(t, "sqlite "+path)
			for i := range few(t) {
				to := filepath.Join(t.TempDir(), "copy.db")
				var from, until time.Duration
				r.under(150*time.Millisecond, func() {
					from = r.history.Now()
					test.copy(r, path, to)
					until = r.history.Now()
				})
				judgeCopy(r, to, from, until)
				r.clean(fmt.Sprintf("after copy %d", i+1))
			}
		})
	}
}

// judgeCopy asks a node on the copy what the tokens are worth that its original
// had given before, and puts it under load.
func judgeCopy(r *run, path string, from, to time.Duration) {
	r.t.Helper()
	ops, err := r.history.Ops()
	if err != nil {
		r.t.Fatal(err)
	}
	before := Prefix(ops, from, to)
	given := map[Ref]bool{}
	for _, o := range before {
		given[o.Access], given[o.Refresh] = true, true
	}
	n := newNode(r.t, 2, r.nodes[0].base, "sqlite "+path)
	n.start()
	defer n.kill()
	on := &run{
		t: r.t, nodes: []*node{n}, http: r.http, user: r.user, whole: true, random: r.random,
		known: map[Ref]bool{}, history: NewHistory(mostOps, r.history.now),
	}
	for _, token := range r.held {
		if given[RefOf(token)] {
			on.hold(token)
		}
	}
	on.look(extent{}, extent{})
	after, err := on.history.Ops()
	if err != nil {
		r.t.Fatal(err)
	}
	if len(on.held) == 0 {
		r.t.Fatal("nothing was given before the copy")
	}
	on.report("on the copy", Check(append(before, after...), 0, Gateways{}))
	on.before = extent{tokens: len(on.held), ops: len(after)}
	on.last = on.before
	on.under(20*time.Millisecond, func() { time.Sleep(50 * time.Millisecond) })
	on.clean("on the copy")
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// SQLite's file is damaged. The node says so when it starts, or answers
// what it cannot read or write with 503; it takes no damage for an answer, and
// what it acknowledges is there.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	refused, unavailable, acknowledged := 0, 0, 0
	for i := range few(t) {
		path := filepath.Join(t.TempDir(), "gatehouse.db")
		r := newRun(t, "sqlite "+path)
		r.under(300*time.Millisecond, func() { time.Sleep(200 * time.Millisecond) })
		n := r.nodes[0]
		n.kill()
		r.http.CloseIdleConnections()
		r.history.Settle(n.number)
		damage(r, path, i)
		if err := n.tryStart(); err != nil {
			if words := n.words(); !strings.Contains(words, "damaged") && !strings.Contains(words, "not a database") {
				t.Fatalf("the node does not say what is wrong: %v\n%s", err, n.lastWords())
			}
			refused++
			continue
		}
		before := r.turnedAway()
		r.lookOnce()
		acknowledged += r.writeOnce()
		r.lookOnce()
		ops, err := r.history.Ops()
		if err != nil {
			t.Fatal(err)
		}
		r.report(fmt.Sprintf("after damage %d", i+1), Check(ops, 0, r.gateways()))
		unavailable += r.turnedAway() - before
		n.kill()
	}
	if refused+unavailable == 0 {
		t.Error("nothing was damaged")
	}
	if acknowledged == 0 && few(t) >= 10 {
		t.Error("nothing could be written after any damage")
	}
	t.Logf("%d starts were refused, %d answers were 503; %d writes were acknowledged", refused, unavailable, acknowledged)
}

// lookOnce asks once what each token is worth.
func (r *run) lookOnce() {
	r.t.Helper()
	for _, token := range r.held {
		if _, err := r.introspect(r.nodes[0], token); err != nil {
			r.t.Fatal(err)
		}
	}
}

// writeOnce does a few times, and insists on nothing, what changes the database.
// It counts what was acknowledged.
func (r *run) writeOnce() (acknowledged int) {
	r.t.Helper()
	n := r.nodes[0]
	note := func(o Op, err error) {
		if err != nil {
			r.t.Fatal(err)
		}
		if o.Outcome == Acknowledged {
			acknowledged++
		}
	}
	for range 10 {
		o, own, err := r.issue(n)
		if note(o, err); own.access != "" {
			note(r.revoke(n, service, own.access))
		}
		o, code, err := r.authorize(n, r.user, authorizeForm(app.id, lasting))
		if note(o, err); code == "" {
			continue
		}
		o, have, err := r.redeem(n, app, code)
		if note(o, err); have.refresh != "" {
			o, _, err = r.refresh(n, app, have.refresh)
			note(o, err)
		}
	}
	return acknowledged
}

// damage brings the whole of a database into its file, and overwrites some of
// its pages: every eighth, or a single one among those that were made last, from
// a place that is another one each time.
func damage(r *run, path string, round int) {
	r.t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := db.ExecContext(r.t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		r.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		r.t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	const page = 4096
	from, step := (1+round/2)*page, 8*page
	if round%2 == 1 {
		from, step = len(content)-(2+r.random.IntN(8))*page, len(content)
	}
	for at := from; at+page <= len(content); at += step {
		copy(content[at:at+page], bytes.Repeat([]byte{0xff}, page))
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		r.t.Fatal(err)
	}
}
