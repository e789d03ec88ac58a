package postgres

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// refs collects what a feed gives.
type refs struct {
	mu   sync.Mutex
	list []model.ID
}

func (r *refs) add(c model.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, c.Ref)
}

func (r *refs) has(ref model.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.list {
		if id == ref {
			return true
		}
	}
	return false
}

// The design on the change feed: a row that commits late under a lower number
// must not be missed. Here a transaction takes a number and is slow to commit:
// whoever comes after waits, so that nobody reads past it.
func TestLateCommit(t *testing.T) {
	for name, quiet := range map[string]bool{"with NOTIFY": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, Options{DSN: place(pgtest.Start(t)), NoNotify: quiet})
			other := open(t, Options{DSN: h.opts.DSN, SweepInterval: -1, NoNotify: quiet})
			var seen refs
			defer other.Subscribe(seen.add)()
			ctx := context.Background()
			page, err := h.Changes(ctx, h.service, model.Place{}, 1)
			must(t, err)
			before := page.Next

			slow, err := h.connect(t).Begin(ctx)
			must(t, err)
			var number int64
			must(t, slow.QueryRow(ctx, `UPDATE feed SET last = last + 1, last_at = 77 WHERE id = 1 RETURNING last`).Scan(&number))
			_, err = slow.Exec(ctx, `INSERT INTO changes (seq, service, kind, ref, subject, at) VALUES ($1, $2, 4, 100, '', 77)`, number, int64(h.service))
			must(t, err)
			quick := make(chan error, 1)
			go func() { quick <- h.Write(ctx, store.RevokeGrants{Service: h.service, Client: 200}) }()
			select {
			case err := <-quick:
				t.Fatalf("a later change was committed first: %v", err)
			case <-time.After(300 * time.Millisecond): // longer than a look at the feed
			}
			if page, err = h.Changes(ctx, h.service, before, 10); err != nil || page.Next != before {
				t.Fatalf("it went to %+v, %v", page, err)
			}
			must(t, slow.Commit(ctx))
			must(t, <-quick)
			await(t, "both changes", func() bool { return seen.has(100) && seen.has(200) })
			page, err = h.Changes(ctx, h.service, before, 10)
			must(t, err)
			if len(page.Changes) != 2 || page.Changes[0].Ref != 100 || page.Changes[1].Ref != 200 || page.Changes[1].Seq != number+1 {
				t.Errorf("got %+v", page)
			}
		})
	}
}

// A node that falls silent in the middle of a transaction does not hold the feed
// for ever: the server ends the transaction.
func TestSilentNode(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)) + "&lock_timeout=4000"})
	ctx := context.Background()
	conn := h.connect(t)
	_, err := conn.Exec(ctx, `SET idle_in_transaction_session_timeout = 500`) // others may pause
	must(t, err)
	silent, err := conn.Begin(ctx)
	must(t, err)
	_, err = silent.Exec(ctx, `UPDATE feed SET last = last + 1 WHERE id = 1`)
	must(t, err)
	must(t, h.Write(ctx, store.RevokeGrants{Service: h.service, Client: 1}))
}

// A database that was restored, or a replica that took over without having seen
// everything, has another feed than the one that was followed: what was missed
// may be anything, so that caches are told of every service.
func TestAnotherFeed(t *testing.T) {
	for name, statement := range map[string]string{
		"fewer numbers": `UPDATE feed SET last = last - 1; DELETE FROM changes`,
		"another name":  `UPDATE feed SET name = 'another', last = last + 10`,
		"an hour's gap": `UPDATE feed_floor SET floor = 1000; UPDATE feed SET last = 1000`,
	} {
		t.Run(name, func(t *testing.T) {
			var reported findings
			h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Report: reported.report})
			ctx := context.Background()
			must(t, h.Write(ctx, store.RevokeGrants{Service: h.service, Client: 1}))
			told := make(chan model.Change, 10)
			defer h.Subscribe(func(c model.Change) { told <- c })()
			_, err := h.connect(t).Exec(ctx, statement) // as one: half of it would be one more feed
			must(t, err)
			select {
			case c := <-told:
				if c.Kind != model.ChangeEverything || c.Service != h.service {
					t.Errorf("told %+v", c)
				}
			case <-time.After(time.Minute):
				t.Fatal("nobody was told")
			}
			await(t, "the report", func() bool { return reported.named("change feed") == 1 })
			must(t, h.Write(ctx, store.RevokeGrants{Service: h.service, Client: 42}))
			for c := range told {
				if c.Ref == 42 {
					return // the new feed is followed
				}
			}
		})
	}
}

