package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// hold begins a transaction of somebody else's, which goes on until it is ended.
func (h *house) hold(t testing.TB, sql string, args ...any) pgx.Tx {
	t.Helper()
	conn := h.connect(t)
	_, err := conn.Exec(context.Background(), `SET idle_in_transaction_session_timeout = 0`)
	must(t, err)
	tx, err := conn.Begin(context.Background())
	must(t, err)
	_, err = tx.Exec(context.Background(), sql, args...)
	must(t, err)
	return tx
}

// load does something so often until it is stopped, and returns how often it
// failed and how long it took at worst.
func load(every time.Duration, stop chan struct{}, do func(ctx context.Context) error) (n, failed int, worst time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	defer all.Wait()
	for ticker := time.NewTicker(every); ; {
		select {
		case <-stop:
			ticker.Stop()
			all.Wait()
			return n, failed, worst
		case <-ticker.C:
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			begin := time.Now()
			err := do(ctx)
			mu.Lock()
			defer mu.Unlock()
			n, worst = n+1, max(worst, time.Since(begin))
			if err != nil {
				failed++
			}
		})
	}
}

// A table that somebody has locked for long (VACUUM FULL, an ALTER) keeps only
// those waiting who need it: others read and write, and other nodes hear of
// revocations in time (promise 5).
func TestLockedTable(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	other := open(t, Options{DSN: h.opts.DSN, SweepInterval: -1})
	kept, ids := h.token(t, time.Now(), time.Hour), handle.NewIDs(time.Now, nil)
	held := h.hold(t, `LOCK TABLE consents IN ACCESS EXCLUSIVE MODE`)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		load(20*time.Millisecond, stop, func(ctx context.Context) error {
			_, err := h.Consent(ctx, h.service, "alice", 1)
			return err
		})
	})
	all.Go(func() {
		load(50*time.Millisecond, stop, func(ctx context.Context) error {
			return h.Write(ctx, store.PutConsent{Consent: model.Consent{Service: h.service, Subject: "alice", Client: ids.Next()}})
		})
	})
	for name, do := range map[string]func(context.Context) error{
		"lookups": func(ctx context.Context) error {
			_, _, err := h.AccessToken(ctx, h.service, kept)
			return err
		},
		"writes": func(ctx context.Context) error {
			a := model.AccessToken{Service: h.service, ID: ids.Next(), Grant: h.grant, JWT: true, ExpiresAt: 1 << 40}
			return h.Write(ctx, store.InsertAccessToken{Token: a})
		},
		"writes of several steps": func(ctx context.Context) error {
			a := model.AccessToken{Service: h.service, ID: ids.Next(), Grant: h.grant, JWT: true, ExpiresAt: 1 << 40}
			return h.Write(ctx, store.ExtendGrant{Service: h.service, ID: h.grant}, store.InsertAccessToken{Token: a})
		},
	} {
		all.Go(func() {
			n, failed, worst := load(20*time.Millisecond, stop, do)
			t.Logf("%s: %d, %d failed, worst %s", name, n, failed, worst)
			if n == 0 || failed > 0 || worst >= lockTimeout {
				t.Errorf("%s: %d of %d failed, and one took %s", name, failed, n, worst)
			}
		})
	}
	time.Sleep(2 * lockTimeout) // for several to wait in vain
	lags := inTime(t, h.Store, other, 50, 90)
	t.Logf("revocations: worst %s", lags[len(lags)-1])
	if p90 := lags[len(lags)*9/10]; p90 > time.Second {
		t.Errorf("other nodes hear of revocations after %s", p90)
	}
	close(stop)
	all.Wait()

	// What waits aside is done when the table is free, and goes with the others again.
	waiting := make(chan error, 1)
	go func() {
		waiting <- h.Write(context.Background(), store.DeleteConsent{Service: h.service, Subject: "alice", Client: 1})
	}()
	h.awaitLock(t)
	must(t, held.Rollback(context.Background()))
	must(t, <-waiting)
	await(t, "the table to be taken for free", func() bool {
		must(t, h.Write(context.Background(), store.PutConsent{Consent: model.Consent{Service: h.service, Subject: "alice", Client: 1}}))
		must(t, h.Write(context.Background(), store.DeleteConsent{Service: h.service, Subject: "alice", Client: 1}))
		if _, err := h.Consent(context.Background(), h.service, "alice", 1); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		any := func(string) bool { return true }
		return !h.reads.slow.any(any) && !h.writers.slow.any(any)
	})
}

// awaitLock waits until somebody waits for a lock for longer than others are kept
// waiting.
func (h *house) awaitLock(t testing.TB) {
	t.Helper()
	conn := h.connect(t)
	await(t, "somebody who waits for a lock", func() bool {
		var n int
		must(t, conn.QueryRow(context.Background(), `SELECT count(*) FROM pg_locks WHERE NOT granted AND waitstart < clock_timestamp() - interval '400 milliseconds'`).Scan(&n))
		return n > 0
	})
}

// A row that somebody holds is the affair of those who need it: others that run
// the same statements go on with the rest.
func TestLockedRow(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Writers: 1})
	ctx := context.Background()
	other := model.Grant{Service: h.service, ID: h.grant + 1, Client: 1, Subject: "bob", ExpiresAt: 1 << 40}
	must(t, h.Write(ctx, store.InsertGrant{Grant: other}))
	held := h.hold(t, `SELECT 1 FROM grants WHERE id = $1 FOR UPDATE`, int64(h.grant))
	blocked := make(chan error, 1)
	go func() { blocked <- h.Write(ctx, store.ExtendGrant{Service: h.service, ID: h.grant, Until: 1 << 51}) }()
	h.awaitLock(t)
	must(t, h.Write(ctx, store.ExtendGrant{Service: h.service, ID: other.ID, Until: 1 << 41}))
	select {
	case err := <-blocked:
		t.Errorf("the one that waits: %v", err)
	default:
	}
	must(t, held.Rollback(ctx))
	must(t, <-blocked)
}

