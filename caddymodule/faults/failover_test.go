package faults

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// Failover to a replica. The primary waits for it with each commit, so
// that what was acknowledged is there; nodes find by themselves which of the two
// can be written (target_session_attrs).
func TestFailover(t *testing.T) {
	t.Parallel() // it waits most of the time
	for round := range max(1, few(t)/3) {
		t.Run(fmt.Sprint(round+1), func(t *testing.T) {
			r, primary, replica := replicated(t)
			r.under(200*time.Millisecond, r.away(0, func() {
				primary.Kill(t)
				replica.Promote(t)
			}))
			r.goOn()
		})
	}
}

// No error is taken for success: the replica is cut off for longer than a
// statement may take before the primary dies. What was committed there alone was
// acknowledged to nobody.
func TestFailoverToReplicaThatWasCutOff(t *testing.T) {
	t.Parallel() // it waits most of the time
	r, primary, replica := replicated(t)
	between := proxyBetween(t, primary, replica)
	r.under(100*time.Millisecond, r.away(0, func() {
		between.delay.Store(int64(time.Hour))
		time.Sleep(7 * time.Second) // longer than a statement may take
		primary.Kill(t)
		between.close()
		replica.Promote(t)
	}))
	r.goOn()
}

// A gateway forgets what it remembers when the feed is another one. Its node had
// heard of a revocation that the replica had not, and stands still while others
// are told of under that number and the next.
func TestGatewayAfterFailover(t *testing.T) {
	t.Parallel() // it waits most of the time
	r, primary, replica := replicated(t)
	between := proxyBetween(t, primary, replica)
	still, other := r.nodes[0], r.nodes[1]
	var tokens []string
	for range 4 {
		_, given, err := r.issue(other)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, given.access)
		r.until("the gateway to know the token", r.callSays(still, given.access, true))
	}
	between.delay.Store(int64(time.Hour))
	if _, err := r.revoke(other, service, tokens[0]); err != nil {
		t.Fatal(err)
	}
	r.until("the gateway to hear what only the primary has", r.callSays(still, tokens[0], false))
	r.away(still.number, func() {
		still.signal(syscall.SIGSTOP)
		awaitStopped(t, still.cmd.Process.Pid)
		primary.Kill(t)
		between.close()
		replica.Promote(t)
		for _, token := range tokens[1:] {
			r.until("a revocation on the new primary", func() bool {
				o, err := r.revoke(other, service, token)
				return err == nil && o.Outcome == Acknowledged
			})
		}
		still.signal(syscall.SIGCONT)
	})()
	r.hear()
	for _, token := range tokens[1:] {
		r.until("an answer of the gateway", func() bool {
			o, err := r.call(still, token)
			return err == nil && o.Outcome == Acknowledged
		})
	}
	r.end()
}

// callSays reports whether a node's gateway lets a token through, or does not.
func (r *run) callSays(n *node, token string, through bool) func() bool {
	return func() bool {
		o, err := r.call(n, token)
		return err == nil && o.Outcome == Acknowledged && o.Active == through
	}
}

// goOn judges a failover, and what comes after it.
func (r *run) goOn() {
	r.t.Helper()
	r.clean("after the failover")
	before := len(r.held)
	r.under(1, func() { r.until("tokens", func() bool { return r.count() > before+50 }) })
	r.end()
}

// replicated runs two nodes on a server with a synchronous replica.
func replicated(t *testing.T) (r *run, primary, replica *pgtest.Server) {
	t.Helper()
	primary = pgtest.Start(t)
	replica = primary.Replica(t)
	primary.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	awaitRow(t, primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
	line := fmt.Sprintf("postgres postgres://gatehouse@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&target_session_attrs=read-write",
		primary.Port, replica.Port)
	return newRun(t, line, line), primary, replica
}

// proxyBetween lets a replica follow its primary through a proxy.
func proxyBetween(t *testing.T, primary, replica *pgtest.Server) *proxy {
	t.Helper()
	between := newProxy(t, fmt.Sprintf("127.0.0.1:%d", primary.Port))
	replica.Exec(t, "postgres",
		fmt.Sprintf("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=%d user=gatehouse'", between.port()), "SELECT pg_reload_conf()")
	awaitRow(t, replica, fmt.Sprintf("SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE sender_port = %d", between.port()))
	awaitRow(t, primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
	return between
}

// awaitRow waits until a query says true.
func awaitRow(t *testing.T, server *pgtest.Server, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.Address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for ok := false; !ok; time.Sleep(10 * time.Millisecond) {
		if err := conn.QueryRow(ctx, query).Scan(&ok); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}
