package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/store/internal/sweeper"
)

// sweepTable is a table that is walked along its key. look looks at $2 rows
// behind the key $1 and returns how many there were, the key of the last, whether
// one of them is to go, and the greatest key of all; remove removes those up to
// the key $2. $3 is the time.
type sweepTable struct {
	look, remove string
	ordered      bool // the key is the expiry
}

const (
	// orphan holds for a row whose grant is gone.
	orphan = `NOT EXISTS (SELECT 1 FROM grants g WHERE g.id = t.grant_id AND g.service = t.service)`
	// ended holds for a row whose session is gone.
	ended = `NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = t.session AND s.service = t.service)`
)

// goes holds for a row of a table by time that is over; $3 is the time.
func goes(table string) string {
	if table == handles {
		return "(t.expires_at <= $3 OR t.grant_id <> 0 AND " + orphan + ")"
	}
	return "(t.expires_at <= $3 OR " + orphan + ")"
}

const gone = `SELECT count(*) FROM gone`

// sweepTables are the tables that are always swept row by row. Where there are
// partitions, those go as a whole, but for the one that holds the rest, and those
// in which too many live for that.
func sweepTables(partitioned bool) []sweepTable {
	of := func(table string) string {
		if partitioned {
			return restOf(table)
		}
		return table
	}
	return []sweepTable{
		sweepOf("grants", "id", "t.expires_at <= $3", gone),
		sweepOf(of(accessTokens), "id", goes(accessTokens), gone),
		sweepOf(of(refreshTokens), "id", goes(refreshTokens), gone),
		sweepOf(of(handles), "id", goes(handles), gone),
		sweepOf("sessions", "id", "t.expires_at <= $3", gone),
		sweepOf("session_clients", "session", ended, gone),
		inOrder(sweepOf("used_values", "expires_at", "t.expires_at <= $3", gone)),
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
		look: `SELECT count(*), max(key), count(*) FILTER (WHERE dead) > 0, (SELECT max(` + key + `) FROM ` + table + `) FROM (SELECT t.` + key + ` AS key, ` + dead + ` AS dead
			FROM ` + table + ` t WHERE t.` + key + ` > $1 AND $3::bigint IS NOT NULL ORDER BY t.` + key + ` LIMIT $2) l`,
		remove: `WITH gone AS (DELETE FROM ` + table + ` t WHERE t.` + key + ` > $1 AND t.` + key + ` <= $2
			AND $3::bigint IS NOT NULL AND ` + dead + returning + `) ` + then,
	}
}

func inOrder(t sweepTable) sweepTable {
	t.ordered = true
	return t
}

// newSweeper makes the sweeper of a store.
func newSweeper(s *Store, partitioned bool) *sweeper.Sweeper {
	var tables []sweeper.Table
	for _, t := range sweepTables(partitioned) {
		tables = append(tables, sweeper.Table{Ordered: t.ordered, Sweep: func(ctx context.Context, now, from int64, n int) (sweeper.Seen, error) {
			return s.sweepOnce(ctx, t, now, from, n)
		}})
	}
	for _, table := range []string{accessTokens, refreshTokens, handles} {
		tables = append(tables, sweeper.Table{Sweep: func(ctx context.Context, now, from int64, n int) (sweeper.Seen, error) {
			return s.sweepMixed(ctx, table, now, from, n)
		}})
	}
	return sweeper.New(tables...)
}

// Sweep removes expired rows, looking at no more than limit. It returns after
// every table has been looked at to its end once, however far the limit would go.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (removed int, err error) {
	return s.sweeper.Sweep(ctx, now, limit)
}

// sweepOnce looks at the next n rows of a table.
func (s *Store) sweepOnce(ctx context.Context, table sweepTable, now, from int64, n int) (seen sweeper.Seen, err error) {
	found, err := s.reads.one(ctx, table.look, from, int64(n), now)
	if err != nil {
		return seen, err
	}
	seen.Looked, seen.Last, seen.End = int(found.Int(0)), found.Int(1), found.Int(3)
	if !found.Bool(2) {
		return seen, nil
	}
	err = s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, table.remove, from, seen.Last, now).Scan(&seen.Removed)
	})
	return seen, err
}

// sweepMixed looks at the next n rows of those partitions of a table that are swept
// row by row, as if they were one table: they follow each other along the key.
func (s *Store) sweepMixed(ctx context.Context, table string, now, from int64, n int) (seen sweeper.Seen, err error) {
	seen.End = math.MaxInt64 // nothing is added to them, and behind the last no row is found
	for _, part := range s.parts.list(table) {
		if !part.mixed.Load() || int64(part.to) <= from || seen.Looked == n {
			continue
		}
		found, err := s.sweepOnce(ctx, sweepOf(part.name, "id", goes(table), gone), now, from, n-seen.Looked)
		if err != nil {
			return seen, err
		}
		if found.Looked > 0 {
			seen.Last = found.Last
		}
		seen.Looked, seen.Removed = seen.Looked+found.Looked, seen.Removed+found.Removed
	}
	return seen, nil
}
