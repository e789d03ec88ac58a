package archive

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Exported is what an export was.
type Exported struct {
	Rows int64
	// LeftOut are the issuers of services that are not in it, because they were not
	// loaded to their end.
	LeftOut []string
}

// Export writes the rows of a service, or of all when issuer is empty, but those
// that have expired at now. Without tokens it leaves out sessions, grants,
// tokens and what was used once.
func Export(ctx context.Context, from store.Archive, issuer string, tokens bool, now time.Time, to io.Writer) (done Exported, err error) {
	service, err := find(ctx, from, issuer)
	if err != nil {
		return done, err
	}
	w, err := NewWriter(to, issuer, tokens, now)
	if err != nil {
		return done, err
	}
	not := map[model.ID]bool{}
	err = read(ctx, from, service, func(row store.Row) error {
		if !tokens && !lasts(row) {
			return errEnough
		}
		if s, ok := row.(store.ServiceRow); ok && isUnfinished(s) {
			not[s.ID] = true
			done.LeftOut = append(done.LeftOut, issuerOf(s))
		}
		if of, _ := place(row); not[of] || Expired(row, now.Unix()) {
			return nil
		}
		return w.Write(row)
	})
	if err != nil {
		return done, err
	}
	done.Rows = w.rows
	return done, w.Close()
}

// find is the id of the service with an issuer; 0 when that is empty.
func find(ctx context.Context, from store.Archive, issuer string) (id model.ID, err error) {
	if issuer == "" {
		return 0, nil
	}
	err = read(ctx, from, 0, func(row store.Row) error {
		service, ok := row.(store.ServiceRow)
		switch {
		case !ok:
			return errEnough
		case issuerOf(service) != issuer:
		case isUnfinished(service):
			return fmt.Errorf("the service %s was not loaded to its end", issuer)
		default:
			id = service.ID
		}
		return nil
	})
	if err == nil && id == 0 {
		err = fmt.Errorf("no service has the issuer %s: %w", issuer, store.ErrNotFound)
	}
	return id, err
}

// Expired reports whether a row has expired, so that no store need keep it.
func Expired(row store.Row, now int64) bool {
	at := store.ExpiresAt(row)
	return at != 0 && at <= now
}

// lasts reports whether a row is of the kinds that stay until they are changed.
// They come before the others.
func lasts(row store.Row) bool {
	switch row.(type) {
	case store.ServiceRow, store.ClientRow, store.SecretRow, store.KeyRow, store.StoredClientRow, store.AccountRow, store.ConsentRow:
		return true
	}
	return false
}
