package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

// readers is a fixed pool of connections that read.
type readers struct {
	size   int
	idle   chan *conn
	closed chan struct{}
	wait   time.Duration
}

func openReaders(path string, opts Options) (*readers, error) {
	r := &readers{idle: make(chan *conn, opts.Readers), closed: make(chan struct{}), wait: opts.BusyTimeout}
	for range opts.Readers {
		c, err := open(dsn(path, busyTimeout(opts.BusyTimeout), "query_only(1)", "cache_size(-8000)", "temp_store(MEMORY)"))
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.idle <- c
		r.size++
		// From here on waiting for locks is done in retry, where contexts end it.
		if err := c.query(func(row) error { return nil }, "PRAGMA busy_timeout = 0"); err != nil {
			return nil, errors.Join(err, r.close())
		}
	}
	return r, nil
}

// close waits for the reads under way, which are short.
func (r *readers) close() error {
	close(r.closed)
	var errs []error
	for range r.size {
		c := <-r.idle
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// query calls f for each row of a query. Its error is f's, the context's or
// ErrUnavailable.
func (r *readers) query(ctx context.Context, f func(row row) error, query string, args ...any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-r.closed:
		return errClosed
	default:
	}
	var c *conn
	select {
	case c = <-r.idle:
	case <-r.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { r.idle <- c }()
	err := c.query(f, query, args...)
	if isBusy(err) {
		err = r.retry(ctx, c, f, query, args)
	}
	if err != nil && code(err) != 0 {
		return unavailable(err)
	}
	return err
}

// retry repeats a query that met a lock, which readers of a write-ahead log
// do only when another process is recovering, migrating or repairing. A lock
// is met before the first row.
func (r *readers) retry(ctx context.Context, c *conn, f func(row row) error, query string, args []any) error {
	ctx, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := c.query(f, query, args...)
		if !isBusy(err) {
			return err
		}
		select {
		case <-r.closed:
			return errClosed
		case <-ctx.Done():
			return unavailable(err)
		case <-ticker.C:
		}
	}
}

// one runs a query for one row.
func (r *readers) one(ctx context.Context, f func(row row) error, query string, args ...any) error {
	found := false
	err := r.query(ctx, func(row row) error {
		found = true
		return f(row)
	}, query, args...)
	if err == nil && !found {
		return store.ErrNotFound
	}
	return err
}

// grantColumns is read by scanGrant.
const grantColumns = `g.client, g.subject, g.scopes, g.session, g.auth_time, g.expires_at, g.claims`

// scanGrant reads grantColumns from the column given on.
func scanGrant(r row, at int, service, id model.ID) (model.Grant, error) {
	g := model.Grant{
		Service: service, ID: id, Client: model.ID(r.int(at)), Subject: r.text(at + 1), Scopes: column.SplitWords(r.text(at + 2)),
		Session: model.ID(r.int(at + 3)), AuthTime: r.int(at + 4), ExpiresAt: r.int(at + 5),
	}
	return g, column.Decode(r.text(at+6), &g.Claims)
}

// scanConfirmation reads jkt and x5t from the column given on.
func scanConfirmation(r row, at int) (c model.Confirmation, err error) {
	if r[at] != nil {
		if c.JKT, err = r.hash(at); err != nil {
			return c, err
		}
	}
	if r[at+1] != nil {
		c.X5T, err = r.hash(at + 1)
	}
	return c, err
}

// Grant reads a grant.
func (s *Store) Grant(ctx context.Context, service, id model.ID) (g model.Grant, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		g, err = scanGrant(r, 0, service, id)
		return err
	}, `SELECT `+grantColumns+` FROM grants g WHERE g.id = ?2 AND g.service = ?1`, int64(service), int64(id))
	return g, err
}

