// Package errorlog writes errors that may come with every request, without a log
// that grows with the load: the disk that it lies on may be what is full.
package errorlog

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// interval is the least time between two errors of one kind that are written.
const interval = time.Second

// Logger is a zap.Logger whose Error is bounded. It is safe for concurrent use.
//
// It is not zap's sampler, which takes half a megabyte for each handler, and
// cannot tell on a line how many were left out before it.
type Logger struct {
	*zap.Logger
	start time.Time // by whose monotonic clock the rest goes: others are set back
	kinds sync.Map  // message: *kind
}

// kind is all errors with one message.
type kind struct {
	next    atomic.Int64 // when one may be written again, in nanoseconds since the start
	skipped atomic.Int64 // how many were not, since the last that was
}

// New makes a logger over another.
func New(over *zap.Logger) *Logger { return &Logger{Logger: over, start: time.Now()} }

// Error writes the first error with a message at once, and then one a second at
// most. The field skipped is how many like it were not written before it. What
// messages there are must be bounded: what differs belongs into fields.
func (l *Logger) Error(message string, fields ...zap.Field) {
	value, known := l.kinds.Load(message)
	if !known {
		value, _ = l.kinds.LoadOrStore(message, new(kind))
	}
	k, now := value.(*kind), time.Since(l.start)
	next := k.next.Load()
	if int64(now) < next || !k.next.CompareAndSwap(next, int64(now+interval)) {
		k.skipped.Add(1)
		return
	}
	if n := k.skipped.Swap(0); n > 0 {
		fields = append(fields, zap.Int64("skipped", n))
	}
	l.Logger.Error(message, fields...)
}
