package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

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
		New:    func(testing.TB) string { return prefix + place(s) },
		Open:   openAddress,
		Settle: settle,
		Brief:  prefix != "",
	}
}

// settle waits until no session but its own is left on the server, which does what
// it was sent before it notices that nobody is there any more.
func settle(t testing.TB, address string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), strings.TrimPrefix(address, plainly))
	must(t, err)
	defer conn.Close(context.Background())
	await(t, "the end of the sessions of a process that was killed", func() bool {
		others := 0
		must(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&others))
		return others == 0
	})
}

func TestMain(m *testing.M) { storetest.Main(m, storetest.Factory{Open: openAddress}) }

func TestStore(t *testing.T) { storetest.Run(t, factory(pgtest.Start(t, "max_connections=200"), "")) }

// What CockroachDB and YugabyteDB lack, the store does without.
func TestStorePlain(t *testing.T) {
	storetest.Run(t, factory(pgtest.Start(t, "max_connections=200"), plainly))
}
