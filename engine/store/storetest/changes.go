package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// testChanges reads the feed from places on (promise 5: what was missed comes
// later, or is known to be missing).
func testChanges(t *testing.T, e *env) {
	t.Run("a service's changes by their numbers, with the times of their writing", func(t *testing.T) { testServiceChanges(t, e) })
	t.Run("no read looks at more than its limit", func(t *testing.T) { testChangesBounded(t, e) })
	t.Run("a place of another feed is a gap", func(t *testing.T) { testForeignPlaces(t, e) })
	t.Run("what was swept is a gap", func(t *testing.T) { testSweptChanges(t, e) })
	t.Run("what is gone past is complete, whoever writes", func(t *testing.T) { testSettled(t, e) })
	t.Run("places outlive the process", func(t *testing.T) {
		before := e.end(t)
		e.write(t, store.RevokeGrants{Service: e.service, Client: 7})
		e.reopen(t)
		if page := e.changes(t, e.service, before, 10); page.Gap || len(page.Changes) != 1 {
			t.Errorf("got %+v", page)
		}
	})
}

// end is the end of the feed.
func (e *env) end(t testing.TB) model.Place {
	t.Helper()
	page := e.changes(t, e.service, model.Place{}, 10)
	if !page.Gap || len(page.Changes) > 0 || page.Next.Feed == "" {
		t.Fatalf("from no place: %+v", page)
	}
	return page.Next
}

func (e *env) changes(t testing.TB, service model.ID, after model.Place, limit int) store.FeedPage {
	t.Helper()
	page, err := e.Changes(context.Background(), service, after, limit)
	if err != nil {
		t.Fatalf("Changes: %v", err)
	}
	return page
}

func testServiceChanges(t *testing.T, e *env) {
	other := e.newService(t)
	start, before := e.end(t), time.Now().UnixMilli()
	equal(t, "nothing yet", store.FeedPage{Next: start}, e.changes(t, e.service, start, 10), nil)
	e.write(t, store.RevokeGrants{Service: e.service, Client: 1}, store.RevokeGrants{Service: other, Client: 2})
	e.write(t, store.RevokeGrants{Service: e.service, Subject: "alice"})
	e.write(t, store.RevokeGrants{Service: other, Subject: "bob"})
	page := e.changes(t, e.service, start, 10)
	places := make([]model.Place, len(page.Changes))
	for i := range page.Changes {
		c := &page.Changes[i]
		places[i] = model.Place{Feed: start.Feed, Seq: c.Seq, At: c.At}
		if c.At < before || c.At > time.Now().UnixMilli() {
			t.Errorf("written at %d", c.At)
		}
		c.Seq, c.At = 0, 0
	}
	equal(t, "the changes", []model.Change{
		{Service: e.service, Kind: model.ChangeClientRevoked, Ref: 1}, {Service: e.service, Kind: model.ChangeSubjectRevoked, Subject: "alice"},
	}, page.Changes, nil)
	equal(t, "where to go on: behind those of others", e.end(t), page.Next, nil)
	if page = e.changes(t, e.service, places[0], 10); page.Gap || len(page.Changes) != 1 || page.Changes[0].Subject != "alice" {
		t.Errorf("behind the first: %+v", page)
	}
	if page = e.changes(t, other, places[1], 10); page.Gap || len(page.Changes) != 1 || page.Changes[0].Subject != "bob" {
		t.Errorf("the other service's: %+v", page)
	}
}

func testChangesBounded(t *testing.T, e *env) {
	other := e.newService(t)
	at := e.end(t)
	for range 9 {
		e.write(t, store.RevokeGrants{Service: other, Client: 1})
	}
	e.write(t, store.RevokeGrants{Service: e.service, Client: 1})
	var seen []int
	for reads := 0; reads < 5; reads++ {
		page := e.changes(t, e.service, at, 3)
		if page.Gap || page.Next.Seq-at.Seq > 3 {
			t.Fatalf("behind %d: %+v", at.Seq, page)
		}
		seen, at = append(seen, len(page.Changes)), page.Next
	}
	equal(t, "changes in each read", []int{0, 0, 0, 1, 0}, seen, nil)
}

func testForeignPlaces(t *testing.T, e *env) {
	e.write(t, store.RevokeGrants{Service: e.service, Client: 1}, store.RevokeGrants{Service: e.service, Client: 2})
	end := e.end(t)
	another := newEnv(t, e.factory).end(t)
	if another.Feed == end.Feed {
		t.Errorf("two stores have the feed %s", end.Feed)
	}
	for name, place := range map[string]model.Place{
		"none":                    {},
		"another store's":         another,
		"another feed":            {Feed: end.Feed + "x", Seq: end.Seq, At: end.At},
		"a number to come":        {Feed: end.Feed, Seq: end.Seq + 1, At: end.At},
		"a number below all":      {Feed: end.Feed, Seq: -1, At: end.At},
		"written at another time": {Feed: end.Feed, Seq: end.Seq, At: end.At - 1},
	} {
		equal(t, name, store.FeedPage{Gap: true, Next: end}, e.changes(t, e.service, place, 10), nil)
	}
}

func testSweptChanges(t *testing.T, e *env) {
	ctx := context.Background()
	first := e.end(t)
	e.write(t, store.RevokeGrants{Service: e.service, Client: 1})
	second := e.end(t)
	e.write(t, store.RevokeGrants{Service: e.service, Client: 2})
	last := e.end(t)
	young := time.UnixMilli(last.At).Add(59 * time.Minute)
	if _, err := e.Sweep(ctx, young, 1_000_000); err != nil {
		t.Fatal(err)
	}
	if page := e.changes(t, e.service, first, 10); page.Gap || len(page.Changes) != 2 {
		t.Errorf("within the hour: %+v", page)
	}
	if _, err := e.Sweep(ctx, young.Add(2*time.Minute), 1_000_000); err != nil {
		t.Fatal(err)
	}
	want := store.FeedPage{Gap: true, Next: last}
	equal(t, "behind the first", want, e.changes(t, e.service, first, 10), nil)
	equal(t, "behind the second", want, e.changes(t, e.service, second, 10), nil)
	equal(t, "behind the last, of which nothing is missing", store.FeedPage{Next: last}, e.changes(t, e.service, last, 10), nil)
	e.write(t, store.RevokeGrants{Service: e.service, Client: 3})
	if page := e.changes(t, e.service, last, 10); page.Gap || len(page.Changes) != 1 || page.Changes[0].Ref != 3 {
		t.Errorf("behind the last: %+v", page)
	}
}

// testSettled follows the feed while several processes write: one that goes on
// from each Next sees every change once.
func testSettled(t *testing.T, e *env) {
	const writers, each = 4, 50
	stores := []store.Store{e.Store, e.open(t)}
	at := e.end(t)
	ended := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := range each {
				step := store.RevokeGrants{Service: e.service, Client: model.ID(1 + w*each + i)}
				if err := stores[w%2].Write(context.Background(), step); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	seen := map[model.ID]int{}
	follow := func() (more bool) {
		page := e.changes(t, e.service, at, 7)
		if page.Gap {
			t.Fatal("a gap")
		}
		for _, c := range page.Changes {
			seen[c.Ref]++
		}
		more, at = page.Next != at, page.Next
		return more
	}
	for running := writers; running > 0; {
		select {
		case err := <-ended:
			if running--; err != nil {
				t.Error(err)
			}
		default:
			follow()
		}
	}
	for follow() {
	}
	want := map[model.ID]int{}
	for i := range writers * each {
		want[model.ID(1+i)] = 1
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}
