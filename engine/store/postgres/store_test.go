package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// Nodes that start at the same moment on an empty database take turns.
func TestOpenAtOnce(t *testing.T) {
	dsn := place(pgtest.Start(t))
	var wg sync.WaitGroup
	names := make([]string, 4)
	for i := range names {
		wg.Go(func() {
			s, err := Open(context.Background(), Options{DSN: dsn})
			if err != nil {
				t.Error(err)
				return
			}
			names[i] = s.feed.place.Feed
			must(t, s.Close())
		})
	}
	wg.Wait()
	for _, name := range names {
		if name != names[0] || name == "" {
			t.Errorf("feeds %v", names)
		}
	}
}

// Writes that take the same rows in another order meet in the database: it ends
// one of them, which is done again. Nobody is told.
func TestDeadlock(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t, "deadlock_timeout=10ms"))})
	other := open(t, Options{DSN: h.opts.DSN, SweepInterval: -1})
	ctx := context.Background()
	ids := handle.NewIDs(time.Now, nil)
	a, b := ids.Next(), ids.Next()
	for _, id := range []model.ID{a, b} {
		must(t, h.Write(ctx, store.InsertGrant{Grant: model.Grant{Service: h.service, ID: id, Client: 1, ExpiresAt: 1}}))
	}
	var wg sync.WaitGroup
	for i, s := range []*Store{h.Store, other} {
		for range 4 {
			wg.Go(func() {
				first, second := a, b
				if i == 1 {
					first, second = b, a
				}
				for n := range 50 {
					err := s.Write(ctx, store.ExtendGrant{Service: h.service, ID: first, Until: int64(n)},
						store.ExtendGrant{Service: h.service, ID: second, Until: int64(n)})
					if err != nil {
						t.Errorf("write %d: %v", n, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// What no row can hold is not found, instead of an error of the database: a
// client_id with a NUL in it is an unknown client.
func TestTextsThatCannotBeKept(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	ctx := context.Background()
	for _, text := range []string{"a\x00b", "\xff"} {
		if _, err := h.StoredClientByAlias(ctx, h.service, text); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v", text, err)
		}
		if list, err := h.Consents(ctx, h.service, text, 10); err != nil || len(list) > 0 {
			t.Errorf("%q: %v, %v", text, list, err)
		}
		err := h.Write(ctx, store.InsertAccount{Account: model.Account{Service: h.service, ID: 5, Name: text, Key: text, Subject: text}})
		if err == nil || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%q is kept: %v", text, err)
		}
	}
}

// Threat 34: the password of the database reaches no error.
func TestNoPasswordInErrors(t *testing.T) {
	free := pgtest.Prepare(t).Port
	for _, dsn := range []string{
		"postgres://gatehouse:hunter2@127.0.0.1:notaport/x",
		fmt.Sprintf("postgres://gatehouse:hunter2@127.0.0.1:%d/x", free),
		fmt.Sprintf("host=127.0.0.1 port=%d user=gatehouse password=hunter2 connect_timeout=nonsense", free),
	} {
		_, err := Open(context.Background(), Options{DSN: dsn})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

// Overload: who finds the queue full for a second is told so, instead of waiting
// with the others; and who is preferred goes before them.
func TestCrowded(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)) + "&idle_in_transaction_session_timeout=0", Writers: 1})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	held, err := h.connect(t).Begin(ctx)
	must(t, err)
	_, err = held.Exec(ctx, `SELECT 1 FROM feed FOR UPDATE`) // for which everybody waits
	must(t, err)
	forget := store.RevokeGrants{Service: h.service, Client: 9}
	const many = maxQueue + 4*maxBatch
	results := make(chan error, many)
	for range many {
		go func() { results <- h.Write(ctx, forget) }()
	}
	await(t, "a refusal", func() bool {
		select {
		case err := <-results:
			return errors.Is(err, store.ErrUnavailable)
		default:
			return false
		}
	})
	must(t, h.writers.queue.put(store.Prefer(ctx), &unit{ctx: ctx, done: make(chan error, 1), steps: []store.Step{forget}}))
	must(t, held.Rollback(ctx))
}

// The database goes away and comes back: meanwhile nobody waits long for an
// error, and afterwards everything goes on.
func TestReconnect(t *testing.T) {
	server := pgtest.Start(t)
	h := newHouse(t, Options{DSN: place(server)})
	kept := h.token(t, time.Now(), time.Hour)
	server.Kill(t)
	server.Run(t)
	again := func() {
		t.Helper()
		await(t, "a write", func() bool {
			return h.Write(context.Background(), store.RevokeGrants{Service: h.service, Client: 9}) == nil
		})
		if !h.has(t, kept) {
			t.Error("what was acknowledged is gone")
		}
	}
	again()
	server.Stop(t)
	slow := 0
	for range 100 {
		start := time.Now()
		err := h.Write(context.Background(), store.RevokeGrants{Service: h.service, Client: 9})
		_, readErr := h.Grant(context.Background(), h.service, h.grant)
		took := time.Since(start)
		if took > 2*time.Second {
			slow++ // once may be a pause of the machine
		}
		if !errors.Is(err, store.ErrUnavailable) || !errors.Is(readErr, store.ErrUnavailable) || slow > 1 {
			t.Fatalf("%v and %v after %v", err, readErr, took)
		}
	}
	server.Run(t)
	await(t, "a write", func() bool {
		return h.Write(context.Background(), store.RevokeGrants{Service: h.service, Client: 9}) == nil
	})
	if !h.has(t, kept) {
		t.Error("what was acknowledged is gone")
	}
}

// A write that waits too long for another's lock fails alone.
func TestSlowWriteFailsAlone(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)) + "&lock_timeout=300&idle_in_transaction_session_timeout=0", Writers: 1})
	ctx := context.Background()
	held, err := h.connect(t).Begin(ctx)
	must(t, err)
	_, err = held.Exec(ctx, `SELECT 1 FROM grants WHERE id = $1 FOR UPDATE`, int64(h.grant))
	must(t, err)
	blocked := make(chan error, 1)
	go func() { blocked <- h.Write(ctx, store.ExtendGrant{Service: h.service, ID: h.grant, Until: 5}) }()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := h.Write(ctx, store.RevokeGrants{Service: h.service, Client: model.ID(100 + i)}); err != nil {
				t.Errorf("another's write: %v", err)
			}
		})
	}
	wg.Wait()
	if err := <-blocked; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the write that waits: %v", err)
	}
	must(t, held.Rollback(ctx))
}

