package handle

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// An id is 42 bits of milliseconds since the epoch below (139 years) over 21
// bits that start at a random place in each millisecond. Ids of one process
// ascend, so that inserts append; nodes collide about once in two million
// pairs drawn in the same millisecond, and the store then says ErrConflict.
const (
	epochMilli = 1_704_067_200_000 // 2024-01-01T00:00:00Z
	tailBits   = 21
)

// IDs draws ids. It is safe for concurrent use.
type IDs struct {
	now    func() time.Time
	random io.Reader
	last   atomic.Int64
}

// NewIDs returns a source of ids that reads the given clock. A nil random
// means crypto/rand.
func NewIDs(now func() time.Time, random io.Reader) *IDs {
	if random == nil {
		random = rand.Reader
	}
	return &IDs{now: now, random: random}
}

// Next returns an id larger than all that this source returned before.
func (g *IDs) Next() model.ID {
	floor := (g.now().UnixMilli() - epochMilli) << tailBits
	for {
		last := g.last.Load()
		next := last + 1
		if floor > last {
			next = floor | g.tail()
		}
		if g.last.CompareAndSwap(last, next) {
			return model.ID(next)
		}
	}
}

// tail draws where a millisecond's ids start: in its lower half, which leaves
// a million ids before the next millisecond.
func (g *IDs) tail() int64 {
	var b [4]byte
	if _, err := io.ReadFull(g.random, b[:]); err != nil {
		return 0 // ids need not be secret; the conflict rule covers a poor draw
	}
	return int64(binary.BigEndian.Uint32(b[:]) >> (32 - tailBits + 1))
}

// Time returns when an id was drawn, to the millisecond.
func Time(id model.ID) time.Time {
	return time.UnixMilli(int64(id)>>tailBits + epochMilli)
}

// First returns the lowest id that is drawn at a time or later.
func First(t time.Time) model.ID {
	return model.ID(max(t.UnixMilli()-epochMilli, 0) << tailBits)
}
