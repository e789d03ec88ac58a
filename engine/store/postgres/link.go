package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The shortest and the longest time for which nobody tries to connect after
// nobody could.
const (
	firstBackOff = 50 * time.Millisecond
	lastBackOff  = time.Second
)

// link gives connections. While there are none to be had, it says so without
// trying, but for an attempt now and then: a database that is coming back is
// not met by everybody at once.
type link struct {
	pool *pgxpool.Pool

	mu      sync.Mutex
	backOff time.Duration // 0: all is well
	until   time.Time
	err     error
}

// acquire returns a connection, to be released.
func (l *link) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if err := l.refusal(); err != nil {
		return nil, err
	}
	conn, err := l.pool.Acquire(ctx)
	l.note(err)
	return conn, err
}

func (l *link) refusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.backOff > 0 && time.Now().Before(l.until) {
		return fmt.Errorf("not tried again yet: %w", l.err)
	}
	return nil
}

// note takes what came of an attempt. One that was given up says nothing of the
// database.
func (l *link) note(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.backOff, l.err = 0, nil
		return
	}
	l.backOff = min(max(2*l.backOff, firstBackOff), lastBackOff)
	l.until = time.Now().Add(l.backOff/2 + rand.N(l.backOff/2))
	l.err = err
}

// closeIfReadOnly closes a connection on which the server said that it can only be
// read. It was the primary: the next connection looks for the one that is.
func closeIfReadOnly(ctx context.Context, conn *pgx.Conn, err error) {
	if code(err) == codeReadOnly {
		_ = conn.Close(ctx)
	}
}
