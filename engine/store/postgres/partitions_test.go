package postgres

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// The design on expiry: a partition goes as a whole when everything in it has
// expired, and no step assumes that what is old has.
func TestPartitionsComeAndGo(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	other := &house{Store: open(t, Options{DSN: h.opts.DSN, Now: clock.now, SweepInterval: -1}), service: h.service, grant: h.grant}
	names := func() string {
		var list []string
		for _, part := range h.parts.list(accessTokens) {
			list = append(list, strings.TrimPrefix(part.name, accessTokens+"_"))
		}
		return strings.Join(list, " ")
	}
	hour := func(n int) string { return start.Add(time.Duration(n) * time.Hour).UTC().Format("20060102t150405") }

	// Three that are made in the same hour, and live for an hour, a day and 31.7 million years.
	short, day, forever := h.token(t, start, time.Hour), h.token(t, start.Add(time.Second), 24*time.Hour), h.token(t, start.Add(2*time.Second), 1e6*time.Hour)
	early := h.token(t, start.Add(-48*time.Hour), 100*time.Hour) // of a node whose clock was wrong
	late := h.token(t, start.Add(96*time.Hour), time.Hour)
	for range 30 { // others, beside which those are few
		h.token(t, start, time.Hour)
	}
	if h.parts.find(accessTokens, short) == nil || h.parts.find(accessTokens, early) != nil || h.parts.find(accessTokens, late) != nil {
		t.Fatalf("partitions %s", names())
	}
	for _, step := range []struct {
		after time.Duration
		parts string
		short bool
		day   bool
	}{
		{0, hour(0) + " " + hour(1), true, true},
		{90 * time.Minute, hour(0) + " " + hour(1) + " " + hour(2) + " " + hour(3), true, true},
		// The last hours had no tokens; the first has two that live, without the others.
		{5 * time.Hour, hour(0) + " " + hour(5) + " " + hour(6), false, true},
		{25 * time.Hour, hour(0) + " " + hour(25) + " " + hour(26), false, false},
	} {
		clock.set(start.Add(step.after))
		h.maintain(context.Background(), clock.now())
		if got := names(); got != step.parts {
			t.Errorf("after %v: partitions %s, want %s", step.after, got, step.parts)
		}
		for _, node := range []*house{h, other} { // the other finds out when it asks
			if got := node.has(t, short); got != step.short {
				t.Errorf("after %v: the short one is there: %v", step.after, got)
			}
			if got := node.has(t, day); got != step.day {
				t.Errorf("after %v: the day's is there: %v", step.after, got)
			}
			if !node.has(t, forever) || !node.has(t, early) || !node.has(t, late) {
				t.Errorf("after %v: one that lives is gone", step.after)
			}
		}
	}
	// The other node, which knows of no new partition, writes into it all the same.
	fresh := other.token(t, start.Add(25*time.Hour), time.Hour)
	if !h.has(t, fresh) || !other.has(t, fresh) {
		t.Error("what was written by way of the whole table is not found")
	}
}

// Rows of a node whose clock is hours ahead do not keep partitions of that time,
// or of any other table, from being made.
func TestPartitionsBesideARowAhead(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	ahead := h.token(t, start.Add(5*time.Hour), 10*time.Hour)
	for n := 1; n <= 6; n++ {
		clock.set(start.Add(time.Duration(n) * time.Hour))
		h.maintain(context.Background(), clock.now())
		id := h.token(t, clock.now(), time.Hour)
		if !h.has(t, id) || !h.has(t, ahead) {
			t.Fatalf("after %d hours a token is not found", n)
		}
		if (h.parts.find(accessTokens, id) == nil) != (n == 5) {
			t.Errorf("after %d hours: partitions %v", n, h.parts.list(accessTokens))
		}
	}
}

// A partition with many rows that live is kept, and looked at again later.
func TestPartitionIsKept(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	short, long := h.token(t, start, time.Hour), h.token(t, start.Add(time.Minute), 12*time.Hour)
	h.token(t, start.Add(time.Minute), 12*time.Hour)
	for _, after := range []time.Duration{4 * time.Hour, 6 * time.Hour, 11 * time.Hour} {
		clock.set(start.Add(after))
		h.maintain(context.Background(), clock.now())
		if !h.has(t, long) || !h.has(t, short) || h.parts.find(accessTokens, long) == nil {
			t.Fatalf("after %v it is gone, or was copied for few", after)
		}
	}
	clock.set(start.Add(20 * time.Hour))
	h.maintain(context.Background(), clock.now())
	if h.has(t, long) || h.has(t, short) || h.parts.find(accessTokens, long) != nil {
		t.Error("it stays after everything has expired")
	}
}