// lose makes the feed that of a replica which took over without having seen the
// last changes.
func (h *house) lose(t *testing.T, n int) {
	t.Helper()
	for _, s := range []string{
		`DELETE FROM changes WHERE seq > (SELECT last FROM feed) - $1`,
		`UPDATE feed SET last = last - $1, last_at = coalesce((SELECT at FROM changes WHERE seq = last - $1), 0)`,
	} {
		_, err := h.connect(t).Exec(t.Context(), s, n)
		must(t, err)
	}
}

// A failover that lost some changes is noticed even when the new primary has told
// as many others since: those might be revocations.
func TestFeedOvertaken(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), FollowInterval: time.Hour, NoNotify: true})
	ctx := context.Background()
	for i := range 3 {
		must(t, h.Write(ctx, store.RevokeGrants{Service: h.service, Client: model.ID(10 + i)}))
	}
	var told []model.Change
	defer h.Subscribe(func(c model.Change) { told = append(told, c) })()
	h.lose(t, 3)
	other := open(t, Options{DSN: h.opts.DSN, SweepInterval: -1, NoNotify: true})
	for i := range 3 {
		must(t, other.Write(ctx, store.RevokeGrants{Service: h.service, Client: model.ID(20 + i)}))
	}
	h.catchUp(ctx)
	if len(told) == 0 || told[0].Kind != model.ChangeEverything {
		t.Fatalf("told %+v", told)
	}
	told = nil
	must(t, other.Write(ctx, store.RevokeGrants{Service: h.service, Client: 30}))
	if h.catchUp(ctx); len(told) != 1 || told[0].Ref != 30 {
		t.Errorf("of the new feed it told %+v", told)
	}
}

// So is one that lost changes which nobody but this node had heard of, whether the
// new primary has told others, or this node itself has, under their numbers or not.
func TestFeedLostOwn(t *testing.T) {
	server := pgtest.Start(t)
	revoke := func(t *testing.T, s *Store, service model.ID, clients ...model.ID) {
		t.Helper()
		for _, client := range clients {
			must(t, s.Write(t.Context(), store.RevokeGrants{Service: service, Client: client}))
		}
	}
	for name, test := range map[string]struct {
		unread, lost int // changes of others before its own, and how many go with that
		since, own   []model.ID
	}{
		"and nothing told":    {lost: 1},
		"and told":            {lost: 1, since: []model.ID{20, 21}},
		"and told by itself":  {lost: 1, own: []model.ID{30}},
		"with others between": {unread: 4, lost: 3, since: []model.ID{20, 21, 22, 23}},
		"and told by both":    {unread: 4, lost: 3, since: []model.ID{20, 21}, own: []model.ID{30, 31}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, Options{DSN: place(server), FollowInterval: time.Hour, NoNotify: true})
			other := open(t, Options{DSN: h.opts.DSN, SweepInterval: -1, NoNotify: true})
			revoke(t, other, h.service, 1)
			h.catchUp(t.Context())
			for i := range test.unread {
				revoke(t, other, h.service, model.ID(10+i))
			}
			revoke(t, h.Store, h.service, 19)
			h.lose(t, test.lost)
			revoke(t, other, h.service, test.since...)
			revoke(t, h.Store, h.service, test.own...)
			var told []model.Change
			defer h.Subscribe(func(c model.Change) { told = append(told, c) })()
			if h.catchUp(t.Context()); len(told) != 1 || told[0].Kind != model.ChangeEverything {
				t.Fatalf("told %+v", told)
			}
			told = nil
			revoke(t, other, h.service, 40)
			revoke(t, h.Store, h.service, 41)
			revoke(t, other, h.service, 42)
			if h.catchUp(t.Context()); len(told) != 3 || told[0].Ref != 41 || told[1].Ref != 40 || told[2].Ref != 42 {
				t.Errorf("of the new feed it told %+v", told)
			}
		})
	}
}

// A feed that is followed for long, swept meanwhile and told by several nodes, is
// taken for the same all the time, and each change is given once.
func TestSameFeed(t *testing.T) {
	var reported findings
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), FollowInterval: time.Hour, NoNotify: true, Report: reported.report})
	other := open(t, Options{DSN: h.opts.DSN, SweepInterval: -1, NoNotify: true})
	given := 0
	defer h.Subscribe(func(model.Change) { given++ })()
	ctx := context.Background()
	for round := range 4 {
		for i := range 5 {
			s := []*Store{h.Store, other}[i%2]
			must(t, s.Write(ctx, store.RevokeGrants{Service: h.service, Client: 1}, store.RevokeGrants{Service: h.service, Client: 2}))
			h.catchUp(ctx)
		}
		_, err := h.Sweep(ctx, time.Now().Add(time.Duration(round)*time.Hour), 1000)
		must(t, err)
		h.catchUp(ctx)
	}
	if n := reported.named("change feed"); n > 0 {
		t.Errorf("%d times it was taken for another", n)
	}
	if given != 4*5*2 {
		t.Errorf("it gave %d changes of %d", given, 4*5*2)
	}
}
