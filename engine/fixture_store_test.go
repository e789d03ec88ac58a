package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

var masterKey = engine.MasterKey{1, 2, 3}

// usual are the stores that the engine is tested on, unless a test has others.
var usual = storetest.Factory{
	New: func(t testing.TB) string {
		path := filepath.Join(t.TempDir(), "g.db")
		if err := os.WriteFile(path, emptyDatabase(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	},
	Open: func(ctx context.Context, address string) (store.Store, error) {
		return sqlite.Open(ctx, sqlite.Options{Path: address, SweepInterval: -1})
	},
}

// others are the stores of those tests, with all below them, that do not run on
// the usual ones, by the test's name.
var others sync.Map

// storesOf are the stores that a test runs on.
func storesOf(t testing.TB) storetest.Factory {
	name, _, _ := strings.Cut(t.Name(), "/")
	if f, there := others.Load(name); there {
		return f.(storetest.Factory)
	}
	return usual
}

// emptyDatabase is a SQLite file without rows. Migrating each test's own anew
// would be a fifth of the tests' time.
var emptyDatabase = sync.OnceValue(func() []byte {
	file, err := os.CreateTemp("", "empty-*.db")
	if err != nil {
		panic(err)
	}
	defer os.Remove(file.Name())
	_ = file.Close()
	st, err := sqlite.Open(context.Background(), sqlite.Options{Path: file.Name(), SweepInterval: -1})
	if err != nil {
		panic(err)
	}
	if err := st.Close(); err != nil {
		panic(err)
	}
	content, err := os.ReadFile(file.Name())
	if err != nil {
		panic(err)
	}
	return content
})

// newStore makes an empty store.
func newStore(t testing.TB) store.Store {
	t.Helper()
	st := openStore(t, storesOf(t).New(t))
	lendKeys(t, st)
	return st
}

// openStore opens a store, as another process would when it is open already.
func openStore(t testing.TB, address string) store.Store {
	t.Helper()
	st, err := storesOf(t).Open(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// lent are the keys that the first store got. Those after it get them too:
// making RSA keys takes longer than most tests.
var lent struct {
	sync.Mutex
	keys []model.Key
}

func lendKeys(t testing.TB, st store.Store) {
	t.Helper()
	lent.Lock()
	defer lent.Unlock()
	ctx := t.Context()
	id, err := st.EnsureService(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	if len(lent.keys) == 0 {
		service, err := model.NewService(model.Settings{"issuer": raw(issuer)})
		if err != nil {
			t.Fatal(err)
		}
		e, err := engine.New(ctx, engine.Options{Store: st, MasterKey: masterKey, Services: []engine.Declaration{{Service: service}}})
		if err != nil {
			t.Fatal(err)
		}
		e.Close()
		if lent.keys, err = st.Keys(ctx, id); err != nil {
			t.Fatal(err)
		}
	} else if lent.keys[0].Service == id {
		if err := st.Write(ctx, store.InsertFirstKeys{Service: id, Keys: lent.keys}); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until another node has heard of a change.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}
