package main_test

import (
	"strings"
	"testing"
	"time"
)

// TestDoctorOnPostgreSQL: before the first start, beside nodes, and when the
// server would lose what it acknowledged.
func TestDoctorOnPostgreSQL(t *testing.T) {
	c := prepareNodes(t, 2)
	s := c.nodes[0]
	if f := s.doctor(t)["storage"]; f.Severity != "ok" || !strings.Contains(f.Value, "none yet") {
		t.Errorf("before the first start: %+v", f)
	}
	for _, node := range c.nodes {
		node.start()
	}
	s.serviceToken("orders:read")
	deadline := time.Now().Add(30 * time.Second)
	for found := s.doctor(t); found["sweeper"].Severity != ""; found = s.doctor(t) { // until one has the lease
		if time.Now().After(deadline) {
			t.Fatalf("nobody sweeps: %+v", found)
		}
	}
	findings := s.doctor(t)
	for _, name := range []string{"configuration", "schema", "server", "durability", "connections", "clock", "node", "disk", "change feed",
		"partitions", "master key", "encrypted", "signing keys"} {
		if f := findings[name]; f.Severity != "ok" || f.Value == "" {
			t.Errorf("%s is %+v", name, f)
		}
	}
	if n := c.ask(t, `SELECT count(*)::text FROM nodes`); n != "2" {
		t.Errorf("%s nodes have said that they are there", n)
	}
	c.db.Stop(t)
	c.db.Configure(t, "fsync=off")
	c.db.Run(t)
	if f := s.doctor(t)["durability"]; f.Severity != "fails" || f.Advice == "" {
		t.Errorf("without fsync: %+v", f)
	}
}
