package sqlite

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// readFrom is a page of the feed, and the number of its changes.
func readFrom(t *testing.T, s *Store, service model.ID, after model.Place) (store.FeedPage, int) {
	t.Helper()
	page, err := s.Changes(context.Background(), service, after, 100)
	if err != nil {
		t.Fatal(err)
	}
	return page, len(page.Changes)
}

// A database that was restored from a backup gives the same numbers again to
// other changes: a place from before then is no place of it, though it has the
// same name and the number is there.
func TestRestoredBackupIsAGap(t *testing.T) {
	path, restored := dbPath(t), dbPath(t)
	revoke := func(s *Store, service model.ID, times int) {
		for range times {
			if err := s.Write(context.Background(), store.RevokeGrants{Service: service, Client: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	at := func(seconds int64) func(*Options) {
		return func(o *Options) { o.Now = func() time.Time { return time.Unix(seconds, 0) } }
	}
	s, service := openAt(t, path, at(1000))
	revoke(s, service, 2)
	shared, _ := readFrom(t, s, service, model.Place{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, _ = openAt(t, path, at(1001))
	revoke(s, service, 3)
	lost, _ := readFrom(t, s, service, model.Place{})

	if err := os.WriteFile(restored, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = openAt(t, restored, at(1002))
	if page, _ := readFrom(t, s, service, lost.Next); !page.Gap {
		t.Errorf("a number that is not there yet: %+v", page)
	}
	revoke(s, service, 4)
	if page, _ := readFrom(t, s, service, lost.Next); !page.Gap {
		t.Errorf("a number that was given again: %+v", page)
	}
	if page, n := readFrom(t, s, service, shared.Next); page.Gap || n != 4 {
		t.Errorf("a place before the backup: %+v", page)
	}
}

// What the previous version inserts and sweeps beside this one is in the feed
// and noted: it knows neither milliseconds nor places.
func TestPreviousVersionBeside(t *testing.T) {
	path := dbPath(t)
	madeAt(t, path, 2)
	old := openRaw(t, path)
	const insert = `INSERT INTO changes (service, kind, ref, subject, at) VALUES (1, 2, 7, '', 100)`
	must(t, old, insert)
	s, service := openAt(t, path, nil)
	start, _ := readFrom(t, s, service, model.Place{})
	if want := (model.Place{Feed: start.Next.Feed, Seq: 1, At: 100_000}); start.Next != want {
		t.Errorf("the end is at %+v, want %+v", start.Next, want)
	}
	must(t, old, insert)
	page, n := readFrom(t, s, service, start.Next)
	if page.Gap || n != 1 || page.Changes[0].At != 100_000 {
		t.Errorf("what the previous version wrote: %+v", page)
	}
	must(t, old, `DELETE FROM changes WHERE seq = 1`)
	if again, n := readFrom(t, s, service, start.Next); again.Gap || n != 1 {
		t.Errorf("when the row of the place itself is gone: %+v", again)
	}
	must(t, old, `DELETE FROM changes`)
	if again, _ := readFrom(t, s, service, start.Next); !again.Gap {
		t.Errorf("when the next was swept: %+v", again)
	}
	if again, _ := readFrom(t, s, service, page.Next); again.Gap {
		t.Errorf("behind what was swept: %+v", again)
	}
}
