package sqlite

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/archived"
)

// Rows calls f for every row, in one transaction that reads, on a connection of
// its own: what is written meanwhile stays in the write-ahead log until it ends.
func (s *Store) Rows(ctx context.Context, service model.ID, f func(store.Row) error) error {
	return s.snapshot(func(c *conn) error {
		return c.rows(func() error { return s.goOn(ctx) }, service, f)
	})
}

// rows calls f for every row in the transaction that is open. goOn is asked before
// each.
func (c *conn) rows(goOn func() error, service model.ID, f func(store.Row) error) error {
	for i := range archivedTables {
		t := &archivedTables[i]
		err := c.query(func(r row) error {
			if err := goOn(); err != nil {
				return err
			}
			return t.each(f)(r)
		}, t.list, int64(service))
		if err != nil {
			return err
		}
	}
	return nil
}

// Find reads rows by their keys.
func (s *Store) Find(ctx context.Context, keys []store.Row) (found []store.Row, err error) {
	for _, key := range keys {
		values, err := archived.Values(key)
		if err != nil {
			return nil, err
		}
		t := tableOf(key)
		err = s.reads.query(ctx, t.each(func(row store.Row) error {
			found = append(found, row)
			return nil
		}), t.find, values[:len(t.Key)]...)
		if err != nil {
			return nil, err
		}
	}
	return found, ctx.Err()
}

// goOn returns why work that takes long must end.
func (s *Store) goOn(ctx context.Context) error {
	select {
	case <-s.closing:
		return errClosed
	default:
		return ctx.Err()
	}
}

// snapshot runs f with a connection of its own that sees one moment.
func (s *Store) snapshot(f func(*conn) error) (err error) {
	if err := s.goOn(context.Background()); err != nil {
		return err
	}
	c, err := open(dsn(s.opts.Path, busyTimeout(s.opts.BusyTimeout), "query_only(1)", "cache_size(-8000)"))
	if err != nil {
		return unavailable(err)
	}
	defer func() { err = errors.Join(err, c.close()) }()
	return c.reading(f)
}

// reading runs f in a transaction that reads. An error of the database is
// ErrUnavailable.
func (c *conn) reading(f func(*conn) error) error {
	if _, err := c.exec("BEGIN"); err != nil {
		return unavailable(err)
	}
	err := f(c)
	if _, e := c.exec("ROLLBACK"); err == nil {
		err = e
	}
	if err != nil && code(err) != 0 {
		return unavailable(err)
	}
	return err
}

// PutRows writes rows. An AUTOINCREMENT goes on behind the highest id that was
// ever in its table.
func (s *Store) PutRows(ctx context.Context, rows []store.Row) error {
	return s.eachRow(ctx, rows, func(t *tx, table *archivedTable, values []any) error {
		if _, err := t.exec(table.remove, values[:len(table.Key)]...); err != nil {
			return err
		}
		_, err := t.exec(table.insert, values...)
		return conflict(err)
	})
}

// DeleteRows removes rows.
func (s *Store) DeleteRows(ctx context.Context, rows []store.Row) error {
	return s.eachRow(ctx, rows, func(t *tx, table *archivedTable, values []any) error {
		_, err := t.exec(table.remove, values[:len(table.Key)]...)
		return err
	})
}

// eachRow runs f for each row with the values of its columns, in one transaction.
func (s *Store) eachRow(ctx context.Context, rows []store.Row, f func(*tx, *archivedTable, []any) error) error {
	if len(rows) == 0 {
		return ctx.Err()
	}
	values := make([][]any, len(rows))
	for i, row := range rows {
		var err error
		if values[i], err = archived.Values(row); err != nil {
			return err
		}
	}
	return s.writer.do(ctx, nil, func(t *tx) error {
		for i, row := range rows {
			if err := f(t, tableOf(row), values[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// tableOf finds the table of a row.
func tableOf(row store.Row) *archivedTable {
	for i := range archivedTables {
		if archivedTables[i].Kind == store.KindOf(row) {
			return &archivedTables[i]
		}
	}
	return nil // store.Row is a closed set: there is none
}
