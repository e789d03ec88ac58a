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

// counts are of everything that was done so far.
type counts struct {
	node, postgres               time.Duration
	wal, written, read, tellings int64 // PostgreSQL's own
}

// minus is what was done between two counts.
func (c counts) minus(before counts) counts {
	return counts{
		c.node - before.node, c.postgres - before.postgres,
		c.wal - before.wal, c.written - before.written, c.read - before.read, c.tellings - before.tellings,
	}
}

// readRows asks PostgreSQL for its counts.
func (c *counts) readRows(ctx context.Context, conn *pgx.Conn) error {
	return conn.QueryRow(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
			(SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables),
			(SELECT sum(idx_tup_fetch)::bigint FROM pg_stat_user_tables),
			(SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'feed')`).
		Scan(&c.wal, &c.written, &c.read, &c.tellings)
}

// observer looks at what a node and PostgreSQL do.
type observer struct {
	server *postgresServer
	conn   *pgx.Conn
	node   func() time.Duration // processor time
	delay  time.Duration        // that PostgreSQL's statistics need
}

// during counts what is done while do runs. PostgreSQL's own counts begin, and
// end, a delay later.
func (o observer) during(ctx context.Context, do func() error) (counts, error) {
	var before, after counts
	if err := before.readRows(ctx, o.conn); err != nil {
		return counts{}, err
	}
	before.node, before.postgres = o.node(), o.server.cpu()
	if err := do(); err != nil {
		return counts{}, err
	}
	after.node, after.postgres = o.node(), o.server.cpu()
	if err := wait(ctx, o.delay); err != nil {
		return counts{}, err
	}
	err := after.readRows(ctx, o.conn)
	return after.minus(before), err
}

// observe keeps a side busy for a while and looks at what it took of the node
// and of PostgreSQL, beyond what both do in the same time without load. delay
// is how long PostgreSQL's statistics need.
func observe(ctx context.Context, server *postgresServer, dsn string, node func() time.Duration, s side, d, delay time.Duration) (u usage, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := wait(ctx, delay); err != nil {
		return u, err
	}
	o := observer{server, conn, node, delay}
	idle, err := o.during(ctx, func() error { return wait(ctx, d) })
	if err != nil {
		return u, err
	}
	var m sample
	busy, err := o.during(ctx, func() (err error) {
		m, err = s.run(ctx, d)
		return err
	})
	if err != nil {
		return u, err
	}
	if m.operations == 0 {
		return u, fmt.Errorf("nothing was done within %s", d)
	}
	return m.each(busy.minus(idle)), nil
}

// each is what one operation took of what all did.
func (m sample) each(all counts) usage {
	n := float64(m.operations)
	return usage{
		node: max(0, all.node) / time.Duration(m.operations), postgres: max(0, all.postgres) / time.Duration(m.operations),
		wal: float64(max(0, all.wal)) / n, written: float64(max(0, all.written)) / n, read: float64(max(0, all.read)) / n,
		tellings: float64(max(0, all.tellings)) / n, rate: m.rate(),
	}
}
