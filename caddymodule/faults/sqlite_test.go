package faults

import (
	"fmt"
	"path/filepath"
	"testing"
)

// Kill -9 of a node in the middle of each operation.
func TestKillNodeOnSQLite(t *testing.T) {
	r := newRun(t, "sqlite "+filepath.Join(t.TempDir(), "gatehouse.db"))
	for i := range times(t) {
		r.amid(1, func() { r.crash(r.nodes[0]) })
		r.clean(fmt.Sprintf("after kill %d", i+1))
	}
	r.end()
	r.cut()
}
