package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// fill writes rows into the partition of a time, in the house's grant.
func (h *house) fill(t *testing.T, at time.Time, first, n int, expires int64) {
	t.Helper()
	_, err := h.connect(t).Exec(t.Context(), fmt.Sprintf(`SET statement_timeout = 0; INSERT INTO access_tokens (service, id, grant_id, expires_at)
		SELECT %d, %d + i, %d, %d FROM generate_series(%d, %d) i`, h.service, handle.First(at), h.grant, expires, first, first+n-1))
	must(t, err)
}

// What is written until a partition is locked is kept when it gives way to another,
// whatever isolation the database's transactions have by default.
func TestRetireAtAnyIsolation(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)) + "&default_transaction_isolation=repeatable%20read", Now: clock.now,
		Widths: map[string]time.Duration{accessTokens: time.Hour, handles: time.Hour, refreshTokens: time.Hour}})
	ids, ctx := handle.NewIDs(clock.now, nil), t.Context()
	kept := model.RefreshToken{Service: h.service, ID: ids.Next(), Grant: h.grant, ExpiresAt: 1 << 40}
	must(t, h.Write(ctx, store.InsertRefreshToken{Token: kept}))
	for range 3 {
		short := model.RefreshToken{Service: h.service, ID: ids.Next(), Grant: h.grant, ExpiresAt: start.Unix() + 60}
		must(t, h.Write(ctx, store.InsertRefreshToken{Token: short}))
	}
	clock.set(start.Add(10 * time.Hour))
	must(t, h.parts.ensure(ctx, h.opts.Widths, clock.now()))
	part, watch := h.parts.find(refreshTokens, kept.ID), h.connect(t)
	successor := 0
	await(t, "a partition that goes beside a rotation", func() bool {
		successor++
		tx := h.hold(t, `UPDATE refresh_tokens SET successor = $2 WHERE id = $1`, int64(kept.ID), successor) // another node's
		ended := make(chan error, 1)
		go func() { ended <- h.retire(ctx, part, time.Hour, clock.now()) }()
		for waits := false; !waits && len(ended) == 0; {
			must(t, watch.QueryRow(ctx, `SELECT count(*) > 0 FROM pg_locks WHERE NOT granted`).Scan(&waits))
		}
		must(t, tx.Commit(ctx))
		err := <-ended
		if err != nil && !isSlow(err) { // the commit was late
			t.Fatal(err)
		}
		return err == nil
	})
	last, _, err := h.RefreshToken(ctx, h.service, kept.ID)
	if must(t, err); last.Successor != model.ID(successor) {
		t.Errorf("the token's successor is %d, want %d", last.Successor, successor)
	}
}

// Where too many live for a partition to be copied, and more do not, the sweeper
// removes these row by row, from all such partitions; the others stay whole.
func TestExpiredGoFromAmongMany(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	ctx := t.Context()
	const live, over = copyLimit + 1000, copyLimit + 2000
	for n, expired := range []int{over, 10, over} {
		at := start.Add(time.Duration(n) * time.Hour)
		clock.set(at)
		must(t, h.parts.ensure(ctx, h.opts.Widths, at))
		h.fill(t, at, 1, expired, at.Unix()+60)
		h.fill(t, at, expired+1, live, 1<<40)
	}
	clock.set(start.Add(10 * time.Hour))
	h.maintain(ctx, clock.now())
	_, err := h.Sweep(ctx, clock.now(), 1<<40)
	must(t, err)
	for n, want := range []int64{live, live + 10, live} {
		c, err := h.count(ctx, h.parts.find(accessTokens, currentID(start.Add(time.Duration(n)*time.Hour))), clock.now())
		if must(t, err); c.rows != want || c.live != live {
			t.Errorf("the partition of hour %d holds %d rows, of which %d live; want %d and %d", n, c.rows, c.live, want, live)
		}
	}
}

// Under the lock for which writers wait, the rows that have not expired are found
// without reading the others, whatever was written since it was known that they are
// few: a token that an import brings, one that is kept for longer after all.
func TestFewAmongVeryManyStay(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	ctx, first := t.Context(), handle.First(start)
	h.fill(t, start, 1, 2*copyLimit, start.Unix()+60)
	h.fill(t, start, 2*copyLimit+1, 100, 1<<40)
	clock.set(start.Add(10 * time.Hour))
	must(t, h.parts.ensure(ctx, h.opts.Widths, clock.now()))
	part := h.parts.find(accessTokens, first)
	reader := h.hold(t, `LOCK TABLE `+part.name+` IN ACCESS SHARE MODE`)
	if err := h.retire(ctx, part, time.Hour, clock.now()); !isSlow(err) {
		t.Fatalf("beside a reader: %v", err)
	}
	must(t, reader.Rollback(ctx))
	var indexed bool
	must(t, h.pool.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, part.name+`_unexpired`).Scan(&indexed))
	if !indexed {
		t.Error("the partition was locked without an index of the rows that have not expired")
	}
	must(t, h.indexUnexpired(ctx, part, clock.now())) // again, after an attempt that failed
	brought := model.AccessToken{Service: h.service, ID: first + 5*copyLimit, Grant: h.grant, JWT: true, ExpiresAt: 1 << 40}
	must(t, h.PutRows(ctx, []store.Row{store.AccessTokenRow{Token: brought}}))
	_, err := h.pool.Exec(ctx, `UPDATE access_tokens SET expires_at = $2 WHERE id = $1`, int64(first+7), clock.now().Unix()+100)
	must(t, err)

	must(t, h.atLength(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `EXPLAIN `+copyLiving(part.name, accessTokens, clock.now()))
		must(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		if text := strings.Join(plan, "\n"); !strings.Contains(text, part.name+"_unexpired") {
			t.Errorf("the rows that live are not found by their index:\n%s", text)
		}
		return replace(ctx, tx, clock.now(), []*partition{part})
	}))
	c, err := h.count(ctx, part, clock.now())
	if must(t, err); c.rows != 102 || !h.has(t, brought.ID) || !h.has(t, first+7) {
		t.Errorf("%d rows stay, want 102", c.rows)
	}
}
