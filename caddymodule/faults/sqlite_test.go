package faults

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// Issue 5: kill -9 of a node in the middle of each operation.
func TestKillNodeOnSQLite(t *testing.T) {
	r := newRun(t, "sqlite "+filepath.Join(t.TempDir(), "gatehouse.db"))
	for i := range times(t) {
		r.under(150*time.Millisecond, func() { r.crash(r.nodes[0]) })
		r.clean(fmt.Sprintf("after kill %d", i+1))
	}
	r.end()
	if times(t) >= 100 { // fewer may miss a kind
		r.cut()
	}
}