// An export holds what lived at one moment, also what was moved meanwhile out of a
// partition that went; and what is put then into a partition that has gone is kept.
func TestExportWhilePartitionsGo(t *testing.T) {
	start := time.Now().Truncate(time.Hour)
	clock := &movable{at: start}
	h := newHouse(t, Options{DSN: place(pgtest.Start(t)), Now: clock.now})
	ctx := context.Background()
	h.token(t, start, 1e6*time.Hour)
	forever := h.token(t, start.Add(time.Hour), 1e6*time.Hour) // which is put together with the one before
	before := h.parts.find(accessTokens, forever).name
	clock.set(start.Add(10 * time.Hour))
	exported := func(then func()) (row store.Row) {
		must(t, h.Rows(ctx, 0, func(r store.Row) error {
			then()
			if a, ok := r.(store.AccessTokenRow); ok && a.Token.ID == forever {
				row = r
			}
			return nil
		}))
		return row
	}
	if exported(sync.OnceFunc(func() { h.maintain(ctx, clock.now()) })) == nil {
		t.Error("a token that lives is not in the export")
	}
	row := exported(func() {})
	other := open(t, Options{DSN: h.opts.DSN, Now: clock.now, SweepInterval: -1})
	clock.set(start.Add(11 * time.Hour)) // when what failed is tried again
	h.maintain(ctx, clock.now())
	if h.parts.find(accessTokens, forever).name == before || other.parts.find(accessTokens, forever).name != before {
		t.Fatal("the partition has not gone, or the other node knows of that")
	}
	must(t, other.PutRows(ctx, []store.Row{row}))
	if found, err := other.Find(ctx, []store.Row{row}); err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
}

// A node that was started once with a clock a month ahead, and is gone, keeps
// nobody's tokens from having partitions.
func TestPartitionsOfAnotherTime(t *testing.T) {
	dsn := place(pgtest.Start(t))
	must(t, open(t, Options{DSN: dsn, SweepInterval: -1, Now: wrongBy(30 * 24 * time.Hour)}).Close())
	now := time.Now() // at which it stays, whatever hour begins
	h := newHouse(t, Options{DSN: dsn, Now: func() time.Time { return now }})
	for _, table := range []string{accessTokens, handles, refreshTokens} {
		for _, at := range []time.Time{now, now.Add(h.opts.Widths[table])} {
			if h.parts.find(table, currentID(at)) == nil {
				t.Errorf("%s has no partition for %s: %v", table, at, h.parts.list(table))
			}
		}
	}
}

// While somebody reads everything for long (a dump), partitions cannot be made:
// nodes start all the same, those that serve wait for half a second at most, and
// what has no partition yet is found among the rest.
func TestPartitionsDuringADump(t *testing.T) {
	dsn := place(pgtest.Start(t)) + "&idle_in_transaction_session_timeout=0"
	h := newHouse(t, Options{DSN: dsn})
	ctx := context.Background()
	dump, err := h.connect(t).Begin(ctx)
	must(t, err)
	_, err = dump.Exec(ctx, `LOCK TABLE access_tokens, refresh_tokens, handles IN ACCESS SHARE MODE`)
	must(t, err)
	var reported findings
	later := &house{service: h.service, grant: h.grant, Store: open(t, Options{DSN: dsn, SweepInterval: -1, Now: wrongBy(3 * time.Hour), Report: reported.report})}
	if reported.named("partitions") == 0 {
		t.Error("nothing is reported")
	}
	id := later.token(t, time.Now().Add(3*time.Hour), time.Hour)
	if !later.has(t, id) || !h.has(t, id) {
		t.Error("a token without a partition is not found")
	}
	ended, slowest, second := make(chan struct{}), time.Duration(0), time.Duration(0)
	go func() {
		defer close(ended)
		later.maintain(ctx, later.opts.Now())
	}()
	for done := false; !done; {
		select {
		case <-ended:
			done = true
		default:
		}
		begin := time.Now()
		if !h.has(t, id) {
			t.Error("the token is not found while partitions are tried")
		}
		took := time.Since(begin)
		slowest, second = max(slowest, took), max(second, min(slowest, took))
	}
	if second > 2*time.Second { // the machine may pause once, each table is tried in its turn
		t.Errorf("lookups took %s and %s", slowest, second)
	}
	must(t, dump.Rollback(ctx))
	later.maintain(ctx, later.opts.Now())
	if later.parts.find(refreshTokens, currentID(later.opts.Now().Add(24*time.Hour))) == nil {
		t.Error("afterwards there are no partitions")
	}
}
