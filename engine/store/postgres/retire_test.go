package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// rest counts the access tokens that have no partition of their time.
func (h *house) rest(t *testing.T) (n int) {
	t.Helper()
	must(t, h.pool.QueryRow(t.Context(), `SELECT count(*) FROM access_tokens_rest`).Scan(&n))
	return n
}

// Tokens that live for ever, a few each hour, leave neither a partition an hour
// nor rows among the rest, which is read whole when a partition is made. Those
// without a grant go.
func TestLongLivedStayFew(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	ctx := context.Background()
	var forever []model.ID
	for n := range 30 {
		at := start.Add(time.Duration(n) * time.Hour)
		clock.set(at)
		h.maintain(ctx, at)
		forever = append(forever, h.token(t, at, 1e6*time.Hour))
		for range 5 {
			h.token(t, at, time.Hour)
		}
	}
	if list := h.parts.list(accessTokens); len(list) > 7 {
		t.Errorf("%d partitions after 30 hours", len(list))
	}
	if n := h.rest(t); n > 1 {
		t.Errorf("%d rows among the rest", n)
	}
	for _, id := range forever {
		if !h.has(t, id) {
			t.Fatal("a token that lives is gone")
		}
	}
	must(t, h.Write(ctx, store.RevokeGrant{Service: h.service, ID: h.grant}))
	clock.set(start.Add(100 * time.Hour))
	h.maintain(ctx, clock.now())
	if list := h.parts.list(accessTokens); len(list) != 2 {
		t.Errorf("%d partitions when no token has a grant", len(list))
	}
}

// What lies among the rest, as its time had no partition, is among the others once
// these are put together across that time.
func TestStraysJoin(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	ids := []model.ID{h.token(t, start, 1e6*time.Hour)}
	clock.set(start.Add(20 * time.Hour))
	h.maintain(t.Context(), clock.now())
	ids = append(ids, h.token(t, start.Add(10*time.Hour), 1e6*time.Hour), h.token(t, clock.now(), 1e6*time.Hour))
	if n := h.rest(t); n != 1 {
		t.Fatalf("%d rows among the rest, want the one of a wrong clock", n)
	}
	found, err := h.inspectPartitions(t.Context())
	if err != nil || len(found) != 1 || !strings.HasSuffix(found[0].Value, "; rows outside of them: 1") || found[0].Advice != "" {
		t.Errorf("operators are told %+v, %v", found, err)
	}
	clock.set(start.Add(30 * time.Hour))
	h.maintain(t.Context(), clock.now())
	if n := h.rest(t); n != 0 {
		t.Errorf("%d rows among the rest", n)
	}
	for _, id := range ids {
		if part := h.parts.find(accessTokens, id); !h.has(t, id) || part == nil || part.from != h.parts.list(accessTokens)[0].from {
			t.Errorf("the token is not in the first partition but %v", part)
		}
	}
}

// Partitions are put together only as long as that is done soon.
func TestPartitionsOfManyStay(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	ctx := context.Background()
	const each = copyLimit * 2 / 5
	for n := range 5 {
		at := start.Add(time.Duration(n) * time.Hour)
		clock.set(at)
		h.maintain(ctx, at)
		_, err := h.pool.Exec(ctx, fmt.Sprintf(`INSERT INTO access_tokens (service, id, grant_id, expires_at) SELECT %d, %d + i, %d, 1::bigint << 40 FROM generate_series(1, %d) i`,
			h.service, handle.First(at), h.grant, each))
		must(t, err)
	}
	clock.set(start.Add(20 * time.Hour))
	h.maintain(ctx, clock.now())
	list := h.parts.list(accessTokens)
	var rows []int64
	for _, part := range list {
		c, err := h.count(ctx, part, clock.now())
		must(t, err)
		rows = append(rows, c.rows)
	}
	if got, want := fmt.Sprint(rows), fmt.Sprint([]int{2 * each, 2 * each, each, 0, 0}); got != want {
		t.Errorf("partitions with %s rows, want %s", got, want)
	}
	if n := h.rest(t); n > 0 {
		t.Errorf("%d rows among the rest", n)
	}
}

// Tokens are issued, renewed and read through the moment in which their partitions
// give way to others: nobody is told that one is gone while it lives, and no
// renewal is lost.
func TestPartitionGoesUnderLoad(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now,
		Widths: map[string]time.Duration{accessTokens: time.Hour, handles: time.Hour, refreshTokens: time.Hour}})
	ids := handle.NewIDs(clock.now, nil)
	read := model.AccessToken{Service: h.service, ID: ids.Next(), Grant: h.grant, ExpiresAt: 1 << 40}
	kept := model.RefreshToken{Service: h.service, ID: ids.Next(), Grant: h.grant, Access: ids.Next(), ExpiresAt: 1 << 40}
	must(t, h.Write(t.Context(), store.InsertAccessToken{Token: read}, store.InsertRefreshToken{Token: kept}))
	for range 30 {
		h.token(t, start, time.Minute)
		short := model.RefreshToken{Service: h.service, ID: ids.Next(), Grant: h.grant, ExpiresAt: start.Unix() + 60}
		must(t, h.Write(t.Context(), store.InsertRefreshToken{Token: short}))
	}
	clock.set(start.Add(10 * time.Hour))
	must(t, h.parts.ensure(t.Context(), h.opts.Widths, clock.now()))

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var work sync.WaitGroup
	var renewed model.ID
	for range 4 {
		work.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				if _, _, err := h.AccessToken(context.Background(), h.service, read.ID); err != nil {
					t.Errorf("the token was not found: %v", err)
				}
			}
		})
	}
	work.Go(func() {
		for ctx.Err() == nil && !t.Failed() {
			next := model.AccessToken{Service: h.service, ID: ids.Next(), Grant: h.grant, ExpiresAt: 1 << 40}
			err := h.Write(context.Background(), store.RenewAccessToken{Service: h.service, ID: kept.ID, Access: next.ID, Now: clock.now().Unix()}, store.InsertAccessToken{Token: next})
			if err != nil {
				t.Errorf("the token was not renewed: %v", err)
			}
			renewed = next.ID
		}
	})
	// Readers wait when the old partition goes, writers from when its rows are copied.
	token, refresh := h.parts.find(accessTokens, read.ID), h.parts.find(refreshTokens, kept.ID)
	h.retireBesideWaiters(t, token, clock.now(), token.name)
	h.retireBesideWaiters(t, refresh, clock.now(), `ONLY `+refreshTokens)
	stop()
	work.Wait()
	last, _, err := h.RefreshToken(t.Context(), h.service, kept.ID)
	if must(t, err); last.Access != renewed {
		t.Errorf("the last renewal was %d, the token knows %d", renewed, last.Access)
	}
	var tokens int
	must(t, h.pool.QueryRow(t.Context(), `SELECT count(*) FROM access_tokens WHERE expires_at = 1::bigint << 40`).Scan(&tokens))
	if tokens != 2 { // the one that is read, and the last renewal's: each ends the one before
		t.Errorf("%d tokens live: renewals were lost", tokens)
	}
}

