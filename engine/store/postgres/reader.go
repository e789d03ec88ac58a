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
	slow  *slowTexts
	aside *readers // ask what would keep others waiting; nil: these do
}

// query is one caller's question.
type query struct {
	ctx   context.Context
	table string // and id: the row whose partition is asked, if any
	id    model.ID
	sql   string
	many  string // asks for many such rows at once, if not empty
	args  []any

	answered bool          // the readers'
	done     chan struct{} // closed when what follows may be read
	rows     []row
	err      error
}

// newReaders makes readers with others aside, if those are given.
func newReaders(link *link, parts *partitions, aside *readers) *readers {
	r := &readers{link: link, parts: parts, queue: newQueue[*query](), slow: &slowTexts{}, aside: aside}
	if aside != nil {
		r.slow = aside.slow
	}
	return r
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

// answer asks everything at once, and again what was left without an answer, so
// that nobody suffers for another's question. It asks by another connection when
// one is broken, and in another place when a partition is gone.
func (r *readers) answer(batch []*query) {
	for attempt := 1; ; {
		if batch = r.waiting(batch); len(batch) == 0 {
			return
		}
		failed, err := r.send(batch)
		switch {
		case err == nil:
		case isSlow(err) && failed != nil:
			r.late(batch, r.own(failed.queries[0]), err)
		case attempt == maxAttempts:
			finish(batch, err)
		case code(err) == codeDeadlock, code(err) == codeSerialization: // with a migration
			attempt++
			time.Sleep(rand.N(time.Duration(attempt) * 10 * time.Millisecond))
		case code(err) == codeUndefinedTable:
			attempt++
			_ = r.parts.refresh(context.Background()) // or the next attempt says so
		case isLost(err) && r.link.refusal() == nil:
			attempt++
		case failed != nil && code(err) != "":
			failed.fail(err)
		default:
			finish(batch, err)
		}
	}
}

// waiting returns those of a batch that wait for an answer still. It sends aside
// those that would keep the others waiting.
func (r *readers) waiting(batch []*query) []*query {
	rest := batch[:0]
	for _, q := range batch {
		switch {
		case q.answered:
		case q.ctx.Err() != nil:
			q.finish(q.ctx.Err())
		case r.aside != nil && r.slow.any(func(text string) bool { return text == r.own(q) }):
			if err := r.aside.queue.offer(q.ctx, q); err != nil {
				q.finish(err)
			}
		default:
			rest = append(rest, q)
		}
	}
	return rest
}

// late notes that a statement waited too long. Aside, there is no waiting on:
// those who ask the same are told.
func (r *readers) late(batch []*query, text string, err error) {
	r.slow.add(text)
	for _, q := range batch {
		if r.aside == nil && !q.answered && r.own(q) == text {
			q.finish(unavailable(err))
		}
	}
}

func (q *query) finish(err error) {
	if q.answered = true; err != nil {
		q.rows, q.err = nil, err
	}
	close(q.done)
}

// finish answers with an error those of a batch that have no answer yet.
func finish(batch []*query, err error) {
	for _, q := range batch {
		if !q.answered {
			q.finish(unavailable(err))
		}
	}
}

// send asks in one round trip. When that fails, the queries before the failing
// one have their answers.
func (r *readers) send(batch []*query) (failed *group, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), tripTimeout)
	defer cancel()
	conn, err := r.link.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	var b pgx.Batch
	groups := r.grouped(batch)
	for _, g := range groups {
		if g.many {
			g.args = []any{g.services, g.ids}
		}
		b.Queue(g.text, g.args...)
	}
	results := conn.SendBatch(ctx, &b)
	for _, g := range groups {
		if err = g.read(results); err != nil {
			failed = g
			break
		}
		if r.aside == nil {
			r.slow.remove(func(text string) bool { return text == r.own(g.queries[0]) }) // it went through
		}
	}
	if e := results.Close(); err == nil {
		err = e
	}
	if unprepared := (pgx.ErrPreprocessingBatch{}); errors.As(err, &unprepared) { // and none was asked
		for _, g := range groups {
			if g.text == unprepared.SQL() {
				failed = g
			}
		}
	}
	return failed, err
}

// group are queries that one statement answers.
type group struct {
	text    string
	args    []any
	queries []*query

	many          bool // rows begin with the place of their query
	services, ids []int64
}

// grouped puts those together that ask the same of one partition.
func (r *readers) grouped(batch []*query) (groups []*group) {
	byText := map[string]*group{}
	for _, q := range batch {
		if q.rows = nil; q.many == "" || len(batch) == 1 {
			groups = append(groups, &group{text: r.own(q), args: q.args, queries: []*query{q}})
			continue
		}
		text := r.text(q, q.many)
		g := byText[text]
		if g == nil {
			g = &group{text: text, many: true}
			byText[text], groups = g, append(groups, g)
		}
		g.services, g.ids = append(g.services, q.args[0].(int64)), append(g.ids, q.args[1].(int64))
		g.queries = append(g.queries, q)
	}
	return groups
}

// read reads the answers to a group.
func (g *group) read(results pgx.BatchResults) error {
	err := collect(results, func(row row) {
		q := g.queries[0]
		if g.many {
			q, row = g.queries[row.Int(0)-1], row[1:]
		}
		q.rows = append(q.rows, row)
	})
	if err != nil {
		return err
	}
	for _, q := range g.queries {
		q.finish(nil)
	}
	return nil
}

// fail answers a query that failed. Of many, each is asked by itself.
func (g *group) fail(err error) {
	if len(g.queries) == 1 {
		finish(g.queries, err)
	}
	for _, q := range g.queries {
		q.many = ""
	}
}

// own is the statement that asks a query by itself, and names it among those
// that are slow.
func (r *readers) own(q *query) string { return r.text(q, q.sql) }

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
