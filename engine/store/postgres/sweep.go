package postgres

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// sweepStep is how many rows the background sweeper looks at in a step,
	// and about the most that one transaction removes.
	sweepStep = 1000
	// sweepPause is the time between steps while much is being removed.
	sweepPause = 10 * time.Millisecond
)

// sweep remembers where the sweeper stands.
type sweep struct {
	tables []sweepTable

	mu     sync.Mutex
	table  int
	cursor int64
}

// sweepTable is a table that is walked along its key. look looks at $2 rows
// behind the key $1 and returns how many there were, the key of the last, and
// whether one of them is to go; remove removes those up to the key $2. $3 is the
// time.
type sweepTable struct{ look, remove string }

const (
	// orphan holds for a row whose grant is gone.
	orphan = `NOT EXISTS (SELECT 1 FROM grants g WHERE g.id = t.grant_id AND g.service = t.service)`
	// ended holds for a row whose session is gone.
	ended = `NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = t.session AND s.service = t.service)`
)

// sweepTables are the tables that are swept row by row. Where there are
// partitions, those go as a whole, but for the one that holds the rest.
func sweepTables(partitioned bool) []sweepTable {
	of := func(table string) string {
		if partitioned {
			return restOf(table)
		}
		return table
	}
	const gone = `SELECT count(*) FROM gone`
	return []sweepTable{
		sweepOf("grants", "id", "t.expires_at <= $3", gone),
		sweepOf(of(accessTokens), "id", "(t.expires_at <= $3 OR "+orphan+")", gone),
		sweepOf(of(refreshTokens), "id", "(t.expires_at <= $3 OR "+orphan+")", gone),
		sweepOf(of(handles), "id", "(t.expires_at <= $3 OR t.grant_id <> 0 AND "+orphan+")", gone),
		sweepOf("sessions", "id", "t.expires_at <= $3", gone),
		sweepOf("session_clients", "session", ended, gone),
		sweepOf("used_values", "expires_at", "t.expires_at <= $3", gone),
		// Rows of the feed stay for an hour.
		sweepOf("changes", "seq", "t.at <= ($3::bigint - 3600) * 1000", `, last AS (SELECT key, at FROM gone ORDER BY key DESC LIMIT 1),
			noted AS (UPDATE feed_floor SET floor = last.key, floor_at = last.at FROM last WHERE feed_floor.id = 1 AND feed_floor.floor < last.key) `+gone),
	}
}

func sweepOf(table, key, dead, then string) sweepTable {
	returning := ` RETURNING t.` + key + ` AS key`
	if table == "changes" {
		returning += `, t.at`
	}
	return sweepTable{
		look: `SELECT count(*), max(key), count(*) FILTER (WHERE dead) > 0 FROM (SELECT t.` + key + ` AS key, ` + dead + ` AS dead
			FROM ` + table + ` t WHERE t.` + key + ` > $1 AND $3::bigint IS NOT NULL ORDER BY t.` + key + ` LIMIT $2) l`,
		remove: `WITH gone AS (DELETE FROM ` + table + ` t WHERE t.` + key + ` > $1 AND t.` + key + ` <= $2
			AND $3::bigint IS NOT NULL AND ` + dead + returning + `) ` + then,
	}
}

// Sweep removes expired rows, looking at no more than limit. It returns after
// every table has been looked at once, however far the limit would go.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (removed int, err error) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	for ends := 0; limit > 0 && ends < len(s.sweep.tables); {
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
	return removed, ctx.Err()
}

// sweepOnce looks at the next n rows.
func (s *Store) sweepOnce(ctx context.Context, now int64, n int) (looked, removed int, err error) {
	w := &s.sweep
	table := w.tables[w.table]
	if w.cursor == 0 {
		w.cursor = math.MinInt64 // the first key
	}
	seen, err := s.reads.one(ctx, table.look, w.cursor, int64(n), now)
	if err != nil {
		return 0, 0, err
	}
	looked = int(seen.Int(0))
	if seen.Bool(2) {
		err := s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, table.remove, w.cursor, seen.Int(1), now).Scan(&removed)
		})
		if err != nil {
			return 0, 0, err
		}
	}
	w.cursor = seen.Int(1)
	if looked < n {
		w.table, w.cursor = (w.table+1)%len(w.tables), 0
	}
	return looked, removed, nil
}
