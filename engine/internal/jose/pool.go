package jose

import "context"

// Pool bounds how many RSA operations run at once: as many as there are
// processors. What waits for one waits here and not in the scheduler's queue,
// where everything else would wait behind it. It is safe for concurrent use.
type Pool struct{ seats chan struct{} }

// NewPool makes a pool of that many seats.
func NewPool(seats int) *Pool { return &Pool{make(chan struct{}, max(1, seats))} }

// Do runs f when there is a seat. Its error is f's, or the context's.
func (p *Pool) Do(ctx context.Context, f func() error) error {
	select {
	case p.seats <- struct{}{}:
	default:
		select {
		case p.seats <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-p.seats }()
	return f()
}
