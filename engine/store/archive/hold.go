package archive

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// leaseName is the lease of who loads into a store, leaseTime how long it
	// outlives one who was killed.
	leaseName = "loading"
	leaseTime = 15 * time.Second
	// renewEvery keeps it for one who has nothing to write for a while.
	renewEvery = leaseTime / 3
	// writeTime is how long after the lease was renewed a write may begin. What
	// has begun, no store lets take so long that the lease ends meanwhile.
	writeTime = 6 * time.Second
)

// ErrLoading: somebody else is loading rows into the store, or has done so.
var ErrLoading = fmt.Errorf("others are loading rows into this store, or have done so since; should they have been ended, try again in %s", leaseTime)

// hold is the lease of who loads. Who loses it never gets it again: others may
// have loaded since, and the store may serve.
type hold struct {
	of       store.Leases
	holder   string
	stop     context.CancelFunc
	renewing sync.WaitGroup
}

// take takes the lease, and keeps it until release. ErrLoading: others have it.
func take(ctx context.Context, of store.Leases) (*hold, error) {
	h := &hold{of: of, holder: rand.Text()}
	held, err := of.Lease(ctx, leaseName, h.holder, leaseTime)
	if err == nil && !held {
		err = ErrLoading
	}
	if err != nil {
		return nil, err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	h.renewing.Go(func() { h.keep(renewing) })
	return h, nil
}

// keep renews the lease. What fails is tried again; who writes asks for himself.
func (h *hold) keep(ctx context.Context) {
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_, _ = h.of.Renew(ctx, leaseName, h.holder, leaseTime)
		}
	}
}

// write runs f, a short write, while the lease is held. A process that stands
// still between the two finds the deadline over when it goes on. What remains is
// one that stops, with its clock, in the instant between its look at that and
// the beginning of the transaction, and until others have taken over.
func (h *hold) write(ctx context.Context, f func(ctx context.Context) error) error {
	tooLong := fmt.Errorf("the store did not take rows within %s", writeTime)
	ctx, cancel := context.WithTimeoutCause(ctx, writeTime, tooLong)
	defer cancel()
	held, err := h.of.Renew(ctx, leaseName, h.holder, leaseTime)
	if err == nil && !held {
		return ErrLoading
	}
	if err == nil {
		err = f(ctx)
	}
	if err != nil && context.Cause(ctx) == tooLong {
		err = fmt.Errorf("%w: %w", tooLong, err)
	}
	return err
}

// release lets others load. When it cannot, the lease ends by itself.
func (h *hold) release() {
	h.stop()
	h.renewing.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), leaseTime)
	defer cancel()
	_, _ = h.of.Renew(ctx, leaseName, h.holder, 0)
}
