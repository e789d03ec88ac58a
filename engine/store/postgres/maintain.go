package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// sweeperLease is how long a node is the one that sweeps, unless it says so
	// again.
	sweeperLease = 15 * time.Second
	// foldLimit is how many rows may outlive a partition: they are moved to the
	// one that holds the rest. It keeps a few tokens that last for years from
	// keeping a partition each.
	foldLimit = 10_000
	// longest is how long it may take to go along a partition.
	longest = 10 * time.Minute
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
			s.maintain(s.ctx, s.careful())
			maintained = time.Now()
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

// maintain makes the partitions of the time to come and drops those that are
// over. What cannot be done now is tried the next time.
func (s *Store) maintain(ctx context.Context, now time.Time) {
	err := s.parts.ensure(ctx, s.opts.Widths, now)
	for table, width := range s.opts.Widths {
		for _, part := range s.parts.list(table) {
			if handle.Time(part.to).Add(width/6).Before(now) && now.Unix() >= part.until {
				if e := s.retire(ctx, part, width, now); err == nil {
					err = e
				}
			}
		}
	}
	if e := s.forgetNodes(ctx, now); err == nil {
		err = e
	}
	if ctx.Err() == nil {
		s.reportPartitions(err)
	}
	_ = s.parts.refresh(ctx) // the next look does it
}

func (s *Store) reportPartitions(err error) {
	if err != nil {
		s.opts.Report(store.Finding{Name: "partitions", Value: err.Error(),
			Advice: "the sweeper tries again within minutes; is somebody reading for long, as a dump does?"})
	}
}

// retire drops a partition in which everything has expired, or all but a few
// rows, which it moves. It never assumes that what is old has expired.
func (s *Store) retire(ctx context.Context, part *partition, width time.Duration, now time.Time) error {
	var rows, live, last int64
	err := s.atLength(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE expires_at > $1), coalesce(max(expires_at), 0) FROM %s`, part.name), now.Unix()).
			Scan(&rows, &live, &last)
	})
	if err != nil {
		return err
	}
	few, old := live <= foldLimit && live*10 <= rows, handle.Time(part.to).Add(2*width)
	switch {
	case live > 0 && few && now.Before(old):
		part.until = old.Unix() // fewer may be left by then
		return nil
	case live > 0 && !few:
		next := time.Duration(min(last-now.Unix(), 1<<30)) * time.Second / 4
		part.until = now.Add(min(max(next, width), 24*width)).Unix()
		return nil
	}
	err = s.atLength(ctx, func(tx pgx.Tx) error { return drop(ctx, tx, part, now) })
	if err != nil {
		return fmt.Errorf("dropping the partition %s: %w", part.name, err)
	}
	return nil
}

// atLength runs a transaction that goes along a whole partition, for which the
// limits of other statements are too short.
func (s *Store) atLength(ctx context.Context, work func(pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	conn, err := s.link.acquire(ctx)
	if err != nil {
		return unavailable(err)
	}
	defer conn.Release()
	return pgx.BeginFunc(ctx, conn.Conn(), func(tx pgx.Tx) error {
		// It reads all rows, which it is quickest at without an index.
		_, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', '500', true), set_config('enable_seqscan', 'on', true)`,
			milliseconds(longest))
		if err != nil {
			return err
		}
		return work(tx)
	})
}

// drop removes a partition, and moves what lives on to the one that holds the
// rest. It looks for that while only the partition's own writers wait; then
// everybody does, for a moment. A node that still names the partition is told
// that it is gone, and looks in the whole table.
func drop(ctx context.Context, tx pgx.Tx, part *partition, now time.Time) error {
	for _, statement := range []string{
		fmt.Sprintf(`LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE`, part.name),
		fmt.Sprintf(`CREATE TEMPORARY TABLE gatehouse_live ON COMMIT DROP AS SELECT * FROM %s WHERE expires_at > %d`, part.name, now.Unix()),
		fmt.Sprintf(`ALTER TABLE %s DETACH PARTITION %s`, part.table, part.name),
		fmt.Sprintf(`INSERT INTO %s SELECT * FROM gatehouse_live`, part.table),
		fmt.Sprintf(`DROP TABLE %s`, part.name),
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
