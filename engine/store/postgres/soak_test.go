package postgres

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// soakTime is how long the soak lasts, which GATEHOUSE_SOAK lengthens.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("GATEHOUSE_SOAK")
	if text == "" {
		return 36 * time.Second
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

// held is what a node and its database hold at a moment.
type held struct {
	Heap       int64 // bytes after a collection
	Goroutines int64
	Partitions int64
	Size       int64 // bytes of all tables with their indexes, but the feed, which keeps an hour
}

func (h *house) holds(t *testing.T) (now held) {
	t.Helper()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	now.Heap, now.Goroutines = int64(m.HeapAlloc), int64(runtime.NumGoroutine())
	must(t, h.pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE relispartition), sum(pg_total_relation_size(c.oid))::bigint
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND relkind = 'r' AND relname <> 'changes'`).Scan(&now.Partitions, &now.Size))
	return now
}

// An hour compressed: partitions of seconds, rows that last as long, a thousand
// grants a second, and a few that stay. What a node and its database hold
// in the last third of the time is what they held in the second.
func TestSoak(t *testing.T) {
	server := pgtest.Start(t, "autovacuum_naptime=1s", "autovacuum_vacuum_cost_delay=0", "synchronous_commit=off", "max_wal_size=256MB")
	h := newHouse(t, Options{
		DSN: place(server), SweepInterval: 200 * time.Millisecond,
		Widths: map[string]time.Duration{accessTokens: 3 * time.Second, handles: 3 * time.Second, refreshTokens: 5 * time.Second},
	})
	ctx, cancel := context.WithTimeout(context.Background(), soakTime(t))
	defer cancel()
	var made atomic.Int64
	var workers sync.WaitGroup
	ids := handle.NewIDs(time.Now, nil)
	pace := time.NewTicker(time.Second / 1000) // the same on any machine, so that the thirds can be compared
	defer pace.Stop()
	for range 32 {
		workers.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-pace.C:
				case <-ctx.Done():
					return
				}
				if err := h.brief(ids, made.Add(1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	third := soakTime(t) / 3
	var second, last held
	var atFirst, atSecond int64 // how many were made by the end of a third
	for start := time.Now(); ctx.Err() == nil; time.Sleep(third / 24) {
		now := h.holds(t)
		switch elapsed := time.Since(start); {
		case elapsed > 2*third:
			last = last.most(now)
		case elapsed > third:
			second, atSecond = second.most(now), made.Load()
		default:
			atFirst = made.Load()
		}
	}
	workers.Wait()
	t.Logf("%d grants with their tokens; at most in the second third %+v, in the last %+v", made.Load(), second, last)
	// What lasts for seconds is more where more is made: a machine that was too busy
	// for the pace may have found it again.
	faster := max(1, float64(made.Load()-atSecond)/float64(max(1, atSecond-atFirst)))
	second.Size = int64(float64(second.Size) * faster)
	for what, c := range map[string]struct{ before, now, spare int64 }{
		"heap":       {second.Heap, last.Heap, 4 << 20},
		"goroutines": {second.Goroutines, last.Goroutines, 10},
		"partitions": {second.Partitions, last.Partitions, 4},
		"size":       {second.Size, last.Size, 4 << 20},
	} {
		if c.now > c.before*5/4+c.spare {
			t.Errorf("%s grows from %d to %d", what, c.before, c.now)
		}
	}
}

// most is the larger of each.
func (a held) most(b held) held {
	return held{max(a.Heap, b.Heap), max(a.Goroutines, b.Goroutines), max(a.Partitions, b.Partitions), max(a.Size, b.Size)}
}

// brief issues a code, redeems it for tokens and refreshes them; all is over
// within seconds, more than the machine may pause for, but for the tokens of one
// in a thousand.
func (h *house) brief(ids *handle.IDs, n int64) error {
	ctx, now := context.Background(), time.Now().Unix()
	const lives = 6
	until := now + lives
	if n%1000 == 0 {
		until = now + 36000
	}
	g := model.Grant{Service: h.service, ID: ids.Next(), Client: 1, Subject: "alice", Scopes: []string{"openid"}, ExpiresAt: until}
	code := model.Handle{Service: h.service, ID: ids.Next(), Kind: model.HandleCode, Grant: g.ID, ExpiresAt: now + lives}
	access := model.AccessToken{Service: h.service, ID: ids.Next(), Grant: g.ID, JWT: true, ExpiresAt: until}
	refresh := model.RefreshToken{Service: h.service, ID: ids.Next(), Grant: g.ID, Access: access.ID, ExpiresAt: until}
	next := model.RefreshToken{Service: h.service, ID: ids.Next(), Grant: g.ID, ExpiresAt: until}
	for _, steps := range [][]store.Step{
		{store.InsertGrant{Grant: g}, store.InsertHandle{Handle: code}},
		{store.RedeemHandle{Service: h.service, Kind: code.Kind, ID: code.ID, Now: now}, store.InsertAccessToken{Token: access}, store.InsertRefreshToken{Token: refresh}},
		{store.RotateRefreshToken{Service: h.service, ID: refresh.ID, Successor: next.ID, Now: now}, store.InsertRefreshToken{Token: next}},
	} {
		if err := h.Write(ctx, steps...); err != nil {
			return err
		}
	}
	return nil
}
