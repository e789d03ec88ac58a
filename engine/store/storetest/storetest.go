// Package storetest is the suite that every store must pass. A store's own
// tests run it:
//
//	var factory = storetest.Factory{New: …, Open: …}
//
//	func TestMain(m *testing.M) { storetest.Main(m, factory) }
//	func TestStore(t *testing.T) { storetest.Run(t, factory) }
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Factory makes the stores that are tested.
type Factory struct {
	// New makes an empty place for a store's data, which goes with the test,
	// and returns its address: a path, or a connection string.
	New func(t testing.TB) (address string)
	// Open opens the data at an address: again after a Close or a crash, and
	// a second time beside a store that is open. The store must not sweep by
	// itself; the suite calls Sweep. Child processes call Open too.
	Open func(ctx context.Context, address string) (store.Store, error)
	// Settle waits until what a process had asked that was killed is done or lost,
	// where the data is another process's.
	Settle func(t testing.TB, address string)
	// Brief: races and crashes are repeated less often, as with -short.
	Brief bool
}

// Run runs the suite.
func Run(t *testing.T, f Factory) {
	for _, group := range []struct {
		name string
		run  func(t *testing.T, e *env)
	}{
		{"grants", testGrants},
		{"access tokens", testAccessTokens},
		{"one access token a subject and client", testKeepAccessToken},
		{"refresh tokens", testRefreshTokens},
		{"one-time handles", testHandles},
		{"values used once", testUseOnce},
		{"sessions", testSessions},
		{"consents", testConsents},
		{"accounts", testAccounts},
		{"keys", testKeys},
		{"registered clients", testClients},
		{"registry", testRegistry},
		{"secrets", testSecrets},
		{"leases", testLeases},
		{"archive", testArchive},
		{"writes", testWrites},
		{"contexts", testContexts},
		{"threat 31: nothing is read or changed under another service's id", testIsolation},
		{"sweep", testSweep},
		{"feed", testFeed},
		{"places in the feed", testChanges},
		{"any order of steps", testAnyOrder},
		{"races", testRaces},
		{"reopen", testReopen},
		{"close", testClose},
		{"crash", testCrash},
	} {
		t.Run(group.name, func(t *testing.T) { group.run(t, newEnv(t, f)) })
	}
}

// env is an open store with a service in it.
type env struct {
	store.Store
	factory Factory
	address string
	service model.ID
}

func newEnv(t testing.TB, f Factory) *env {
	t.Helper()
	e := &env{factory: f, address: f.New(t)}
	e.Store = e.open(t)
	e.service = e.newService(t)
	return e
}

// open opens the same data once more.
func (e *env) open(t testing.TB) store.Store {
	t.Helper()
	s, err := e.factory.Open(context.Background(), e.address)
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

// reopen closes the store and opens its data again.
func (e *env) reopen(t testing.TB) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatalf("closing the store: %v", err)
	}
	e.Store = e.open(t)
}

// drawn counts the ids that were drawn. They are as long as real ones.
var drawn atomic.Int64

func newID() model.ID { return model.ID(1<<60 + drawn.Add(1)) }

func (e *env) newService(t testing.TB) model.ID {
	t.Helper()
	id, err := e.EnsureService(context.Background(), fmt.Sprintf("https://as%d.example", newID()))
	if err != nil {
		t.Fatalf("EnsureService: %v", err)
	}
	return id
}

// write is a Write that must succeed.
func (e *env) write(t testing.TB, steps ...store.Step) {
	t.Helper()
	if err := e.Write(context.Background(), steps...); err != nil {
		t.Fatalf("Write(%s): %v", names(steps), err)
	}
}

// refused is a Write that must fail with an error.
func (e *env) refused(t testing.TB, want error, steps ...store.Step) {
	t.Helper()
	if err := e.Write(context.Background(), steps...); !errors.Is(err, want) {
		t.Errorf("Write(%s) = %v, want %v", names(steps), err, want)
	}
}

func names(steps []store.Step) string {
	s := ""
	for i, step := range steps {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%T", step)
	}
	return s
}

// The times of the suite, in Unix seconds. They have nothing to do with the
// clock: a store takes the time from its caller.
const (
	past   = int64(1_000_000_000)
	now    = int64(2_000_000_000)
	future = int64(3_000_000_000)
)

var nowTime = time.Unix(now, 0)

// grant is a grant of alice to client 1 that lasts.
func (e *env) grant() model.Grant {
	return model.Grant{
		Service: e.service, ID: newID(), Client: 1, Subject: "alice",
		Scopes: []string{"openid", "orders:read"}, AuthTime: past, ExpiresAt: future,
	}
}

func (e *env) accessToken(grant model.ID) model.AccessToken {
	id := newID()
	return model.AccessToken{Service: e.service, ID: id, Grant: grant, Hash: hashOf(id), ExpiresAt: future}
}

func (e *env) refreshToken(grant, access model.ID) model.RefreshToken {
	id := newID()
	return model.RefreshToken{Service: e.service, ID: id, Grant: grant, Hash: hashOf(id), Access: access, ExpiresAt: future}
}

func (e *env) handle(kind model.HandleKind) model.Handle {
	id := newID()
	return model.Handle{Service: e.service, ID: id, Kind: kind, Hash: hashOf(id), ExpiresAt: future, Payload: []byte("{}")}
}

// issued writes a grant with an access and a refresh token.
func (e *env) issued(t testing.TB) (model.Grant, model.AccessToken, model.RefreshToken) {
	t.Helper()
	g := e.grant()
	a := e.accessToken(g.ID)
	r := e.refreshToken(g.ID, a.ID)
	e.write(t, store.InsertGrant{Grant: g}, store.InsertAccessToken{Token: a}, store.InsertRefreshToken{Token: r})
	return g, a, r
}

// hashOf stands for the SHA-256 of a secret.
func hashOf(id model.ID) (h [32]byte) {
	for i := range h {
		h[i] = byte(int64(id)>>(i%8*8)) ^ byte(i)
	}
	return h
}

// equal compares what was read with what was written.
func equal(t testing.TB, what string, want, got any, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

// fails compares an error.
func fails(t testing.TB, what string, want, err error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// The errors of readers, by what was asked for.

func (e *env) grantErr(service, id model.ID) error {
	_, err := e.Grant(context.Background(), service, id)
	return err
}

func (e *env) accessErr(service, id model.ID) error {
	_, _, err := e.AccessToken(context.Background(), service, id)
	return err
}

func (e *env) refreshErr(service, id model.ID) error {
	_, _, err := e.RefreshToken(context.Background(), service, id)
	return err
}

func (e *env) handleErr(service model.ID, kind model.HandleKind, id model.ID) error {
	_, err := e.Handle(context.Background(), service, kind, id)
	return err
}

func (e *env) sessionErr(service, id model.ID) error {
	_, err := e.Session(context.Background(), service, id)
	return err
}
