package archive

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Export writes the rows of a service, or of all when issuer is empty, but those
// that have expired at now. Without tokens it leaves out sessions, grants,
// tokens and what was used once. It returns how many rows it wrote.
func Export(ctx context.Context, from store.Archive, issuer string, tokens bool, now time.Time, to io.Writer) (rows int64, err error) {
	service, err := find(ctx, from, issuer)
	if err != nil {
		return 0, err
	}
	w, err := NewWriter(to, issuer, tokens, now)
	if err != nil {
		return 0, err
	}
	err = read(ctx, from, service, func(row store.Row) error {
		if !tokens && !lasts(row) {
			return errEnough
		}
		if Expired(row, now.Unix()) {
			return nil
		}
		return w.Write(row)
	})
	if err != nil {
		return 0, err
	}
	return w.rows, w.Close()
}

// find is the id of the service with an issuer.
func find(ctx context.Context, from store.Archive, issuer string) (id model.ID, err error) {
	err = read(ctx, from, 0, func(row store.Row) error {
		service, ok := row.(store.ServiceRow)
		switch {
		case !ok:
			return errEnough
		case isUnfinished(service):
			return fmt.Errorf("the store has a service that was not loaded to its end: %s", strings.TrimPrefix(service.Issuer, unfinished))
		case service.Issuer == issuer:
			id = service.ID
		}
		return nil
	})
	if err == nil && issuer != "" && id == 0 {
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
