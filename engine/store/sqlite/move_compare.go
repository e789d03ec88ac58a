package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/archived"
)

// findRows is how many rows of the other store are read back at once.
const findRows = 500

// verify brings the other store to one moment, and compares all of it with that.
// It comes after the first pass, so that a change which the journal lacks is found
// too.
func (m *mover) verify(ctx context.Context, moved *Moved) error {
	err := m.conn.reading(func(*conn) error {
		changes, err := m.pass(ctx)
		if err != nil {
			return err
		}
		moved.Passes++
		m.Report(MoveFollow, changes)
		moved.Rows, err = m.compare(ctx)
		return err
	})
	if err != nil {
		return err
	}
	m.Report(MoveCompare, moved.Rows)
	return nil
}

// compare compares all that has not expired in the transaction that is open with
// what is in the other store, and counts it.
func (m *mover) compare(ctx context.Context) (rows int64, err error) {
	now := m.from.opts.Now().Unix()
	add := func(sum archived.Sum, row store.Row) error {
		if archive.Expired(row, now) {
			return nil
		}
		return sum.Add(row)
	}
	here, there := archived.Sum{}, archived.Sum{}
	err = m.conn.rows(func() error { return m.from.goOn(ctx) }, 0, func(row store.Row) error { return add(here, row) })
	if err != nil {
		return 0, err
	}
	if err := m.To.Rows(ctx, 0, func(row store.Row) error { return add(there, finished(row)) }); err != nil {
		return 0, err
	}
	for _, part := range here {
		rows += part.Rows
	}
	return rows, same(here, there)
}

// readBack compares the rows that a pass has taken over with what the other store
// has under the keys of its changes.
func (m *mover) readBack(ctx context.Context, here archived.Sum, last int64) error {
	there := archived.Sum{}
	var keys []store.Row
	find := func() error {
		rows, err := m.To.Find(ctx, keys)
		for _, row := range rows {
			if err == nil {
				err = there.Add(finished(row))
			}
		}
		keys = keys[:0]
		return err
	}
	err := m.eachChanged(last, func(key store.Row) error {
		if keys = append(keys, key); len(keys) < findRows {
			return nil
		}
		return find()
	})
	if err == nil {
		err = find()
	}
	if err != nil {
		return err
	}
	return same(here, there)
}

// finished is a row as it will be when its service has its name.
func finished(row store.Row) store.Row {
	if service, ok := row.(store.ServiceRow); ok {
		service.Issuer = strings.TrimPrefix(service.Issuer, store.Unfinished)
		return service
	}
	return row
}

func same(here, there archived.Sum) error {
	for _, kind := range store.Kinds() {
		if here[kind] != there[kind] {
			return fmt.Errorf("%w: the rows of the kind %s are not those of the other store: %d here, %d there",
				ErrNotMoved, kind, here[kind].Rows, there[kind].Rows)
		}
	}
	return nil
}