// retireBesideWaiters retires a partition, and holds that up by a lock of a table
// until somebody waits beside it.
func (h *house) retireBesideWaiters(t *testing.T, part *partition, now time.Time, held string) {
	t.Helper()
	conn, ctx := h.connect(t), t.Context()
	await(t, "a partition that goes beside others' statements", func() bool {
		tx, err := conn.Begin(ctx)
		must(t, err)
		_, err = tx.Exec(ctx, `LOCK TABLE `+held+` IN ACCESS SHARE MODE`)
		must(t, err)
		ended := make(chan error, 1)
		go func() { ended <- h.retire(ctx, part, time.Hour, now) }()
		for waiting := 0; waiting < 2 && len(ended) == 0; { // the sweeper and another
			must(t, tx.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&waiting))
		}
		must(t, tx.Rollback(ctx))
		err = <-ended
		if err != nil && !isSlow(err) && code(err) != codeDeadlock { // nobody came by within half a second, or one with a lock
			t.Fatal(err)
		}
		return err == nil
	})
	c, err := h.count(ctx, part, now)
	if must(t, err); c.rows != 1 {
		t.Errorf("%s holds %d rows, want the one that lives", part.name, c.rows)
	}
}

// An autovacuum of the rest, slow as it may be, does not keep partitions from
// being made.
func TestPartitionsBesideAutovacuum(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t, "autovacuum_naptime=1s"))})
	ctx := t.Context()
	for _, statement := range []string{
		`ALTER TABLE access_tokens_rest SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)`,
		`INSERT INTO access_tokens_rest (service, id, grant_id, expires_at) SELECT 1, i, 1, 1 FROM generate_series(1, 100000) i`,
	} {
		_, err := h.pool.Exec(ctx, statement)
		must(t, err)
	}
	const vacuuming = `SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE a.backend_type = 'autovacuum worker' AND l.relation = 'access_tokens_rest'::regclass AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted`
	busy := func() (yes bool) {
		must(t, h.pool.QueryRow(ctx, vacuuming).Scan(&yes))
		return yes
	}
	await(t, "an autovacuum", busy)
	must(t, h.parts.create(ctx, accessTokens, time.Hour, time.Now().Add(10*time.Hour)))
}

// Partitions that cannot be dropped keep the sweeper from its other work for a
// spell only, and are tried again.
func TestRetiringRests(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	ctx := t.Context()
	for n := range 24 {
		must(t, h.parts.ensure(ctx, h.opts.Widths, start.Add(time.Duration(n)*time.Hour)))
	}
	reader, err := h.connect(t).Begin(ctx)
	must(t, err)
	_, err = reader.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE access_tokens, handles IN ACCESS SHARE MODE`)
	must(t, err)
	clock.set(start.Add(40 * time.Hour))
	begin := time.Now()
	if more := h.maintain(ctx, clock.now()); !more || time.Since(begin) < spell {
		t.Errorf("after %v there is more: %v", time.Since(begin), more)
	}
	must(t, reader.Rollback(ctx))
	clock.set(clock.now().Add(time.Minute))
	await(t, "the end", func() bool { return !h.maintain(ctx, clock.now()) })
	for _, table := range []string{accessTokens, handles} {
		for _, part := range h.parts.list(table) {
			if at := handle.Time(part.to); at.Before(clock.now()) {
				t.Errorf("%s is there", part.name)
			}
		}
	}
}

// A lease is kept while its work lasts longer than it, and the work ends when
// somebody else has it.
func TestHolding(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	ctx := t.Context()
	const lease = 3 * time.Second
	held, err := h.Lease(ctx, "job", h.name, lease)
	if err != nil || !held {
		t.Fatal(held, err)
	}
	h.holding(ctx, "job", lease, func(ctx context.Context) {
		var first, until int64
		read := func(until *int64) {
			must(t, h.pool.QueryRow(t.Context(), `SELECT until FROM leases WHERE name = 'job'`).Scan(until))
		}
		read(&first)
		await(t, "a lease that is renewed past its end", func() bool {
			read(&until)
			return until > first+lease.Milliseconds()
		})
		_, err := h.pool.Exec(t.Context(), `UPDATE leases SET holder = 'another', until = until + 3600000 WHERE name = 'job'`)
		must(t, err)
		select {
		case <-ctx.Done():
		case <-time.After(30 * time.Second):
			t.Error("the work goes on without the lease")
		}
	})
}
