package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/archived"
)

const (
	// batchRows is how many rows a transaction puts or deletes, unless they take
	// batchBytes before.
	batchRows  = 500
	batchBytes = 4 << 20
)

// Loading puts the rows of services into a store where they are not. The
// services get their names when all is there, at once. Until then they are
// nobody's, so that what one Loading has left another can Clear. It is for one
// goroutine.
type Loading struct {
	to       store.Store
	hold     *hold
	found    []store.ServiceRow
	left     []model.ID
	services map[model.ID]store.Row
	puts     []store.Row
	deletes  []store.Row
	size     int // of what was put off, in bytes
	rows     int64
}

// Load begins to load. Close it after use. ErrLoading, from here on and for good:
// somebody else does, or has done since.
func Load(ctx context.Context, to store.Store) (*Loading, error) {
	l := &Loading{to: to, services: map[model.ID]store.Row{}}
	var err error
	if l.hold, err = take(ctx, to); err != nil {
		return nil, err
	}
	err = read(ctx, to, 0, func(row store.Row) error {
		service, ok := row.(store.ServiceRow)
		switch {
		case !ok:
			return errEnough
		case isUnfinished(service):
			l.left = append(l.left, service.ID)
		default:
			l.found = append(l.found, service)
		}
		return nil
	})
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Found are the services that the store had, but those that are unfinished.
func (l *Loading) Found() []store.ServiceRow { return l.found }

// Rows is how many rows were put.
func (l *Loading) Rows() int64 { return l.rows }

// Put puts a row, sooner or later.
func (l *Loading) Put(ctx context.Context, row store.Row) error {
	if service, ok := row.(store.ServiceRow); ok {
		l.services[service.ID] = row
		service.Issuer = store.Unfinished + service.Issuer
		row = service
	}
	if len(l.deletes) > 0 {
		if err := l.Flush(ctx); err != nil {
			return err
		}
	}
	l.puts = append(l.puts, row)
	return l.full(ctx, row)
}

// Delete deletes the row with a key, sooner or later.
func (l *Loading) Delete(ctx context.Context, row store.Row) error {
	if service, ok := row.(store.ServiceRow); ok {
		delete(l.services, service.ID)
	}
	if len(l.puts) > 0 {
		if err := l.Flush(ctx); err != nil {
			return err
		}
	}
	l.deletes = append(l.deletes, row)
	return l.full(ctx, row)
}

// full flushes when the row was one that fills the batch.
func (l *Loading) full(ctx context.Context, row store.Row) error {
	size, err := sizeOf(row)
	if err != nil {
		return err
	}
	if l.size += size; l.size < batchBytes && len(l.puts)+len(l.deletes) < batchRows {
		return nil
	}
	return l.Flush(ctx)
}

// sizeOf is about how many bytes a row takes.
func sizeOf(row store.Row) (bytes int, err error) {
	values, err := archived.Values(row)
	for _, value := range values {
		switch v := value.(type) {
		case string:
			bytes += len(v)
		case []byte:
			bytes += len(v)
		}
	}
	return bytes, err
}

// Flush does what was put off. store.ErrConflict: another row has the name of one
// of them or, in another service, its id.
func (l *Loading) Flush(ctx context.Context) error {
	if len(l.deletes) > 0 {
		if err := l.delete(ctx); err != nil {
			return err
		}
	}
	if len(l.puts) > 0 {
		err := l.put(ctx, l.puts...)
		if errors.Is(err, store.ErrConflict) {
			err = l.oneByOne(ctx)
		}
		if err != nil {
			return err
		}
	}
	l.rows += int64(len(l.puts))
	l.puts, l.deletes, l.size = empty(l.puts), empty(l.deletes), 0
	return nil
}

// empty makes a list ready for the next batch, and holds on to no row of this one.
func empty(rows []store.Row) []store.Row {
	clear(rows)
	return rows[:0]
}

func (l *Loading) delete(ctx context.Context) error {
	return l.hold.write(ctx, func(ctx context.Context) error { return l.to.DeleteRows(ctx, l.deletes) })
}

func (l *Loading) put(ctx context.Context, rows ...store.Row) error {
	return l.hold.write(ctx, func(ctx context.Context) error { return l.to.PutRows(ctx, rows) })
}

// oneByOne puts the rows of a batch that was refused, to find the one that is in
// conflict.
func (l *Loading) oneByOne(ctx context.Context) error {
	for _, row := range l.puts {
		if err := l.put(ctx, row); err != nil {
			return fmt.Errorf("%s: %w", nameOf(row), err)
		}
	}
	return nil
}

// Finish gives the services their names. store.ErrConflict: somebody has taken one.
func (l *Loading) Finish(ctx context.Context) error {
	if err := l.Flush(ctx); err != nil {
		return err
	}
	return l.put(ctx, slices.Collect(maps.Values(l.services))...)
}

// Close lets others load.
func (l *Loading) Close() { l.hold.release() }

func isUnfinished(s store.ServiceRow) bool { return strings.HasPrefix(s.Issuer, store.Unfinished) }

// issuerOf is the issuer that a service has, or will have when it is finished.
func issuerOf(s store.ServiceRow) string { return strings.TrimPrefix(s.Issuer, store.Unfinished) }

// errEnough ends read.
var errEnough = errors.New("enough was read")

// read calls f for rows until it returns errEnough.
func read(ctx context.Context, from store.Archive, service model.ID, f func(store.Row) error) error {
	err := from.Rows(ctx, service, f)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// Clear removes the services that were not finished: with the secrets of the
// whole store when there is no other.
func (l *Loading) Clear(ctx context.Context) error {
	for _, service := range l.left {
		err := l.to.Rows(ctx, service, func(row store.Row) error {
			switch r := row.(type) {
			case store.ServiceRow:
				return nil // last, so that what is left is found again
			case store.SecretRow:
				if r.Service == 0 && len(l.found) > 0 {
					return nil
				}
			}
			return l.Delete(ctx, row)
		})
		if err == nil {
			err = l.Delete(ctx, store.ServiceRow{ID: service})
		}
		if err != nil {
			return err
		}
	}
	return l.Flush(ctx)
}
