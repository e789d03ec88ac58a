package relyingparty

import (
	"context"
	"errors"
	"sync"
)

var errStopped = errors.New("the configuration has ended")

// background runs what outlives the request that began it.
type background struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	stopped bool
	work    sync.WaitGroup
}

func newBackground() *background {
	b := &background{}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// run starts f, unless this has been stopped.
func (b *background) run(f func(context.Context)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return errStopped
	}
	b.work.Go(func() { f(b.ctx) })
	return nil
}

// stop cancels what runs, and waits for it.
func (b *background) stop() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.cancel()
	b.work.Wait()
}
