package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// batchRows is how many rows a transaction puts or deletes.
	batchRows = 500
	// leaseName is the lease of who loads into a store, leaseTime how long it
	// outlives one who was killed.
	leaseName = "loading"
	leaseTime = 15 * time.Second
	// unfinished begins the issuer of a service that is being loaded. It is no
	// URL: nobody asks for such a service, and nobody gets half of one.
	unfinished = "unfinished: "
)

// ErrLoading: somebody else is loading rows into the store.
var ErrLoading = fmt.Errorf("others are loading rows into this store; should they have been ended, try again in %s", leaseTime)

// Loading puts the rows of services into a store where they are not. The
// services get their names when all is there, at once. Until then they are
// nobody's, so that what one Loading has left another can Clear. It is for one
// goroutine.
type Loading struct {
	to       store.Store
	holder   string
	found    []store.ServiceRow
	left     []model.ID
	services map[model.ID]store.Row
	puts     []store.Row
	deletes  []store.Row
	rows     int64
}

// Load begins to load. Close it after use. ErrLoading: somebody else does.
func Load(ctx context.Context, to store.Store) (*Loading, error) {
	l := &Loading{to: to, holder: rand.Text(), services: map[model.ID]store.Row{}}
	if err := l.hold(ctx); err != nil {
		return nil, err
	}
	err := read(ctx, to, 0, func(row store.Row) error {
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
		service.Issuer = unfinished + service.Issuer
		row = service
	}
	if len(l.deletes) > 0 {
		if err := l.Flush(ctx); err != nil {
			return err
		}
	}
	if l.puts = append(l.puts, row); len(l.puts) < batchRows {
		return nil
	}
	return l.Flush(ctx)
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
	if l.deletes = append(l.deletes, row); len(l.deletes) < batchRows {
		return nil
	}
	return l.Flush(ctx)
}

// Flush does what was put off.
func (l *Loading) Flush(ctx context.Context) error {
	if err := l.hold(ctx); err != nil {
		return err
	}
	if len(l.deletes) > 0 {
		if err := l.to.DeleteRows(ctx, l.deletes); err != nil {
			return err
		}
	}
	if len(l.puts) > 0 {
		if err := l.to.PutRows(ctx, l.puts); err != nil {
			return err
		}
	}
	l.rows += int64(len(l.puts))
	l.puts, l.deletes = l.puts[:0], l.deletes[:0]
	return nil
}

// Finish gives the services their names. store.ErrConflict: somebody has taken one.
func (l *Loading) Finish(ctx context.Context) error {
	if err := l.Flush(ctx); err != nil {
		return err
	}
	var named []store.Row
	for _, service := range l.services {
		named = append(named, service)
	}
	return l.to.PutRows(ctx, named)
}

// Close lets others load. When it cannot, the lease ends by itself.
func (l *Loading) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), leaseTime)
	defer cancel()
	_, _ = l.to.Lease(ctx, leaseName, l.holder, 0)
}

// hold renews the lease.
func (l *Loading) hold(ctx context.Context) error {
	held, err := l.to.Lease(ctx, leaseName, l.holder, leaseTime)
	if err == nil && !held {
		err = ErrLoading
	}
	return err
}

func isUnfinished(s store.ServiceRow) bool { return strings.HasPrefix(s.Issuer, unfinished) }

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
