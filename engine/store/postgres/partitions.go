package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// The tables that are partitioned by time, which is by id: an id begins with
// the moment at which it was drawn.
const (
	accessTokens  = "access_tokens"
	refreshTokens = "refresh_tokens"
	handles       = "handles"
)

// byTime says how much time a partition of each table spans. What lives longer
// has longer ones, so that there are never very many.
var byTime = map[string]time.Duration{accessTokens: time.Hour, handles: time.Hour, refreshTokens: 24 * time.Hour}

// partitions knows the partitions that there are. Statements name the partition
// of a row themselves: the server plans them as for a small table of its own,
// takes no lock on the others, and drops one without disturbing anybody. For an
// id that no known partition holds they name the whole table, which is always
// right.
type partitions struct {
	pool   *pgxpool.Pool
	mu     sync.Mutex // held while refreshing
	looked time.Time  // the sweeper's
	set    atomic.Pointer[map[string][]*partition]
}

// partition holds the rows of a table whose ids lie in [from, to).
type partition struct {
	table, name string
	from, to    model.ID
	texts       sync.Map    // statements for the table → for the partition
	until       int64       // the sweeper's: not over before, in Unix seconds
	mixed       atomic.Bool // most of its rows are over, but too many live to be copied
}

// find returns the partition of an id, or nil.
func (p *partitions) find(table string, id model.ID) *partition {
	set := p.set.Load()
	if set == nil {
		return nil
	}
	list := (*set)[table]
	i, found := slices.BinarySearchFunc(list, id, func(part *partition, id model.ID) int {
		switch {
		case id < part.from:
			return 1
		case id >= part.to:
			return -1
		}
		return 0
	})
	if !found {
		return nil
	}
	return list[i]
}

// sql is a statement for the row of an id. Statements are constants.
func (p *partitions) sql(table string, id model.ID, text string) string {
	part := p.find(table, id)
	if part == nil {
		return text
	}
	if own, ok := part.texts.Load(text); ok {
		return own.(string)
	}
	own := strings.ReplaceAll(text, table, part.name)
	part.texts.Store(text, own)
	return own
}

// selectPartitions lists the partitions with what they hold, as text.
const selectPartitions = `SELECT p.relname, c.relname, coalesce(pg_get_expr(c.relpartbound, c.oid), '')
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
	JOIN pg_namespace n ON n.oid = p.relnamespace
	WHERE n.nspname = current_schema() AND p.relkind = 'p'`

// refresh reads which partitions there are. When that fails, the ones that are
// known stay.
func (p *partitions) refresh(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tripTimeout) // others wait for the lock
	defer cancel()
	rows, err := p.pool.Query(ctx, selectPartitions)
	if err != nil {
		return err
	}
	defer rows.Close()
	set := map[string][]*partition{}
	for rows.Next() {
		var table, name, bounds string
		if err := rows.Scan(&table, &name, &bounds); err != nil {
			return err
		}
		part := &partition{table: table, name: name}
		if n, _ := fmt.Sscanf(bounds, "FOR VALUES FROM ('%d') TO ('%d')", &part.from, &part.to); n != 2 {
			continue // the one that holds the rest
		}
		if known := p.find(table, part.from); known != nil && known.name == name && known.to == part.to {
			part = known // with its statements
		}
		set[table] = append(set[table], part)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, list := range set {
		slices.SortFunc(list, func(a, b *partition) int { return int(a.from>>1 - b.from>>1) })
	}
	p.set.Store(&set)
	return nil
}

// currentID is an id that is drawn now.
func currentID(now time.Time) model.ID { return handle.First(now) }

// restOf is the partition that holds what no other does.
func restOf(table string) string { return table + "_rest" }

// create makes the partitions of a table for some time ahead, beside those that
// there are: a node whose clock was wrong may have made some of another time. The
// names say when a partition begins.
func (p *partitions) create(ctx context.Context, table string, width time.Duration, now time.Time) error {
	if err := p.make(ctx, `CREATE TABLE IF NOT EXISTS `+restOf(table)+` PARTITION OF `+table+` DEFAULT`); err != nil {
		return err
	}
	begin, until := handle.First(now.Truncate(width)), handle.First(now.Add(2*width))
	for begin < until {
		if part := p.find(table, begin); part != nil {
			begin = part.to
			continue
		}
		end := begin + handle.First(handle.Time(0).Add(width))
		for _, part := range p.list(table) {
			if part.from > begin {
				end = min(end, part.from)
			}
		}
		name := table + "_" + handle.Time(begin).UTC().Format("20060102t150405")
		err := p.make(ctx, append(withoutVacuum(restOf(table)),
			fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM (%d) TO (%d)`, name, table, begin, end))...)
		if err != nil {
			return fmt.Errorf("making the partition %s: %w", name, err)
		}
		begin = end
	}
	return nil
}

// make runs statements that make a partition, unless another node was first
// (IF NOT EXISTS does not wait for it) or rows of that time are among the rest,
// where they and the others of that time are found too.
func (p *partitions) make(ctx context.Context, statements ...string) error {
	ctx, cancel := context.WithTimeout(ctx, tripTimeout)
	defer cancel()
	err := pgx.BeginTxFunc(ctx, p.pool, readCommitted, func(tx pgx.Tx) error { return execEach(ctx, tx, statements...) })
	switch code(err) {
	case codeDuplicateTable, codeUniqueViolation, codeInvalidObject, codeCheckViolation:
		return nil
	}
	return err
}

func (p *partitions) list(table string) []*partition {
	if set := p.set.Load(); set != nil {
		return (*set)[table]
	}
	return nil
}

// before is the last partition of those that end before another begins, or nil.
func (p *partitions) before(part *partition) (before *partition) {
	for _, other := range p.list(part.table) {
		if other.to <= part.from {
			before = other
		}
	}
	return before
}

// withoutVacuum waits until no VACUUM has the tables, and keeps others away, which
// neither readers nor writers notice: an autovacuum is ended when somebody has
// waited for it for a second (deadlock_timeout). Locks that others do notice do not
// wait for long then: whoever comes after them would wait too.
func withoutVacuum(tables ...string) []string {
	return []string{
		`SET LOCAL lock_timeout = ` + milliseconds(lockTimeout),
		`LOCK TABLE ` + strings.Join(tables, `, `) + ` IN SHARE UPDATE EXCLUSIVE MODE`,
		`SET LOCAL lock_timeout = 500`,
	}
}

func execEach(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
