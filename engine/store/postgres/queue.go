package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// maxBatch bounds what goes to the database at once, and with it how long
	// the first of a batch waits for its answer.
	maxBatch = 128
	// maxQueue bounds what waits in a line. Who finds it full waits for a place,
	// but no longer than queueTimeout.
	maxQueue     = 1024
	queueTimeout = time.Second
)

var errCrowded = unavailableText("the queue before the database is full")

func unavailableText(text string) error { return &refusal{text} }

// refusal is an ErrUnavailable with words of its own.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text + ": " + store.ErrUnavailable.Error() }
func (r *refusal) Unwrap() error { return store.ErrUnavailable }

// queue holds what waits for one of the workers: those whose context is
// preferred in a line of their own, which is emptied first.
type queue[T any] struct {
	mu        sync.RWMutex // held for reading while sending
	closed    bool
	preferred chan T
	others    chan T
}

func newQueue[T any]() *queue[T] {
	return &queue[T]{preferred: make(chan T, maxQueue), others: make(chan T, maxQueue)}
}

// put adds to the line of a context, and waits for a place in it.
func (q *queue[T]) put(ctx context.Context, v T) error { return q.add(ctx, v, queueTimeout) }

// offer adds to it if there is a place.
func (q *queue[T]) offer(ctx context.Context, v T) error { return q.add(ctx, v, 0) }

func (q *queue[T]) add(ctx context.Context, v T, patience time.Duration) error {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		return errClosed
	}
	line := q.others
	if store.Preferred(ctx) {
		line = q.preferred
	}
	select {
	case line <- v:
		return nil
	default:
	}
	if patience == 0 {
		return errCrowded
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errCrowded
	}
}

// close lets the workers end when the lines are empty.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.preferred)
		close(q.others)
	}
}

// take waits for one and takes with it what else is there. It returns none
// when the queue is closed and empty.
func (q *queue[T]) take(batch []T) []T {
	preferred, others := q.preferred, q.others
	for preferred != nil || others != nil {
		select {
		case v, open := <-preferred:
			if !open {
				preferred = nil
				continue
			}
			batch = append(batch, v)
		case v, open := <-others:
			if !open {
				others = nil
				continue
			}
			batch = append(batch, v)
		}
		// The preferred first, but the others move too.
		return drain(drain(batch, q.preferred, maxBatch*3/4), q.others, maxBatch)
	}
	return batch
}

// drain takes what is in a line, up to a batch of that size.
func drain[T any](batch []T, line chan T, size int) []T {
	for len(batch) < size {
		select {
		case v, open := <-line:
			if !open {
				return batch
			}
			batch = append(batch, v)
		default:
			return batch
		}
	}
	return batch
}
