package sqlite

import (
	"context"
	"sync"
	"time"
)

const (
	// sweepStep is how many rows the background sweeper looks at in a step,
	// and the most that one transaction removes.
	sweepStep = 1000
	// sweepPause is the time between steps while much is being removed.
	sweepPause = 10 * time.Millisecond
)

// sweep remembers where the sweeper stands.
type sweep struct {
	mu     sync.Mutex
	table  int
	cursor int64
}

// sweepTable is a table that is walked along its key. dead is the condition
// under which a row goes: ?3 is the time.
type sweepTable struct{ look, remove string }

const (
	// orphan holds for a row whose grant is gone.
	orphan = `NOT EXISTS (SELECT 1 FROM grants g WHERE g.id = t.grant_id AND g.service = t.service)`
	// ended holds for a row whose session is gone.
	ended = `NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = t.session AND s.service = t.service)`
)

var sweepTables = []sweepTable{
	sweepOf("grants", "id", "t.expires_at <= ?3"),
	sweepOf("access_tokens", "id", "(t.expires_at <= ?3 OR "+orphan+")"),
	sweepOf("refresh_tokens", "id", "(t.expires_at <= ?3 OR "+orphan+")"),
	sweepOf("handles", "id", "(t.expires_at <= ?3 OR t.grant_id <> 0 AND "+orphan+")"),
	sweepOf("sessions", "id", "t.expires_at <= ?3"),
	sweepOf("session_clients", "id", ended),
	sweepOf("used_values", "id", "t.expires_at <= ?3"),
	sweepOf("changes", "seq", "t.at <= ?3 - 3600"), // rows of the feed stay for an hour
}

func sweepOf(table, key, dead string) sweepTable {
	return sweepTable{
		look: `SELECT count(*), max(key), total(dead) > 0 FROM (SELECT t.` + key + ` AS key, ` + dead + ` AS dead
			FROM ` + table + ` t WHERE t.` + key + ` > ?1 ORDER BY t.` + key + ` LIMIT ?2)`,
		remove: `DELETE FROM ` + table + ` AS t WHERE t.` + key + ` > ?1 AND t.` + key + ` <= ?2 AND ` + dead,
	}
}

// Sweep removes expired rows, looking at no more than limit. It returns after
// every table has been looked at once, however far the limit would go.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (removed int, err error) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	for ends := 0; limit > 0 && ends < len(sweepTables); {
		looked, gone, err := s.sweepOnce(ctx, now.Unix(), min(limit, sweepStep))
		removed += gone
		if err != nil {
			return removed, err
		}
		if looked < min(limit, sweepStep) {
			ends++
		}
		limit -= looked
	}
	return removed, nil
}

// sweepOnce looks at the next n rows. It looks with a reader, so that the
// writer is bothered only when there is something to remove.
func (s *Store) sweepOnce(ctx context.Context, now int64, n int) (looked, removed int, err error) {
	w := &s.sweep
	table := sweepTables[w.table]
	from, to, dead := w.cursor, int64(0), false
	err = s.reads.query(ctx, func(r row) error {
		looked, to, dead = int(r.int(0)), r.int(1), r.int(2) != 0
		return nil
	}, table.look, from, int64(n), now)
	if err != nil {
		return 0, 0, err
	}
	if dead {
		var gone int64
		err = s.writer.do(ctx, nil, func(t *tx) (err error) {
			gone, err = t.affected(table.remove, from, to, now)
			return err
		})
		if err != nil {
			return 0, 0, err
		}
		removed = int(gone)
	}
	w.cursor = to
	if looked < n {
		w.table, w.cursor = (w.table+1)%len(sweepTables), 0
	}
	return looked, removed, nil
}

// sweepForever sweeps in small steps until the store closes: at leisure while
// it finds little, without much pause while it finds a lot.
func (s *Store) sweepForever() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	timer := time.NewTimer(s.opts.SweepInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		pause := s.opts.SweepInterval
		if removed, err := s.Sweep(ctx, s.opts.Now(), sweepStep); err == nil && removed >= sweepStep/4 {
			pause = min(pause, sweepPause)
		}
		timer.Reset(pause)
	}
}
