package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// onPostgres is the storage line of nodes on a server's port.
func onPostgres(port int) string {
	return fmt.Sprintf("postgres postgres://gatehouse@127.0.0.1:%d/postgres?sslmode=disable", port)
}

// twoNodes runs two nodes on a server of their own.
func twoNodes(t *testing.T, settings ...string) (*run, *pgtest.Server) {
	t.Helper()
	server := pgtest.Start(t, settings...)
	line := onPostgres(server.Port)
	return newRun(t, line, line), server
}

// Kill -9 of a node, beside which another one goes on, in the middle of
// each operation.
func TestKillNodeOnPostgres(t *testing.T) {
	r, _ := twoNodes(t)
	for i := range times(t) {
		n := r.nodes[r.random.IntN(2)]
		r.amid(n.number, func() { r.crash(n) })
		r.clean(fmt.Sprintf("after kill %d", i+1))
	}
	r.end()
	r.cut()
}

// Kill -9 of PostgreSQL in the middle of each operation.
func TestKillPostgres(t *testing.T) {
	r, server := twoNodes(t)
	r.killPostgres(server, times(t))
	r.end()
	r.cut()
}

// Every acknowledged token is good: also where the server is set to
// acknowledge a commit seconds before it is on disk.
func TestKillPostgresThatCommitsLate(t *testing.T) {
	r, server := twoNodes(t, "synchronous_commit=off", "wal_writer_delay=10s", "wal_writer_flush_after=1GB")
	r.killPostgres(server, 3)
}

func (r *run) killPostgres(server *pgtest.Server, times int) {
	r.t.Helper()
	for i := range times {
		r.amid(0, r.away(0, func() {
			server.Kill(r.t)
			server.Run(r.t)
		}))
		r.clean(fmt.Sprintf("after kill %d", i+1))
	}
}

// Connections to PostgreSQL are cut: at any moment, after any byte, and
// when a commit was made but its answer is not there yet.
func TestConnectionsCut(t *testing.T) {
	server := pgtest.Start(t)
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", server.Port))
	line := onPostgres(p.port())
	r := newRun(t, line, line)
	for i := range times(t) {
		before := p.cuts.Load()
		r.under(100*time.Millisecond, r.away(0, func() {
			switch i % 3 {
			case 0:
				p.cut()
			case 1:
				p.left.Store(1 + r.random.Int64N(20_000))
			default:
				p.hide.Store(true)
			}
			r.until("the cut", func() bool { return p.cuts.Load() > before })
		}))
		r.clean(fmt.Sprintf("after cut %d", i+1))
	}
	r.end()
}

// Statements are delayed: by less than they may take and by more, on
// their way, and by another's lock, which the server ends at its time limit.
func TestStatementsDelayed(t *testing.T) {
	t.Parallel() // it waits most of the time
	server := pgtest.Start(t)
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", server.Port))
	line := onPostgres(p.port())
	r := newRun(t, line, line)
	for _, test := range []struct{ delay, lasts time.Duration }{
		{50 * time.Millisecond, time.Second}, {time.Second, 3 * time.Second}, {time.Hour, 9 * time.Second},
	} {
		r.under(100*time.Millisecond, r.away(0, func() {
			p.delay.Store(int64(test.delay))
			time.Sleep(test.lasts)
			p.delay.Store(0)
		}))
		r.clean(fmt.Sprintf("after delays of %s", test.delay))
	}
	r.under(100*time.Millisecond, r.away(0, func() {
		server.Exec(t, "postgres", "BEGIN", "LOCK TABLE gatehouse.grants IN ACCESS EXCLUSIVE MODE", "SELECT pg_sleep(6)", "COMMIT")
	}))
	r.clean("after a lock")
	r.end()
}

// A node that stands still for longer than the database keeps its
// transactions, and then goes on.
func TestNodeStandsStill(t *testing.T) {
	t.Parallel() // it waits most of the time
	r, _ := twoNodes(t)
	for _, pause := range []time.Duration{time.Second, 7 * time.Second} {
		r.under(100*time.Millisecond, r.away(1, func() {
			r.nodes[0].signal(syscall.SIGSTOP)
			time.Sleep(pause)
			r.nodes[0].signal(syscall.SIGCONT)
		}))
		r.clean(fmt.Sprintf("after a pause of %s", pause))
	}
	r.end()
}

// A revocation that is asked for again since its first answer was lost holds at
// the gateway of the same process at once, as any other (DESIGN, the gateway's
// promise 5).
func TestRevokedAgain(t *testing.T) {
	server := pgtest.Start(t)
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", server.Port))
	r := newRun(t, onPostgres(p.port()))
	n := r.nodes[0]
	for range 10 {
		var token string
		r.until("a token", func() bool {
			_, g, err := r.issue(n)
			token = g.access
			return err == nil && token != ""
		})
		r.until("the gateway to know it", r.callSays(n, token, true))
		p.hide.Store(true) // the answer to the next COMMIT
		r.until("the revocation", func() bool {
			o, err := r.revoke(n, service, token)
			return err == nil && o.Outcome == Acknowledged
		})
		p.hide.Store(false)
		if o, err := r.call(n, token); err != nil || o.Active {
			t.Errorf("after it was acknowledged: %v, %v", o, err)
		}
		r.until("the gateway to refuse it", r.callSays(n, token, false))
	}
}