// AccessToken reads an access token and its grant. One that does not count is
// not found.
func (s *Store) AccessToken(ctx context.Context, service, id model.ID) (a model.AccessToken, g model.Grant, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		a = model.AccessToken{Service: service, ID: id, Grant: model.ID(r.int(0)), ExpiresAt: r.int(1), JWT: r[2] == nil}
		if !a.JWT {
			if a.Hash, err = r.hash(2); err != nil {
				return err
			}
		}
		if r[3] != nil {
			if a.Scopes = column.SplitWords(r.text(3)); a.Scopes == nil {
				a.Scopes = []string{}
			}
		}
		if err = column.Decode(r.text(4), &a.Resources); err != nil {
			return err
		}
		if a.Confirmation, err = scanConfirmation(r, 5); err != nil {
			return err
		}
		g, err = scanGrant(r, 7, service, a.Grant)
		return err
	}, `SELECT t.grant_id, t.expires_at, t.hash, t.scopes, t.resources, t.jkt, t.x5t, `+grantColumns+`
		FROM access_tokens t CROSS JOIN grants g ON g.id = t.grant_id
		WHERE t.id = ?2 AND t.service = ?1 AND g.service = ?1 AND g.only_access IN (0, ?2)`, int64(service), int64(id))
	return a, g, err
}

// RefreshToken reads a refresh token and its grant.
func (s *Store) RefreshToken(ctx context.Context, service, id model.ID) (t model.RefreshToken, g model.Grant, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		t = model.RefreshToken{
			Service: service, ID: id, Grant: model.ID(r.int(0)), ExpiresAt: r.int(1),
			Access: model.ID(r.int(2)), Successor: model.ID(r.int(3)),
		}
		if t.Hash, err = r.hash(4); err != nil {
			return err
		}
		if t.Confirmation, err = scanConfirmation(r, 5); err != nil {
			return err
		}
		g, err = scanGrant(r, 7, service, t.Grant)
		return err
	}, `SELECT t.grant_id, t.expires_at, t.access, t.successor, t.hash, t.jkt, t.x5t, `+grantColumns+`
		FROM refresh_tokens t CROSS JOIN grants g ON g.id = t.grant_id
		WHERE t.id = ?2 AND t.service = ?1 AND g.service = ?1`, int64(service), int64(id))
	return t, g, err
}

// Handle reads a one-time handle. A code whose grant is gone is not found.
func (s *Store) Handle(ctx context.Context, service model.ID, kind model.HandleKind, id model.ID) (h model.Handle, err error) {
	err = s.reads.one(ctx, func(r row) (err error) {
		h = model.Handle{
			Service: service, ID: id, Kind: kind, Grant: model.ID(r.int(0)), ExpiresAt: r.int(1),
			Redeemed: r.int(2) != 0, Payload: r.blob(4),
		}
		h.Hash, err = r.hash(3)
		return err
	}, `SELECT grant_id, expires_at, redeemed, hash, payload FROM handles
		WHERE id = ?2 AND service = ?1 AND kind = ?3
		AND (grant_id = 0 OR EXISTS (SELECT 1 FROM grants g WHERE g.id = handles.grant_id AND g.service = ?1))`,
		int64(service), int64(id), int64(kind))
	return h, err
}

// LogoutHandles lists handles of the kind HandleLogout that have not been
// redeemed. The kind stands in the statement, as it does in the index.
func (s *Store) LogoutHandles(ctx context.Context, service, after model.ID, limit int) (handles []model.Handle, err error) {
	err = s.reads.query(ctx, func(r row) error {
		h := model.Handle{
			Service: service, ID: model.ID(r.int(0)), Kind: model.HandleLogout, Grant: model.ID(r.int(1)), ExpiresAt: r.int(2), Payload: r.blob(4),
		}
		var err error
		h.Hash, err = r.hash(3)
		handles = append(handles, h)
		return err
	}, `SELECT id, grant_id, expires_at, hash, payload FROM handles
		WHERE kind = 5 AND redeemed = 0 AND service = ?1 AND id > ?2 ORDER BY id LIMIT ?3`, int64(service), int64(after), int64(max(limit, 0)))
	return handles, err
}
