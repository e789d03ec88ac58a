package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// Read replicas serve introspection, and nothing that is used once. One that is
// behind never brings a revoked token back: on the node that revoked it at once,
// on others within a second.
func TestReplica(t *testing.T) {
	primary := pgtest.Start(t)
	dsn := place(primary)
	newHouse(t, Options{DSN: dsn}) // the tables
	follower := primary.Replica(t)
	copyOf := follower.Address("postgres") + "&search_path=" + dsn[len(dsn)-len("place_1"):]
	var reported findings
	h := newHouse(t, Options{DSN: dsn, Replica: copyOf, Report: reported.report})
	other := &house{Store: open(t, Options{DSN: dsn, Replica: copyOf, SweepInterval: -1}), service: h.service, grant: h.grant}
	ctx := context.Background()
	asked := func(of *Store) int64 { return of.replica.pool.Stat().AcquireCount() }

	kept, revoked := h.token(t, time.Now(), time.Hour), h.token(t, time.Now(), time.Hour)
	await(t, "an answer of the replica", func() bool {
		before := asked(h.Store)
		return h.has(t, kept) && asked(h.Store) > before
	})
	fresh := h.token(t, time.Now(), time.Hour)
	if !h.has(t, fresh) || !other.has(t, fresh) {
		t.Error("a token that the replica may not have yet is not found")
	}
	follower.Exec(t, "postgres", `SELECT pg_wal_replay_pause()`)
	must(t, h.Write(ctx, store.RevokeAccessToken{Service: h.service, ID: revoked}))
	acknowledged := time.Now()
	if h.has(t, revoked) {
		t.Error("the node that revoked it finds it again at the replica")
	}
	for other.has(t, revoked) {
		if time.Since(acknowledged) > time.Second {
			t.Fatal("another node finds it at the replica after a second")
		}
	}
	before := asked(other.Store)
	for range 5 {
		if !other.has(t, kept) || other.has(t, revoked) {
			t.Error("while the replica is behind, the primary is not asked")
		}
	}
	if asked(other.Store) == before {
		t.Log("the replica is not even asked while it is behind")
	}
	follower.Exec(t, "postgres", `SELECT pg_wal_replay_resume()`)

	follower.Kill(t)
	for range 2 { // when that is found out, and while it is left alone
		if !h.has(t, kept) {
			t.Error("without the replica nothing is found")
		}
	}
	await(t, "a report", func() bool { h.has(t, kept); return reported.named("read replica") > 0 })
}