// Clock differences of some seconds are harmless; larger ones are reported, once.
func TestClocksApart(t *testing.T) {
	server := pgtest.Start(t)
	for _, test := range []struct {
		ahead time.Duration
		want  int
	}{{0, 0}, {3 * time.Second, 0}, {-3 * time.Second, 0}, {10 * time.Second, 1}, {-time.Hour, 1}} {
		var reported findings
		h := newHouse(t, Options{
			DSN: place(server), Report: reported.report, FollowInterval: 10 * time.Millisecond,
			Now: func() time.Time { return time.Now().Add(test.ahead) },
		})
		await(t, "a reading", func() bool { return h.clock.read.Load() && reported.named("clock") >= test.want })
		for range 5 {
			h.wake()
			time.Sleep(10 * time.Millisecond) // more readings, which must change nothing
		}
		if got := reported.named("clock"); got != test.want {
			t.Errorf("%v apart: reported %d times, want %d", test.ahead, got, test.want)
		}
		found, err := h.Inspect(context.Background())
		must(t, err)
		advised := 0
		for _, f := range found {
			if f.Name == "clock" && f.Advice != "" {
				advised++
			}
		}
		if advised != test.want {
			t.Errorf("%v apart: %+v", test.ahead, found)
		}
	}
}

// To be looked at, a database is opened as it is.
func TestAsIs(t *testing.T) {
	server := pgtest.Start(t)
	dsn := place(server)
	if _, err := Open(context.Background(), Options{DSN: dsn, AsIs: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("nothing is there: %v", err)
	}
	h := newHouse(t, Options{DSN: dsn})
	kept := h.token(t, time.Now(), time.Hour)
	looking := &house{Store: open(t, Options{DSN: dsn, AsIs: true}), service: h.service}
	if !looking.has(t, kept) {
		t.Error("a token is not found")
	}
	_, err := looking.Inspect(context.Background())
	must(t, err)
	must(t, looking.Close())
	_, err = h.connect(t).Exec(context.Background(), `DELETE FROM goose_db_version WHERE version_id > 0`)
	must(t, err)
	looking.Store = open(t, Options{DSN: dsn, AsIs: true})
	found, err := looking.Inspect(context.Background())
	if err != nil || len(found) != 1 || found[0].Name != "schema" || found[0].Advice == "" {
		t.Errorf("an older schema: %+v, %v", found, err)
	}
}

// An operator sees the server, the schema, the nodes and the partitions, and
// what is wrong with them.
func TestInspect(t *testing.T) {
	server := pgtest.Start(t, "fsync=off")
	h := newHouse(t, Options{DSN: place(server), SweepInterval: 10 * time.Millisecond})
	second := open(t, Options{DSN: h.opts.DSN, SweepInterval: 10 * time.Millisecond})
	var found []store.Finding
	count := func(name string) (n int) {
		for _, f := range found {
			if f.Name == name {
				n++
			}
		}
		return n
	}
	await(t, "both nodes", func() bool {
		var err error
		found, err = h.Inspect(context.Background())
		must(t, err)
		return count("node") == 2 && count("sweeper") == 0
	})
	for _, name := range []string{"server", "schema", "clock", "connections", "disk", "change feed", "partitions"} {
		if count(name) != 1 {
			t.Errorf("%s is there %d times: %+v", name, count(name), found)
		}
	}
	for _, f := range found {
		if failing := f.Name == "durability"; f.Failing != failing || f.Failing && !strings.Contains(f.Value, "fsync off") {
			t.Errorf("%+v", f)
		}
	}
	must(t, second.Close())
	found, err := h.Inspect(context.Background())
	must(t, err)
	if count("node") != 1 {
		t.Error("a node that has left is still there")
	}
}
