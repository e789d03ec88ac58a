package sqlite

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store/internal/sweeper"
)

// sweepTable is a table that is walked along its key. look looks at ?2 rows
// behind the key ?1 and returns how many there were, the key of the last, whether
// one of them is to go, and the greatest key of all; remove removes those up to
// the key ?2. ?3 is the time.
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
		look: `SELECT count(*), max(key), total(dead) > 0, (SELECT max(` + key + `) FROM ` + table + `) FROM (SELECT t.` + key + ` AS key, ` + dead + ` AS dead
			FROM ` + table + ` t WHERE t.` + key + ` > ?1 ORDER BY t.` + key + ` LIMIT ?2)`,
		remove: `DELETE FROM ` + table + ` AS t WHERE t.` + key + ` > ?1 AND t.` + key + ` <= ?2 AND ` + dead,
	}
}

// newSweeper makes the sweeper of a store.
func newSweeper(s *Store) *sweeper.Sweeper {
	tables := make([]sweeper.Table, len(sweepTables))
	for i, t := range sweepTables {
		tables[i] = sweeper.Table{Sweep: func(ctx context.Context, now, from int64, n int) (sweeper.Seen, error) {
			return s.sweepOnce(ctx, t, now, from, n)
		}}
	}
	return sweeper.New(tables...)
}

// Sweep removes expired rows, looking at no more than limit. It returns after
// every table has been looked at to its end once, however far the limit would go.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (removed int, err error) {
	return s.sweeper.Sweep(ctx, now, limit)
}

// sweepOnce looks at the next n rows of a table. It looks with a reader, so that
// the writer is bothered only when there is something to remove.
func (s *Store) sweepOnce(ctx context.Context, table sweepTable, now, from int64, n int) (seen sweeper.Seen, err error) {
	dead := false
	err = s.reads.query(ctx, func(r row) error {
		seen.Looked, seen.Last, dead, seen.End = int(r.int(0)), r.int(1), r.int(2) != 0, r.int(3)
		return nil
	}, table.look, from, int64(n), now)
	if err != nil || !dead {
		return seen, err
	}
	err = s.writer.do(ctx, nil, func(t *tx) error {
		gone, err := t.affected(table.remove, from, seen.Last, now)
		seen.Removed = int(gone)
		return err
	})
	return seen, err
}

// sweepForever sweeps until the store closes.
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
	ticker := time.NewTicker(s.opts.SweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for more := true; more; {
			more, _ = s.sweeper.Tick(ctx, s.opts.Now, s.opts.SweepInterval) // what fails is tried again
		}
	}
}
