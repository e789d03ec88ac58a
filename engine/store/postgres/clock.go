package postgres

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// maxSkew is how far a node's clock may be from the database's before that is
// reported. Less is harmless: it shifts expiries by as much.
const maxSkew = 5 * time.Second

// clock compares this node's clock with the database's.
type clock struct {
	report func(store.Finding)
	read   atomic.Bool  // whether the database's was read
	ahead  atomic.Int64 // of the database, in milliseconds
	apart  atomic.Bool  // whether that has been reported
}

// note takes a reading of the database's clock, in Unix milliseconds, that was
// asked for and had at two moments of this one's.
func (c *clock) note(asked, had time.Time, theirs int64) {
	ahead := apart(asked, had, theirs)
	if had.Sub(asked) > maxSkew {
		return // says little
	}
	c.ahead.Store(ahead.Milliseconds())
	c.read.Store(true)
	if far := ahead.Abs() > maxSkew; c.apart.Swap(far) != far && far {
		c.report(clockFinding(ahead))
	}
}

// apart is how far the database's clock is ahead, which was read between two
// moments of this one's.
func apart(asked, had time.Time, theirs int64) time.Duration {
	return time.UnixMilli(theirs).Sub(asked.Add(had.Sub(asked) / 2))
}

// clockFinding says how far the clocks are apart.
func clockFinding(ahead time.Duration) store.Finding {
	f := store.Finding{Name: "clock", Value: fmt.Sprintf("%s from the database's", ahead.Abs().Round(time.Millisecond))}
	if ahead.Abs() > maxSkew {
		f.Advice = "let both machines follow a time server: tokens expire too early or too late"
	}
	return f
}
