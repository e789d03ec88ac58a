package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/archived"
)

// Rows calls f for every row, in one transaction that reads, on a connection of
// its own: the server keeps what is changed meanwhile until it ends.
func (s *Store) Rows(ctx context.Context, service model.ID, f func(store.Row) error) error {
	return s.snapshot(ctx, func(tx pgx.Tx) error {
		for i := range archived.Tables {
			t := &archived.Tables[i]
			rows, err := tx.Query(ctx, t.List("$1::bigint"), int64(service))
			if err != nil {
				return unavailable(err)
			}
			if err := s.eachArchived(t, rows, f); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) eachArchived(t *archived.Table, rows pgx.Rows, f func(store.Row) error) error {
	defer rows.Close()
	for rows.Next() {
		select {
		case <-s.closing:
			return errClosed
		default:
		}
		r, err := t.Scan(copyRow(rows))
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		if err := f(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

// snapshot runs f in a transaction that sees one moment, on a connection of its
// own, for as long as f takes.
func (s *Store) snapshot(ctx context.Context, f func(pgx.Tx) error) error {
	select {
	case <-s.closing:
		return errClosed
	default:
	}
	config := s.pool.Config().ConnConfig
	config.RuntimeParams["statement_timeout"], config.RuntimeParams["idle_in_transaction_session_timeout"] = "0", "0"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return unavailable(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return unavailable(err)
	}
	if s.parts.set.Load() != nil {
		// The moment is that of the first query. A partition that went after it and
		// before its own turn would be gone with rows that live on among the rest.
		if _, err := tx.Exec(ctx, `LOCK TABLE access_tokens, refresh_tokens, handles IN ACCESS SHARE MODE`); err != nil {
			return unavailable(err)
		}
	}
	return f(tx) // closing the connection ends it
}

// Find reads rows by their keys, in one round trip.
func (s *Store) Find(ctx context.Context, keys []store.Row) (found []store.Row, err error) {
	if len(keys) == 0 {
		return nil, ctx.Err()
	}
	err = s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		found = nil // of an attempt that failed
		var b pgx.Batch
		err := queueEach(keys, func(t *archived.Table, values []any) {
			b.Queue(s.textFor(t, values, t.Find("$")), values[:len(t.Key)]...).Query(func(rows pgx.Rows) error {
				return s.eachArchived(t, rows, func(row store.Row) error {
					found = append(found, row)
					return nil
				})
			})
		})
		if err != nil {
			return err
		}
		return conn.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// PutRows writes rows.
func (s *Store) PutRows(ctx context.Context, rows []store.Row) error {
	return s.eachRow(ctx, rows, func(b *pgx.Batch, t *archived.Table, values []any) {
		b.Queue(s.textFor(t, values, put(t)), values...).Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() == 0 {
				return store.ErrConflict // the id is another service's
			}
			return nil
		})
	})
}

// DeleteRows removes rows.
func (s *Store) DeleteRows(ctx context.Context, rows []store.Row) error {
	return s.eachRow(ctx, rows, func(b *pgx.Batch, t *archived.Table, values []any) {
		b.Queue(s.textFor(t, values, `DELETE FROM `+t.Name+` WHERE `+t.Named("$")), values[:len(t.Key)]...)
	})
}

// put inserts a row, or replaces the one with its key.
func put(t *archived.Table) string {
	columns := t.Columns()
	places, sets := make([]string, len(columns)), make([]string, len(columns))
	for i, column := range columns {
		places[i] = fmt.Sprintf("$%d", i+1)
		sets[i] = fmt.Sprintf("%s = excluded.%[1]s", column)
	}
	key, condition := strings.Join(t.Key, `, `), ``
	if slices.Contains(t.Key, "id") {
		key = "id"
		if len(t.Key) > 1 {
			condition = ` WHERE t.service = excluded.service`
		}
	}
	return fmt.Sprintf(`INSERT INTO %s AS t (%s) VALUES (%s) ON CONFLICT (%s) DO UPDATE SET %s%s`,
		t.Name, strings.Join(columns, `, `), strings.Join(places, `, `), key, strings.Join(sets, `, `), condition)
}

// textFor names the partition of a row that has one.
func (s *Store) textFor(t *archived.Table, values []any, text string) string {
	if _, ok := byTime[t.Name]; !ok {
		return text
	}
	return s.parts.sql(t.Name, model.ID(values[1].(int64)), text)
}

// queueEach calls queue with each row's table and values. A batch is good for one
// attempt: it keeps what the connection it was sent by knows of its statements.
func queueEach(rows []store.Row, queue func(*archived.Table, []any)) error {
	for _, row := range rows {
		values, err := archived.Values(row)
		if err != nil {
			return err
		}
		queue(archived.Of(row), values)
	}
	return nil
}

// eachRow queues statements for each row and runs them in one transaction.
func (s *Store) eachRow(ctx context.Context, rows []store.Row, queue func(*pgx.Batch, *archived.Table, []any)) error {
	if len(rows) == 0 {
		return ctx.Err()
	}
	return s.exec(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var b pgx.Batch
		err := queueEach(rows, func(t *archived.Table, values []any) { queue(&b, t, values) })
		if err != nil {
			return err
		}
		for _, table := range []string{"services", "clients"} {
			if slices.ContainsFunc(rows, func(r store.Row) bool { return archived.Of(r).Name == table }) {
				// What the store numbers itself goes on behind every number that is there.
				b.Queue(fmt.Sprintf(`SELECT setval(pg_get_serial_sequence('%[1]s', 'id'), greatest(max(id), nextval(pg_get_serial_sequence('%[1]s', 'id')))) FROM %[1]s`, table))
			}
		}
		return outcome(pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &b).Close() }))
	})
}
