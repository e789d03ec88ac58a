package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// copied is the address of a place in a copy of its server.
func copied(t *testing.T, server *pgtest.Server, dsn string) string {
	t.Helper()
	_, place, found := strings.Cut(dsn, "search_path=")
	if !found {
		t.Fatal("no search_path in " + dsn)
	}
	return server.Address("postgres") + "&search_path=" + place
}

// Read replicas serve introspection, and nothing that is used once. One that is
// behind never brings a revoked token back: on the node that revoked it at once,
// on others within a second.
func TestReplica(t *testing.T) {
	primary := pgtest.Start(t)
	dsn := place(primary)
	newHouse(t, Options{DSN: dsn}) // the tables
	follower := primary.Replica(t)
	copyOf := copied(t, follower, dsn)
	var reported findings
	h := newHouse(t, Options{DSN: dsn, Replica: copyOf, Report: reported.report})
	other := &house{Store: open(t, Options{DSN: dsn, Replica: copyOf, SweepInterval: -1}), service: h.service, grant: h.grant}
	ctx := context.Background()
	trusted := func(of *Store) bool {
		_, may := of.replica.least()
		return may
	}

	kept, revoked := h.token(t, time.Now(), time.Hour), h.token(t, time.Now(), time.Hour)
	moved := h.token(t, time.Now(), time.Hour)
	await(t, "trust in the replica", func() bool { return trusted(h.Store) && trusted(other.Store) })
	there, err := pgx.Connect(ctx, copyOf)
	must(t, err)
	defer there.Close(ctx)
	await(t, "the token at the replica", func() bool {
		n := 0
		must(t, there.QueryRow(ctx, `SELECT count(*) FROM access_tokens WHERE id = $1`, int64(moved)).Scan(&n))
		return n == 1
	})
	follower.Exec(t, "postgres", `SELECT pg_wal_replay_pause()`)
	_, err = h.connect(t).Exec(ctx, `DELETE FROM access_tokens WHERE id = $1`, int64(moved)) // nobody is told
	must(t, err)
	// A node that has not looked at the feed for a moment asks the primary.
	await(t, "an answer of the replica", func() bool { return h.has(t, moved) })
	follower.Exec(t, "postgres", `SELECT pg_wal_replay_resume()`)
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
	time.Sleep(time.Until(acknowledged.Add(time.Second)))
	for range 5 {
		if !other.has(t, kept) || other.has(t, revoked) {
			t.Error("after a second, while the replica is behind, the primary is not asked")
		}
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

// A node that was away does not trust a replica with what the feed was before.
func TestReplicaAfterAPause(t *testing.T) {
	now := time.Now()
	r := &replica{now: func() time.Time { return now }}
	note := func(end int64) {
		r.same.Store(now.UnixMilli())
		r.note(now, end, 0)
	}
	note(1)
	now = now.Add(time.Hour)
	note(1000)
	now = now.Add(10 * time.Millisecond)
	if least, may := r.least(); may {
		t.Errorf("a replica that has only %d of 1000 changes is asked", least)
	}
	for range 40 { // NOTIFY wakes a node far oftener than the replica's lag
		now = now.Add(20 * time.Millisecond)
		note(1000)
	}
	if least, may := r.least(); !may || least != 1000 {
		t.Errorf("%d, %v", least, may)
	}
}

// A replica that was ahead of the one which took over stays with numbers of its
// own, however high: it is not asked until it follows the same feed again.
func TestReplicaOfAnotherFeed(t *testing.T) {
	primary := pgtest.Start(t)
	dsn := place(primary)
	newHouse(t, Options{DSN: dsn}) // the tables
	stays := primary.Replica(t)
	copyOf := copied(t, stays, dsn)
	h := newHouse(t, Options{DSN: dsn, Replica: copyOf})
	ctx := context.Background()
	revoked := h.token(t, time.Now(), time.Hour)
	await(t, "trust in the replica", func() bool {
		_, may := h.replica.least()
		return may
	})
	// It has told other changes than the primary, and more.
	stays.Promote(t)
	conn, err := pgx.Connect(ctx, copyOf)
	must(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `WITH n AS (UPDATE feed SET last = last + 100, last_at = 5 RETURNING last)
		INSERT INTO changes (seq, service, kind, ref, subject, at) SELECT n.last - i, 1, 4, 1, '', 5 FROM n, generate_series(0, 99) i`)
	must(t, err)
	must(t, h.Write(ctx, store.RevokeAccessToken{Service: h.service, ID: revoked}))
	acknowledged := time.Now()
	for asked := acknowledged; asked.Sub(acknowledged) < 3*time.Second; asked = time.Now() {
		found := h.has(t, revoked)
		// A moment of the feed counts that long after it, and what it showed for as
		// long again; milliseconds are rounded.
		if took := asked.Sub(acknowledged); found && took > replicaLag+followFresh+replicaSame+10*time.Millisecond {
			t.Fatalf("asked for %s after it was revoked, it is found at a replica that knows nothing of that", took)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
