package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// statsDelay is within which idle backends tell the server's statistics what
// they have done (PostgreSQL, §28.2.1: a second when busy, ten when not).
const statsDelay = 11 * time.Second

// usage is what a number of operations took, each on average.
type usage struct {
	node, postgres time.Duration // processor time
	wal            float64       // bytes
	written, read  float64       // rows; read: by an index
	tellings       float64       // transactions that told the change feed
	rate           float64       // operations a second meanwhile
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f µs of processor time in the node and %.1f µs in PostgreSQL, %.0f bytes of WAL, %.2f rows written, %.2f read by an index, the change feed told in %.3f transactions",
		microseconds(u.node), microseconds(u.postgres), u.wal, u.written, u.read, u.tellings)
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// numbers are the usage's, by their names in a file of measurements.
func (u usage) numbers() map[string]float64 {
	return map[string]float64{
		"node_cpu_us": microseconds(u.node), "postgres_cpu_us": microseconds(u.postgres), "wal_bytes": u.wal,
		"rows_written": u.written, "rows_read": u.read, "tellings": u.tellings, "observed_rate": u.rate,
	}
}

// counts are PostgreSQL's own.
type counts struct{ wal, written, read, tellings int64 }

func readCounts(ctx context.Context, conn *pgx.Conn) (c counts, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
			(SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables),
			(SELECT sum(idx_tup_fetch)::bigint FROM pg_stat_user_tables),
			(SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'feed')`).
		Scan(&c.wal, &c.written, &c.read, &c.tellings)
	return c, err
}

// observe keeps a side busy for a while and looks at what it took of the node
// and of PostgreSQL. delay is how long PostgreSQL's statistics need.
func observe(ctx context.Context, server *postgresServer, dsn string, node func() time.Duration, s side, d, delay time.Duration) (u usage, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := wait(ctx, delay); err != nil {
		return u, err
	}
	before, err := readCounts(ctx, conn)
	if err != nil {
		return u, err
	}
	nodeBefore, postgresBefore := node(), server.cpu()
	m, err := s.run(ctx, d)
	if err != nil {
		return u, err
	}
	nodeAfter, postgresAfter := node(), server.cpu()
	if err := wait(ctx, delay); err != nil {
		return u, err
	}
	after, err := readCounts(ctx, conn)
	if err != nil {
		return u, err
	}
	n := float64(m.operations)
	if n == 0 {
		return u, fmt.Errorf("nothing was done within %s", d)
	}
	each := func(before, after int64) float64 { return float64(after-before) / n }
	return usage{
		node: (nodeAfter - nodeBefore) / time.Duration(m.operations), postgres: (postgresAfter - postgresBefore) / time.Duration(m.operations),
		wal: each(before.wal, after.wal), written: each(before.written, after.written), read: each(before.read, after.read),
		tellings: each(before.tellings, after.tellings), rate: m.rate(),
	}, nil
}
