package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// movable is a clock that a test sets.
type movable struct {
	mu sync.Mutex
	at time.Time
}

func (m *movable) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *movable) set(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = at
}

// findings collects what a store reports.
type findings struct {
	mu   sync.Mutex
	list []store.Finding
}

func (f *findings) report(found store.Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, found)
}

func (f *findings) named(name string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, found := range f.list {
		if found.Name == name {
			n++
		}
	}
	return n
}

func open(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// house is a store with a service and a grant in it that lasts.
type house struct {
	*Store
	service model.ID
	grant   model.ID
}

func newHouse(t testing.TB, opts Options) *house {
	t.Helper()
	if opts.SweepInterval == 0 {
		opts.SweepInterval = -1
	}
	h := &house{Store: open(t, opts)}
	var err error
	if h.service, err = h.EnsureService(context.Background(), "https://as.example"); err != nil {
		t.Fatal(err)
	}
	h.grant = handle.First(time.Now())
	g := model.Grant{Service: h.service, ID: h.grant, Client: 1, Subject: "alice", Scopes: []string{"openid"}, ExpiresAt: 1 << 50}
	if err := h.Write(context.Background(), store.InsertGrant{Grant: g}); err != nil && !errors.Is(err, store.ErrConflict) {
		t.Fatal(err)
	}
	return h
}

// token inserts an access token that is drawn at a time and lives for a while.
func (h *house) token(t testing.TB, at time.Time, lives time.Duration) model.ID {
	t.Helper()
	id := handle.NewIDs(func() time.Time { return at }, nil).Next()
	a := model.AccessToken{Service: h.service, ID: id, Grant: h.grant, JWT: true, ExpiresAt: at.Add(lives).Unix()}
	if err := h.Write(context.Background(), store.InsertAccessToken{Token: a}); err != nil {
		t.Fatal(err)
	}
	return id
}

func (h *house) has(t testing.TB, id model.ID) bool {
	t.Helper()
	_, _, err := h.AccessToken(context.Background(), h.service, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// connect gives a connection of the test's own to a store's tables.
func (h *house) connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(context.Background(), h.pool.Config().ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// await waits for something that happens in the background.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// must stops the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