// Of a batch, those that fail have their own answers, whatever makes them fail,
// and the others are done, once.
func TestFailingAmongOthers(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	ctx, ids := context.Background(), handle.NewIDs(time.Now, nil)
	token := func(id, grant model.ID) store.InsertAccessToken {
		return store.InsertAccessToken{Token: model.AccessToken{Service: h.service, ID: id, Grant: grant, JWT: true, ExpiresAt: 1 << 40}}
	}
	taken, coupled, refresh := h.token(t, time.Now(), time.Hour), ids.Next(), ids.Next()
	code := model.Handle{Service: h.service, ID: ids.Next(), Kind: model.HandleCode, ExpiresAt: 2}
	must(t, h.Write(ctx, store.InsertHandle{Handle: code}, token(coupled, h.grant),
		store.InsertRefreshToken{Token: model.RefreshToken{Service: h.service, ID: refresh, Grant: h.grant, Access: coupled, ExpiresAt: 2}}))
	redeem := store.RedeemHandle{Service: h.service, Kind: code.Kind, ID: code.ID, Now: 1}
	unknown := model.ID(12345)
	tests := []struct {
		want  error
		steps []store.Step
		tells int
	}{
		{nil, []store.Step{token(ids.Next(), h.grant)}, 0},
		{store.ErrConflict, []store.Step{token(taken, h.grant)}, 0},
		{store.ErrNotFound, []store.Step{token(ids.Next(), unknown)}, 0},
		{nil, []store.Step{redeem, token(ids.Next(), h.grant)}, 0},
		{store.ErrSpent, []store.Step{token(ids.Next(), h.grant), redeem}, 0},
		{store.ErrSpent, []store.Step{redeem}, 0},
		{store.ErrNotFound, []store.Step{store.RevokeGrants{Service: h.service, Client: 7}, token(ids.Next(), unknown)}, 0},
		{store.ErrConflict, []store.Step{store.RevokeGrants{Service: h.service, Client: 7}, store.InsertHandle{Handle: code}}, 0},
		{nil, []store.Step{store.RevokeGrants{Service: h.service, Client: 8}, token(ids.Next(), h.grant)}, 1},
		// The order of its statements counts.
		{store.ErrConflict, []store.Step{token(coupled, h.grant), store.RenewAccessToken{Service: h.service, ID: refresh, Access: 1, Now: 1}}, 0},
		{nil, []store.Step{store.RenewAccessToken{Service: h.service, ID: refresh, Access: 1, Now: 1}, token(coupled, h.grant)}, 1},
		{nil, []store.Step{token(ids.Next(), h.grant)}, 0},
	}
	var batch, asked []*unit
	told := 0
	for _, test := range tests {
		batch = append(batch, &unit{ctx: ctx, steps: test.steps, done: make(chan error, 1)})
		told += test.tells
	}
	asked = append(asked, batch...)
	var before, after int64
	must(t, h.pool.QueryRow(ctx, `SELECT last FROM feed`).Scan(&before))
	h.writers.commit(batch)
	must(t, h.pool.QueryRow(ctx, `SELECT last FROM feed`).Scan(&after))
	if int(after-before) != told {
		t.Errorf("%d changes are told, want %d", after-before, told)
	}
	for i, test := range tests {
		if err := <-asked[i].done; !errors.Is(err, test.want) {
			t.Errorf("unit %d: %v, want %v", i, err, test.want)
		}
		for _, step := range test.steps {
			if a, ok := step.(store.InsertAccessToken); ok && a.Token.ID != taken && h.has(t, a.Token.ID) != (test.want == nil || a.Token.ID == coupled) {
				t.Errorf("unit %d: its token is there although it failed, or is not", i)
			}
		}
	}
}

// Batches take the rows that many share in one order: the server has no
// deadlocks to end.
func TestKeepingForManyClients(t *testing.T) {
	server := pgtest.Start(t, "deadlock_timeout=10ms")
	h := newHouse(t, Options{DSN: place(server), Writers: 4})
	ids := handle.NewIDs(time.Now, nil)
	names := []string{"a", "b", "c", "d"}
	clients, err := h.EnsureClients(context.Background(), h.service, names)
	must(t, err)
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			for n := range 20 {
				g := model.Grant{Service: h.service, ID: ids.Next(), Client: clients[names[(i*7+n*3)%4]], Subject: fmt.Sprint(i, n), ExpiresAt: 1 << 40}
				a := model.AccessToken{Service: h.service, ID: ids.Next(), Grant: g.ID, ExpiresAt: 1 << 40}
				err := h.Write(context.Background(), store.InsertGrant{Grant: g}, store.InsertAccessToken{Token: a},
					store.KeepAccessToken{Service: h.service, Subject: g.Subject, Client: g.Client, Access: a.ID})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	must(t, h.Close()) // its sessions then tell what they have counted
	conn, err := pgx.Connect(context.Background(), h.opts.DSN)
	must(t, err)
	defer conn.Close(context.Background())
	await(t, "the sessions to end", func() bool {
		var n int
		must(t, conn.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&n))
		return n == 0
	})
	var deadlocks int
	must(t, conn.QueryRow(context.Background(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks))
	if deadlocks > 0 {
		t.Errorf("%d deadlocks", deadlocks)
	}
}
