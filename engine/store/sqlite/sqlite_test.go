package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

var factory = storetest.Factory{
	New: func(t testing.TB) string { return filepath.Join(t.TempDir(), "gatehouse.db") },
	Open: func(ctx context.Context, address string) (store.Store, error) {
		return Open(ctx, Options{Path: address, SweepInterval: -1})
	},
}

func TestMain(m *testing.M) {
	for name, work := range map[string]func(string) error{openChild: openInChild, killAt: moveInChild, lookChild: lookInChild} {
		if what := os.Getenv(name); what != "" {
			if err := work(what); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			return
		}
	}
	storetest.Main(m, factory)
}

func TestStore(t *testing.T) { storetest.Run(t, factory) }
