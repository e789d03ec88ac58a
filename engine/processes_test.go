package engine_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// openBeside opens another store and engine on the same data, as another
// process would.
func openBeside(t *testing.T, address string) *house {
	t.Helper()
	return openOn(t, openStore(t, address), declare(t, issuer, model.Settings{"accessTokenSignAlg": raw("EdDSA")}))
}

// Two processes that start at once on a new database have the same keys.
func TestFirstKeysAreMadeOnce(t *testing.T) {
	address := storesOf(t).New(t)
	houses := make([]*house, 4)
	stores := make([]store.Store, len(houses))
	for i := range stores {
		stores[i] = openStore(t, address)
	}
	d := declare(t, issuer, nil)
	var wg sync.WaitGroup
	for i := range houses {
		wg.Go(func() { houses[i] = openOn(t, stores[i], d) })
	}
	wg.Wait()
	for _, h := range houses {
		if h.jwks().Len() != 3 {
			t.Errorf("%d keys", h.jwks().Len())
		}
		token := h.tokens("web")
		for _, other := range houses {
			if !other.usable(token.AccessToken) {
				t.Error("a token is good at one process alone")
			}
		}
	}
}

// A key that one process adds is another's within a second (the change feed).
func TestKeyRotationReachesOtherProcesses(t *testing.T) {
	address := storesOf(t).New(t)
	a, b := openBeside(t, address), openBeside(t, address)
	kids, err := a.engine.RotateKeys(t.Context(), a.service.ID, []string{"EdDSA"}, engine.Rotation{Overlap: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other process does not know the new key", func() bool {
		_, there := b.jwks().LookupKeyID(kids[0])
		return there
	})
	if token := a.own("service", "orders:read").AccessToken; !b.usable(token) {
		t.Error("a token under the new key is not good at the other process")
	}
}
