package sqlite

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// queued waits until so many units are in a queue.
func queued(t *testing.T, queue chan *unit, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); len(queue) < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d units are queued, want %d", len(queue), n)
		}
	}
}

// held keeps the writer busy until release is closed.
func (s *Store) held(t *testing.T) (release chan struct{}) {
	t.Helper()
	release = make(chan struct{})
	busy := make(chan struct{})
	go func() {
		_ = s.writer.do(context.Background(), nil, func(*tx) error {
			close(busy)
			<-release
			return nil
		})
	}()
	<-busy
	return release
}

// Sign-in is not starved by token traffic: its writes go before all others that
// wait. The others have their share of each transaction.
func TestPreferredWritesGoFirst(t *testing.T) {
	s, _ := openAt(t, dbPath(t), nil)
	release := s.held(t)
	var order []bool // of the writer's goroutine
	var all sync.WaitGroup
	write := func(ctx context.Context) {
		preferred := store.Preferred(ctx)
		all.Go(func() {
			if err := s.writer.do(ctx, nil, func(*tx) error { order = append(order, preferred); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	const each = 2 * maxPreferred
	for range each {
		write(context.Background())
	}
	queued(t, s.writer.queue, each)
	for range each {
		write(store.Prefer(context.Background()))
	}
	queued(t, s.writer.first, each)
	close(release)
	all.Wait()
	went := 0
	for _, preferred := range order[:maxBatch] {
		if preferred {
			went++
		}
	}
	// The writer was waiting on both queues, so that its first may be any.
	if len(order) != 2*each || went < maxPreferred-1 || went > maxPreferred {
		t.Errorf("%d of the first %d are preferred, want %d", went, maxBatch, maxPreferred)
	}
}

// Who finds the queue full is answered soon, whatever its own deadline, so that
// memory does not grow with who waits. Others' places are not taken by it.
func TestFullQueue(t *testing.T) {
	s, service := openAt(t, dbPath(t), nil)
	release := s.held(t)
	var all sync.WaitGroup
	for i := range maxQueue {
		all.Go(func() {
			if err := s.Write(context.Background(), store.InsertGrant{Grant: benchGrant(service, int64(i+1))}); err != nil {
				t.Error(err)
			}
		})
	}
	queued(t, s.writer.queue, maxQueue)
	late := store.InsertGrant{Grant: benchGrant(service, firstID)}
	if err := s.Write(context.Background(), late); !errors.Is(err, errFull) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Write = %v", err)
	}
	all.Go(func() {
		first := store.InsertGrant{Grant: benchGrant(service, firstID+1)}
		if err := s.Write(store.Prefer(context.Background()), first); err != nil {
			t.Errorf("a preferred write: %v", err)
		}
	})
	queued(t, s.writer.first, 1)
	close(release)
	all.Wait()
	if _, err := s.Grant(context.Background(), service, model.ID(firstID)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a write that was refused: %v", err)
	}
	for _, id := range []int64{1, maxQueue, firstID + 1} {
		if _, err := s.Grant(context.Background(), service, model.ID(id)); err != nil {
			t.Errorf("grant %d: %v", id, err)
		}
	}
}

// Writes that wait when the store closes are answered, those of both queues.
func TestCloseAnswersBothQueues(t *testing.T) {
	s, service := openAt(t, dbPath(t), nil)
	release := s.held(t)
	var all sync.WaitGroup
	for i, ctx := range []context.Context{context.Background(), store.Prefer(context.Background())} {
		all.Go(func() {
			if err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, int64(i+1))}); err != nil {
				t.Error(err)
			}
		})
	}
	queued(t, s.writer.queue, 1)
	queued(t, s.writer.first, 1)
	all.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	close(release)
	all.Wait()
	if err := s.Write(context.Background(), store.InsertGrant{Grant: benchGrant(service, 3)}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
}

// The pool of readers gives up at the deadline.
func TestReadersGiveUpAtTheDeadline(t *testing.T) {
	s, service := openAt(t, dbPath(t), func(o *Options) { o.Readers = 1 })
	c := <-s.reads.idle
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Grant(ctx, service, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Grant = %v", err)
	}
	s.reads.idle <- c
	if _, err := s.Grant(context.Background(), service, 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("afterwards: %v", err)
	}
}
