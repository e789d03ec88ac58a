package relyingparty

import (
	"context"
	"sync"
	"time"
)

// kept is something that is fetched when it is needed and not known, or known
// for too long: by one at a time, and not more often than every pause, whatever
// arrives. What was fetched before goes on while nothing newer can be had. It
// is safe for concurrent use.
type kept[T any] struct {
	lasts time.Duration // how long it is new enough; 0: for ever
	pause time.Duration // between one fetch and the next
	now   func() time.Time
	in    *background

	mu       sync.Mutex
	value    T
	got      time.Time // when the value's fetch began; zero: there is no value
	tried    time.Time // when the last fetch ended
	err      error     // of the last fetch
	underway chan struct{}
}

// get returns the value and when it was fetched. The error is that of the
// fetch, when there is no value at all, or the context's.
func (k *kept[T]) get(ctx context.Context, fetch func(context.Context) (T, error)) (T, time.Time, error) {
	oldest := time.Unix(0, 0)
	if k.lasts > 0 {
		oldest = k.now().Add(-k.lasts)
	}
	return k.after(ctx, oldest, fetch)
}

// after returns a value that was fetched after a moment, or an older one when
// it is too early to ask again.
func (k *kept[T]) after(ctx context.Context, moment time.Time, fetch func(context.Context) (T, error)) (T, time.Time, error) {
	for {
		k.mu.Lock()
		if value, got, err, ok := k.settled(moment); ok {
			k.mu.Unlock()
			return value, got, err
		}
		err := k.start(fetch)
		done := k.underway
		k.mu.Unlock()
		var none T
		if err != nil {
			return none, time.Time{}, err
		}
		select {
		case <-ctx.Done():
			return none, time.Time{}, ctx.Err()
		case <-done:
		}
	}
}

// settled answers without a fetch, if that can be done. The lock is held.
func (k *kept[T]) settled(moment time.Time) (T, time.Time, error, bool) {
	switch {
	case k.got.After(moment):
		return k.value, k.got, nil, true
	case k.tried.IsZero() || k.now().Sub(k.tried) >= k.pause:
		return k.value, k.got, nil, false
	case k.got.IsZero():
		return k.value, k.got, k.err, true
	}
	return k.value, k.got, nil, true
}

// start begins a fetch, unless one is under way. The lock is held.
func (k *kept[T]) start(fetch func(context.Context) (T, error)) error {
	if k.underway != nil {
		return nil
	}
	done, began := make(chan struct{}), k.now()
	err := k.in.run(func(ctx context.Context) {
		value, err := fetch(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.underway, k.tried, k.err = nil, k.now(), err
		if err == nil {
			k.value, k.got = value, began
		}
		close(done)
	})
	if err == nil {
		k.underway = done
	}
	return err
}
