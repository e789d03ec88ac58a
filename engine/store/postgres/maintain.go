package postgres

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// sweeperLease is how long a node is the one that sweeps, unless it says so
	// again.
	sweeperLease = 15 * time.Second
	// spell is how long partitions are retired before the sweeper has a turn.
	spell = 10 * time.Second
)

// ensure makes the partitions of the time to come, and reads which there are.
func (p *partitions) ensure(ctx context.Context, widths map[string]time.Duration, now time.Time) error {
	if err := p.refresh(ctx); err != nil {
		return err
	}
	var errs []error
	for table, width := range widths {
		errs = append(errs, p.create(ctx, table, width, now))
	}
	return errors.Join(append(errs, p.refresh(ctx))...)
}

// sweepForever sweeps until the store closes, as long as this node is the one
// that does.
func (s *Store) sweepForever(partitioned bool) {
	timer := time.NewTimer(s.opts.SweepInterval)
	defer timer.Stop()
	var leased, maintained time.Time
	for {
		select {
		case <-s.closing:
			return
		case <-timer.C:
		}
		timer.Reset(s.opts.SweepInterval)
		s.parts.look(s.ctx, s.opts)
		if !s.clock.read.Load() {
			continue
		}
		if time.Since(leased) > sweeperLease/3 {
			held, err := s.Lease(s.ctx, "sweeper", s.name, sweeperLease)
			if err != nil || !held {
				timer.Reset(max(s.opts.SweepInterval, sweeperLease/3))
				continue
			}
			leased = time.Now()
		}
		if partitioned && time.Since(maintained) > s.opts.narrowest()/60 {
			more := false
			s.holding(s.ctx, "sweeper", sweeperLease, func(ctx context.Context) { more = s.maintain(ctx, s.careful()) })
			if !more {
				maintained = time.Now()
			}
		}
		if more, _ := s.sweeper.Tick(s.ctx, s.careful, s.opts.SweepInterval); more { // what fails is tried again
			timer.Reset(0)
		}
	}
}

// careful is the time by which rows are removed: this node's, or the database's
// if that is earlier. A node whose clock is ahead must not remove what is good to
// the others.
func (s *Store) careful() time.Time {
	return s.opts.Now().Add(min(0, time.Duration(s.clock.ahead.Load())*time.Millisecond))
}

// narrowest is the shortest time that a partition spans.
func (o *Options) narrowest() time.Duration {
	width := 24 * time.Hour
	for _, w := range o.Widths {
		width = min(width, w)
	}
	return width
}

// look reads which partitions there are, now and then: other nodes make and
// drop them.
func (p *partitions) look(ctx context.Context, opts Options) {
	if p.set.Load() == nil || time.Since(p.looked) < opts.narrowest()/60 {
		return
	}
	p.looked = time.Now()
	_ = p.refresh(ctx) // the ones that are known stay
}

// maintain makes the partitions of the time to come and retires those that are
// over; after a spell it returns, and there may be more. What cannot be done now
// is tried the next time.
func (s *Store) maintain(ctx context.Context, now time.Time) (more bool) {
	begin, err := time.Now(), s.parts.ensure(ctx, s.opts.Widths, now)
	for table, width := range s.opts.Widths {
		for _, part := range s.parts.list(table) {
			if now.Before(handle.Time(part.to).Add(width/6)) || now.Unix() < part.until {
				continue
			}
			if more = time.Since(begin) > spell; more {
				break
			}
			if e := s.retire(ctx, part, width, now); e != nil {
				part.until = now.Add(s.opts.narrowest() / 60).Unix()
				err = cmp.Or(err, e)
			}
		}
	}
	err = cmp.Or(err, s.forgetNodes(ctx))
	if ctx.Err() == nil {
		s.reportPartitions(err)
	}
	_ = s.parts.refresh(ctx) // the next look does it
	return more && ctx.Err() == nil
}

// holding does work that may take longer than a lease lasts, which it renews
// meanwhile. The work's context ends when somebody else has it.
func (s *Store) holding(ctx context.Context, lease string, d time.Duration, work func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer cancel()
		ticker := time.NewTicker(d / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if held, err := s.Lease(ctx, lease, s.name, d); err == nil && !held {
				return
			}
		}
	})
	work(ctx)
	cancel()
	renewing.Wait()
}

func (s *Store) reportPartitions(err error) {
	if err != nil {
		s.opts.Report(store.Finding{Name: "partitions", Value: err.Error(),
			Advice: "the sweeper tries again within minutes; does something hold the tables for long: a dump, a VACUUM (an autovacuum to prevent wraparound too), an idle transaction?"})
	}
}
