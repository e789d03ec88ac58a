package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// testBench has all that rows need which are measured at a store.
func testBench(t *testing.T, tokens int) *bench {
	t.Helper()
	b := &bench{options: options{rounds: 1, duration: 200 * time.Millisecond, connections: 8, tokens: tokens}, folder: t.TempDir()}
	t.Cleanup(func() {
		if b.database != nil {
			b.database.stop()
		}
	})
	return b
}

// places are where the rows keep their stores. Without PostgreSQL a test skips,
// unless GATEHOUSE_REQUIRE says that nothing may.
var places = map[string]newPlace{"SQLite": liteFolder, "PostgreSQL": pgDatabase}

func skipIfMissing(t *testing.T, err error) {
	t.Helper()
	var missing notInstalled
	if errors.As(err, &missing) && os.Getenv("GATEHOUSE_REQUIRE") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func newTestPlace(t *testing.T, b *bench, at newPlace, name string) place {
	t.Helper()
	p, err := at(t.Context(), b, name)
	skipIfMissing(t, err)
	return p
}

// A store that was filled is as one that has written every token itself: each is
// found, with its grant, and none beside them.
func TestFilled(t *testing.T) {
	for name, at := range places {
		t.Run(name, func(t *testing.T) {
			p := newTestPlace(t, testBench(t, 0), at, "filled")
			const n = 3*fillStep + 7
			list, grown, err := filled(t.Context(), p, n, idsOver, time.Now().Add(liveFor))
			if err != nil {
				t.Fatal(err)
			}
			if each := float64(grown) / n; each < 50 || each > 300 {
				t.Errorf("%.0f bytes a token", each)
			}
			err = withStore(t.Context(), p, time.Now, func(st store.Store) error {
				for _, i := range []int{0, 1, tokensPerGrant - 1, tokensPerGrant, fillStep, n - 1} {
					if err := list.look(t.Context(), st, i); err != nil {
						t.Errorf("token %d: %v", i, err)
					}
				}
				for _, i := range []int{-1, n} {
					if _, _, err := st.AccessToken(t.Context(), list.service, list.id(i)); !errors.Is(err, store.ErrNotFound) {
						t.Errorf("token %d: %v", i, err)
					}
				}
				got := 0
				err := st.Rows(t.Context(), list.service, func(row store.Row) error {
					if _, ok := row.(store.AccessTokenRow); ok {
						got++
					}
					return nil
				})
				if got != n {
					t.Errorf("%d tokens, want %d", got, n)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// What the server makes by the million is as large as what the store writes, and
// lies in the partitions of its time.
func TestFilledRowsAreTheStores(t *testing.T) {
	p := newTestPlace(t, testBench(t, 0), pgDatabase, "rows").(pg)
	list, _, err := filled(t.Context(), p, 1000, idsOver, time.Now().Add(liveFor))
	if err != nil {
		t.Fatal(err)
	}
	err = withStore(t.Context(), p, time.Now, func(st store.Store) error { return list.inserts(st)(t.Context()) })
	if err != nil {
		t.Fatal(err)
	}
	err = p.connected(t.Context(), func(conn *pgx.Conn) error {
		var sizes, rest int
		err := conn.QueryRow(t.Context(), `SELECT count(DISTINCT (pg_column_size(hash), num_nulls(scopes, resources, jkt, x5t))),
			(SELECT count(*) FROM access_tokens_rest) FROM access_tokens`).Scan(&sizes, &rest)
		if sizes != 1 || rest != 0 {
			t.Errorf("rows of %d sizes, %d of them outside the partitions", sizes, rest)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The tests from here on, but for TestObserve, run side by side: they wait more than
// they work, and each has a PostgreSQL of its own.

// The growth rows end with a figure and every number that the page needs.
func TestGrowth(t *testing.T) {
	t.Parallel()
	for name, at := range places {
		t.Run(name, func(t *testing.T) {
			b := testBench(t, 20_000)
			_ = newTestPlace(t, b, at, "there")
			r := measureGrowth(at, 300)(t.Context(), b, row{})
			if r.err != nil {
				t.Fatal(r.err)
			}
			if !strings.HasPrefix(r.figure, "20000 tokens: ") || r.numbers["bytes"] < 50 || r.numbers["bytes"] > 300 ||
				r.numbers["lookups_slower"] <= 0 || r.numbers["inserts_slower"] <= 0 {
				t.Errorf("%s, %v", r.figure, r.numbers)
			}
		})
	}
}

// A node whose store was filled answers for the tokens in it as for its own.
func TestGrowthHTTP(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]nodePlace{"SQLite": liteNode, "PostgreSQL": pgNode} {
		t.Run(name, func(t *testing.T) {
			b, err := newBench(t.Context(), options{rounds: 1, duration: 200 * time.Millisecond, connections: 8, tokens: 20_000})
			if err != nil {
				t.Fatal(err)
			}
			defer b.close()
			r := measureGrowthHTTP(at)(t.Context(), b, row{})
			if r.skipped != "" {
				skipIfMissing(t, notInstalled(r.skipped))
			}
			if r.err != nil {
				t.Fatal(r.err)
			}
			if !strings.HasPrefix(r.figure, "20000 tokens: ") || r.numbers["introspections"] <= 0 || r.numbers["issued"] <= 0 {
				t.Errorf("%s, %v", r.figure, r.numbers)
			}
		})
	}
}

// All expired tokens go while others are looked up and issued, none of which
// fails, and the times are those of before and of meanwhile.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for name, at := range places {
		t.Run(name, func(t *testing.T) {
			p := newTestPlace(t, testBench(t, 0), at, "expiry")
			e, err := expire(t.Context(), p, 5000, 3*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for what, list := range map[string][]time.Duration{
				"looked before": e.before.looked, "issued before": e.before.issued, "looked meanwhile": e.during.looked, "issued meanwhile": e.during.issued,
			} {
				if len(list) == 0 {
					t.Errorf("%s: none", what)
				}
			}
			if r := expiryResult([]*expiry{e}); e.took <= 0 || !strings.HasPrefix(r.figure, "5000 gone in ") {
				t.Errorf("%s, %s", e.took, r.figure)
			}
		})
	}
}

// An expiry is good as long as neither p99 is more than doubled.
func TestExpiryResult(t *testing.T) {
	ms := func(n time.Duration) []time.Duration { return []time.Duration{n * time.Millisecond} }
	for _, test := range []struct {
		name           string
		looked, issued time.Duration // meanwhile; 10 ms before
		good           bool
	}{{"doubled", 20, 20, true}, {"lookups suffer", 21, 10, false}, {"inserts suffer", 10, 21, false}} {
		e := expiry{before: lookedAndIssued{ms(10), ms(10)}, during: lookedAndIssued{ms(test.looked), ms(test.issued)}}
		if got := expiryResult([]*expiry{&e}); got.good != test.good || got.numbers["lookup_worst"] != float64(test.looked)/10 {
			t.Errorf("%s: %s", test.name, got.figure)
		}
	}
}

// What is said to be one operation's is: an insert writes one row, reads none,
// and tells the feed nothing. What goes on beside it is not counted.
func TestObserve(t *testing.T) {
	p := newTestPlace(t, testBench(t, 0), pgDatabase, "observed").(pg)
	list, _, err := filled(t.Context(), p, 1000, idsOver, time.Now().Add(liveFor))
	if err != nil {
		t.Fatal(err)
	}
	err = withStore(t.Context(), p, time.Now, func(st store.Store) error {
		defer beside(t, p.dsn, `SELECT count(scopes) FROM (SELECT scopes FROM grants ORDER BY id LIMIT 50) AS g`)()
		u, err := observe(t.Context(), p.server, p.dsn, func() time.Duration { return processCPU("self") },
			atStore(p.server, repeat(8, list.inserts(st))), time.Second, statsDelay)
		if u.written < 0.98 || u.written > 1.05 || u.read > 1.1 || u.tellings != 0 || u.wal < 100 || u.postgres <= 0 || u.node <= 0 {
			t.Errorf("each took %s", u)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// beside asks PostgreSQL something a hundred times a second, until stop.
func beside(t *testing.T, dsn, question string) (stop func()) {
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var asker sync.WaitGroup
	asker.Go(func() {
		ticks := time.NewTicker(10 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				if _, err := conn.Exec(t.Context(), question); err != nil {
					t.Error(err)
				}
			case <-done:
				if err := conn.Close(t.Context()); err != nil {
					t.Error(err)
				}
				return
			}
		}
	})
	return func() {
		close(done)
		asker.Wait()
	}
}

// The feed's row and the bytes' end with numbers: every write tells the feed.
func TestFeedAndBytes(t *testing.T) {
	t.Parallel()
	b := testBench(t, 0)
	_ = newTestPlace(t, b, pgDatabase, "there")
	for name, measure := range map[string]func(context.Context, *bench, row) result{"feed": measureFeed, "bytes": measureBytes} {
		r := measure(t.Context(), b, row{})
		if r.err != nil {
			t.Fatalf("%s: %v", name, r.err)
		}
		for number, value := range r.numbers {
			if value <= 0 {
				t.Errorf("%s: %s %v", name, number, value)
			}
		}
	}
}
