package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

// plainly begins the address of a store on a database that can neither
// partition nor notify.
const plainly = "plainly "

// openAddress opens a store that does not sweep by itself.
func openAddress(ctx context.Context, address string) (store.Store, error) {
	dsn, plain := strings.CutPrefix(address, plainly)
	return Open(ctx, Options{DSN: dsn, SweepInterval: -1, Plain: plain, NoNotify: plain})
}

var schemas atomic.Int64

// place is the address of an empty schema on a server.
func place(s *pgtest.Server) string {
	return fmt.Sprintf("%s&search_path=place_%d", s.Address("postgres"), schemas.Add(1))
}

func factory(s *pgtest.Server, prefix string) storetest.Factory {
	return storetest.Factory{
		New:   func(testing.TB) string { return prefix + place(s) },
		Open:  openAddress,
		Brief: prefix != "",
	}
}

func TestMain(m *testing.M) { storetest.Main(m, storetest.Factory{Open: openAddress}) }

func TestStore(t *testing.T) { storetest.Run(t, factory(pgtest.Start(t, "max_connections=200"), "")) }

// What CockroachDB and YugabyteDB lack, the store does without.
func TestStorePlain(t *testing.T) {
	storetest.Run(t, factory(pgtest.Start(t, "max_connections=200"), plainly))
}
