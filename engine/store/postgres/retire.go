package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
)

const (
	// copyLimit is how many rows are read and copied at most when a partition takes
	// the place of others, for which their writers wait: a second or so.
	copyLimit = 100_000
	// longest is how long it may take to go along a partition.
	longest = 10 * time.Minute
)

// unexpired holds for a row that has not expired, and lives for one that stays.
func unexpired(now time.Time) string { return fmt.Sprintf(`expires_at > %d`, now.Unix()) }

func lives(now time.Time) string {
	return unexpired(now) + ` AND (t.grant_id = 0 OR NOT ` + orphan + `)`
}

// counted is what a partition holds; last is when the last row expires.
type counted struct {
	*partition
	rows, unexpired, live, last int64
}

// count reads all rows, which it is quickest at without an index.
func (s *Store) count(ctx context.Context, part *partition, now time.Time) (counted, error) {
	c := counted{partition: part}
	err := s.atLength(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL enable_seqscan = on`); err != nil {
			return err
		}
		return tx.QueryRow(ctx, fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE %s), count(*) FILTER (WHERE %s), coalesce(max(expires_at), 0) FROM %s t`,
			unexpired(now), lives(now), part.name)).Scan(&c.rows, &c.unexpired, &c.live, &c.last)
	})
	return c, err
}

// retire drops a partition in which everything has expired. Few rows that live
// longer are put together with those of the partition before, so that there are
// never very many partitions; and where they are few among many, the others go
// without them, or, if they are too many to be copied, row by row. It never assumes
// that what is old has expired.
func (s *Store) retire(ctx context.Context, part *partition, width time.Duration, now time.Time) error {
	c, err := s.count(ctx, part, now)
	if err != nil {
		return err
	}
	old := handle.Time(part.to).Add(2 * width)
	few, mixed := c.unexpired <= copyLimit, c.live <= c.rows/2
	part.mixed.Store(mixed && !few && !now.Before(old))
	switch {
	case c.live == 0 && few:
		return s.replace(ctx, now, c)
	case now.Before(old):
		part.until = old.Unix() // fewer may be left by then
		return nil
	case few:
		if before := s.parts.before(part); before != nil {
			b, err := s.count(ctx, before, now)
			if err != nil {
				return err
			}
			if b.unexpired+c.unexpired <= copyLimit {
				return s.replace(ctx, now, b, c)
			}
		}
		if mixed {
			return s.replace(ctx, now, c)
		}
	case mixed:
		part.until = now.Add(width).Unix() // when most are gone
		return nil
	}
	next := time.Duration(min(c.last-now.Unix(), 1<<30)) * time.Second / 4
	part.until = now.Add(min(max(next, width), 24*width)).Unix()
	return nil
}

// replace puts one partition with the rows that live in the place of some that
// follow each other, or none if no row lives.
func (s *Store) replace(ctx context.Context, now time.Time, old ...counted) (err error) {
	var parts []*partition
	for _, c := range old {
		parts = append(parts, c.partition)
		if err == nil && c.rows > copyLimit { // fewer are soon read
			err = s.indexUnexpired(ctx, c.partition, now)
		}
	}
	if err == nil {
		err = s.atLength(ctx, func(tx pgx.Tx) error { return replace(ctx, tx, now, parts) })
	}
	if err != nil {
		return fmt.Errorf("dropping the partition %s: %w", parts[len(parts)-1].name, err)
	}
	return s.parts.refresh(ctx)
}

// indexUnexpired makes an index of the rows of a partition that have not expired,
// while nobody waits for it: by it few of very many are found under the lock, and
// whatever was written since is in it. It goes with the partition. One that is there
// is of an attempt that failed, and may not be whole. Making it fails as long as any
// transaction of the database goes on that began a spell before.
func (s *Store) indexUnexpired(ctx context.Context, part *partition, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	conn, err := s.link.acquire(ctx)
	if err != nil {
		return unavailable(err)
	}
	defer conn.Release()
	name := part.name + `_unexpired`
	for _, statement := range []string{ // one by one: what is CONCURRENTLY is a transaction of its own
		`SET statement_timeout = ` + milliseconds(longest) + `; SET lock_timeout = ` + milliseconds(spell),
		`DROP INDEX CONCURRENTLY IF EXISTS ` + name,
		fmt.Sprintf(`CREATE INDEX CONCURRENTLY %s ON %s (id) WHERE %s`, name, part.name, unexpired(now)),
		`RESET statement_timeout; RESET lock_timeout`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			_ = conn.Conn().Close(ctx) // with the setting
			return err
		}
	}
	return nil
}

// replace copies while only the partitions' own writers wait, and those that lock
// a row to write it: one that waited with a lock would deadlock with what follows,
// for which everybody waits for a moment. What was committed before the lock is
// seen, as each statement looks anew. The new one has the name of the first,
// and holds everything between its bounds, so what lies there among the rest too.
// A node that still names the other is told that it is gone, and looks again.
func replace(ctx context.Context, tx pgx.Tx, now time.Time, parts []*partition) error {
	first, last := parts[0], parts[len(parts)-1]
	table, rest, made := first.table, restOf(first.table), first.table+"_new"
	var names []string
	for _, part := range parts {
		names = append(names, part.name)
	}
	old := strings.Join(names, `, `)
	err := execEach(ctx, tx, append(withoutVacuum(old, rest),
		`LOCK TABLE `+old+` IN EXCLUSIVE MODE`,
		`CREATE TABLE `+made+` (LIKE `+table+` INCLUDING ALL)`)...)
	if err != nil {
		return err
	}
	live := int64(0)
	for _, name := range names {
		tag, err := tx.Exec(ctx, copyLiving(name, made, now))
		if err != nil {
			return err
		}
		live += tag.RowsAffected()
	}
	if live == 0 {
		return execEach(ctx, tx, `DROP TABLE `+old+`, `+made)
	}
	return execEach(ctx, tx,
		`SET LOCAL statement_timeout = `+milliseconds(statementTimeout),
		`DROP TABLE `+old,
		fmt.Sprintf(`WITH strays AS (DELETE FROM %s WHERE id >= %d AND id < %d RETURNING *) INSERT INTO %s SELECT * FROM strays`, rest, first.from, last.to, made),
		fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)`, table, made, first.from, last.to),
		`ALTER TABLE `+made+` RENAME TO `+first.name)
}

// copyLiving copies the rows that live. With the settings of a connection the server
// reads them by the index of those that have not expired, if there is one.
func copyLiving(from, to string, now time.Time) string {
	return `INSERT INTO ` + to + ` SELECT * FROM ` + from + ` t WHERE ` + lives(now)
}

// readCommitted is the level of a transaction whose statements each see what others
// have committed before it, whatever the database's default.
var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

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
	return pgx.BeginTxFunc(ctx, conn.Conn(), readCommitted, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = `+milliseconds(longest)); err != nil {
			return err
		}
		return work(tx)
	})
}
