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
	// copyLimit is how many rows are copied at most when a partition takes the
	// place of others, for which their writers wait: a second or so.
	copyLimit = 100_000
	// longest is how long it may take to go along a partition.
	longest = 10 * time.Minute
)

// lives holds for a row that stays.
func lives(now time.Time) string {
	return fmt.Sprintf(`t.expires_at > %d AND (t.grant_id = 0 OR NOT %s)`, now.Unix(), orphan)
}

// counted is what a partition holds; last is when the last row expires.
type counted struct{ rows, live, last int64 }

func (s *Store) count(ctx context.Context, part *partition, now time.Time) (c counted, err error) {
	err = s.atLength(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE %s), coalesce(max(expires_at), 0) FROM %s t`, lives(now), part.name)).
			Scan(&c.rows, &c.live, &c.last)
	})
	return c, err
}

// retire drops a partition in which everything has expired. Few rows that live
// longer are put together with those of the partition before, so that there are
// never very many partitions; and where they are few among many, the others go
// without them. It never assumes that what is old has expired.
func (s *Store) retire(ctx context.Context, part *partition, width time.Duration, now time.Time) error {
	c, err := s.count(ctx, part, now)
	if err != nil {
		return err
	}
	old := handle.Time(part.to).Add(2 * width)
	switch {
	case c.live == 0:
		return s.replace(ctx, now, part)
	case now.Before(old):
		part.until = old.Unix() // fewer may be left by then
		return nil
	case c.live <= copyLimit:
		if before := s.parts.before(part); before != nil {
			b, err := s.count(ctx, before, now)
			if err != nil {
				return err
			}
			if b.live+c.live <= copyLimit {
				return s.replace(ctx, now, before, part)
			}
		}
		if c.live <= c.rows/2 {
			return s.replace(ctx, now, part)
		}
	}
	next := time.Duration(min(c.last-now.Unix(), 1<<30)) * time.Second / 4
	part.until = now.Add(min(max(next, width), 24*width)).Unix()
	return nil
}

// replace puts one partition with the rows that live in the place of some that
// follow each other, or none if no row lives.
func (s *Store) replace(ctx context.Context, now time.Time, parts ...*partition) error {
	err := s.atLength(ctx, func(tx pgx.Tx) error { return replace(ctx, tx, now, parts) })
	if err != nil {
		return fmt.Errorf("dropping the partition %s: %w", parts[len(parts)-1].name, err)
	}
	return s.parts.refresh(ctx)
}

// replace copies while only the partitions' own writers wait, and those that lock
// a row to write it: one that waited with a lock would deadlock with what follows,
// for which everybody waits for a moment. The new one has the name of the first,
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
		tag, err := tx.Exec(ctx, `INSERT INTO `+made+` SELECT * FROM `+name+` t WHERE `+lives(now))
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
		_, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true), set_config('enable_seqscan', 'on', true)`, milliseconds(longest))
		if err != nil {
			return err
		}
		return work(tx)
	})
}
