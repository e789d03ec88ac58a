package pgtest

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// What the other tests rely on: data outlives a kill, and a replica can take over.
func TestServer(t *testing.T) {
	primary := Start(t)
	primary.Exec(t, "postgres", "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
	primary.Kill(t)
	primary.Run(t)
	replica := primary.Replica(t)
	primary.Exec(t, "postgres", "INSERT INTO kept VALUES (2)")
	deadline := time.Now().Add(30 * time.Second)
	for count(t, replica) != 2 {
		if time.Now().After(deadline) {
			t.Fatal("the replica does not follow")
		}
		time.Sleep(10 * time.Millisecond)
	}
	primary.Kill(t)
	replica.Promote(t)
	replica.Exec(t, "postgres", "INSERT INTO kept VALUES (3)")
	if n := count(t, replica); n != 3 {
		t.Fatalf("%d rows after the failover, want 3", n)
	}
}

func count(t *testing.T, s *Server) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.Address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM kept").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
