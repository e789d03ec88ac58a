package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// readers ask a database on behalf of callers: each takes the queries that wait
// and sends them together. A caller that gives up leaves its query to them, so
// that no connection has to be closed for it.
type readers struct {
	link  *link
	parts *partitions
	queue *queue[*query]
}

// query is one caller's question.
type query struct {
	ctx   context.Context
	table string // and id: the row whose partition is asked, if any
	id    model.ID
	sql   string
	many  string // asks for many such rows at once, if not empty
	args  []any
	done  chan struct{} // closed when what follows may be read
	rows  []row
	err   error
}

func newReaders(link *link, parts *partitions) *readers {
	return &readers{link: link, parts: parts, queue: newQueue[*query]()}
}

// query returns the rows of a query. Its error is the context's or ErrUnavailable.
func (r *readers) query(ctx context.Context, sql string, args ...any) ([]row, error) {
	return r.ask(&query{ctx: ctx, sql: sql, args: args})
}

func (r *readers) ask(q *query) ([]row, error) {
	if err := q.ctx.Err(); err != nil {
		return nil, err
	}
	q.done = make(chan struct{})
	if err := r.queue.put(q.ctx, q); err != nil {
		return nil, err
	}
	select {
	case <-q.done:
		return q.rows, q.err
	case <-q.ctx.Done():
		return nil, q.ctx.Err()
	}
}

// one returns the row of a query, or ErrNotFound. A text that no row can hold
// is not asked for.
func (r *readers) one(ctx context.Context, sql string, args ...any) (row, error) {
	if !storable(args) {
		return nil, errors.Join(ctx.Err(), store.ErrNotFound)
	}
	return first(r.query(ctx, sql, args...))
}

// of returns the row of an id in a table that is partitioned.
func (r *readers) of(ctx context.Context, table string, id model.ID, look lookup, args ...any) (row, error) {
	return first(r.ask(&query{ctx: ctx, table: table, id: id, sql: look.one, many: look.many, args: args}))
}

func first(rows []row, err error) (row, error) {
	if err == nil && len(rows) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// storable reports whether a row can hold the texts among some arguments.
func storable(args []any) bool {
	return !slices.ContainsFunc(args, func(arg any) bool {
		text, ok := arg.(string)
		return ok && (strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text))
	})
}

// loop is a worker. It ends when the queue is closed and empty.
func (r *readers) loop() {
	batch := make([]*query, 0, maxBatch)
	for {
		if batch = r.queue.take(batch[:0]); len(batch) == 0 {
			return
		}
		r.answer(batch)
		clear(batch)
	}
}

// answer asks everything at once. When that fails, each is asked by itself, so
// that nobody suffers for another's question.
func (r *readers) answer(batch []*query) {
	waiting := batch[:0]
	for _, q := range batch {
		if q.ctx.Err() != nil {
			close(q.done) // nobody reads it
			continue
		}
		waiting = append(waiting, q)
	}
	if len(waiting) == 0 {
		return
	}
	err := r.try(waiting)
	for _, q := range waiting {
		if q.err = err; code(err) != "" && len(waiting) > 1 {
			q.err = r.try([]*query{q})
		}
	}
	for _, q := range waiting {
		if q.err != nil {
			q.rows, q.err = nil, unavailable(q.err)
		}
		close(q.done)
	}
}

// try asks again by another connection when one is broken, and in another place
// when a partition is gone.
func (r *readers) try(batch []*query) error {
	for attempt := 1; ; attempt++ {
		err := r.send(batch)
		if err == nil || attempt == maxAttempts {
			return err
		}
		switch {
		case code(err) == codeDeadlock, code(err) == codeSerialization: // with a migration
			time.Sleep(rand.N(time.Duration(attempt) * 10 * time.Millisecond))
		case code(err) == codeUndefinedTable:
			_ = r.parts.refresh(context.Background()) // or the next attempt says so
		case !isLost(err) || r.link.refusal() != nil:
			return err
		}
	}
}

// send asks in one round trip and reads the answers.
func (r *readers) send(batch []*query) error {
	ctx, cancel := context.WithTimeout(context.Background(), tripTimeout)
	defer cancel()
	conn, err := r.link.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var b pgx.Batch
	groups, alone := r.grouped(batch)
	for _, g := range groups {
		b.Queue(g.text, g.services, g.ids)
	}
	for _, q := range alone {
		b.Queue(r.text(q, q.sql), q.args...)
	}
	results := conn.SendBatch(ctx, &b)
	for _, g := range groups {
		if err == nil {
			err = collect(results, func(row row) { g.queries[row.Int(0)-1].rows = append(g.queries[row.Int(0)-1].rows, row[1:]) })
		}
	}
	for _, q := range alone {
		if err == nil {
			err = collect(results, func(r row) { q.rows = append(q.rows, r) })
		}
	}
	if e := results.Close(); err == nil {
		err = e
	}
	return err
}

// group are queries that one statement answers.
type group struct {
	text          string
	services, ids []int64
	queries       []*query
}

// grouped puts those together that ask the same of one partition.
func (r *readers) grouped(batch []*query) (groups []*group, alone []*query) {
	if len(batch) == 1 {
		batch[0].rows = nil
		return nil, batch
	}
	byText := map[string]*group{}
	for _, q := range batch {
		if q.rows = nil; q.many == "" {
			alone = append(alone, q)
			continue
		}
		text := r.text(q, q.many)
		g := byText[text]
		if g == nil {
			g = &group{text: text}
			byText[text], groups = g, append(groups, g)
		}
		g.services, g.ids = append(g.services, q.args[0].(int64)), append(g.ids, q.args[1].(int64))
		g.queries = append(g.queries, q)
	}
	return groups, alone
}

// text names the partition of the row that a query is about.
func (r *readers) text(q *query, sql string) string {
	if q.table == "" {
		return sql
	}
	return r.parts.sql(q.table, q.id, sql)
}

// collect reads the rows of the next result.
func collect(results pgx.BatchResults, f func(row)) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		f(copyRow(rows))
	}
	return rows.Err()
}
