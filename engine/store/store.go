// Package store is the contract between the engine and whatever keeps its
// rows. A store is a handful of small readers and one Writer: every change is
// a list of steps that are applied in one transaction or not at all.
//
// All methods of a Store are safe for concurrent use. They return ErrNotFound,
// ErrConflict, ErrSpent and ErrUnavailable as errors.Is targets.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

var (
	// ErrNotFound: there is no such row in that service.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the id, or the name of an account, is taken, or something is
	// not as it was when it was read. Callers that drew the id draw another, and
	// those that read read again.
	ErrConflict = errors.New("already exists")
	// ErrSpent: a one-time handle or refresh token was used before, or has expired.
	ErrSpent = errors.New("already used or expired")
	// ErrUnavailable: the store cannot answer now (locked, full, overloaded,
	// closing). Nothing of the write was kept; trying again later is safe.
	ErrUnavailable = errors.New("store unavailable")
	// ErrUnknown: the connection was lost while the write was being committed.
	// All of it was kept, or nothing. It is an ErrUnavailable too.
	ErrUnknown = fmt.Errorf("%w: whether the write was kept is not known", ErrUnavailable)
)

// Store keeps everything that outlives a process.
type Store interface {
	Writer
	Grants
	Handles
	Keyring
	Registry
	Clients
	Accounts
	Feed
	Secrets
	Leases
	Inspector
	Archive

	// Sweep removes expired rows, looking at no more than limit rows, and
	// reports how many went. It continues where it stopped the last time.
	// It goes by each row's own expiry, never by its age.
	Sweep(ctx context.Context, now time.Time, limit int) (removed int, err error)
	// Close stops the store's goroutines and releases its files. Writes under
	// way are answered first; later calls return ErrUnavailable.
	Close() error
}

// Writer changes the store.
type Writer interface {
	// Write applies the steps in order, in one transaction. When it returns
	// nil, everything is durable; when it returns an error, nothing was kept,
	// unless the error is ErrUnknown or the context's, which leave the outcome
	// unknown.
	// A step whose condition does not hold fails the write with the error that
	// the step names. Writes whose context is marked by Prefer go first.
	Write(ctx context.Context, steps ...Step) error
}

// Grants reads grants and the tokens below them. A token whose grant is gone
// is not found. Expired rows may or may not be returned: callers compare.
type Grants interface {
	AccessToken(ctx context.Context, service, id model.ID) (model.AccessToken, model.Grant, error)
	RefreshToken(ctx context.Context, service, id model.ID) (model.RefreshToken, model.Grant, error)
	Grant(ctx context.Context, service, id model.ID) (model.Grant, error)
}

// Handles reads one-time handles, redeemed ones included until they expire.
type Handles interface {
	Handle(ctx context.Context, service model.ID, kind model.HandleKind, id model.ID) (model.Handle, error)
	// LogoutHandles lists the handles of the kind HandleLogout that have not
	// been redeemed, by id, those after the one given, at most limit.
	LogoutHandles(ctx context.Context, service, after model.ID, limit int) ([]model.Handle, error)
}

// Keyring reads the signing keys of a service, in no order.
type Keyring interface {
	Keys(ctx context.Context, service model.ID) ([]model.Key, error)
}

// Registry gives issuers and clients the ids that rows refer to. The same name
// always has the same id; an id is never given to another name.
type Registry interface {
	EnsureService(ctx context.Context, issuer string) (model.ID, error)
	EnsureClients(ctx context.Context, service model.ID, aliases []string) (map[string]model.ID, error)
}

// Clients reads the clients that were registered at run time. Those that only
// EnsureClients has named are not found.
type Clients interface {
	StoredClient(ctx context.Context, service, id model.ID) (model.StoredClient, error)
	StoredClientByAlias(ctx context.Context, service model.ID, alias string) (model.StoredClient, error)
}

// Accounts reads users, their sessions and their consents.
type Accounts interface {
	AccountByKey(ctx context.Context, service model.ID, key string) (model.Account, error)
	AccountBySubject(ctx context.Context, service model.ID, subject string) (model.Account, error)
	// Accounts lists by id, those after the one given, at most limit.
	Accounts(ctx context.Context, service, after model.ID, limit int) ([]model.Account, error)
	Session(ctx context.Context, service, id model.ID) (model.Session, error)
	// SessionClients lists the clients that joined a session, by id.
	SessionClients(ctx context.Context, service, session model.ID) ([]model.ID, error)
	Consent(ctx context.Context, service model.ID, subject string, client model.ID) (model.Consent, error)
	// Consents lists what a subject has allowed, by client id, at most limit.
	Consents(ctx context.Context, service model.ID, subject string, limit int) ([]model.Consent, error)
}

// Feed is the sequenced list of changes that caches follow.
type Feed interface {
	// Subscribe calls f for every change from now on: for this process's own
	// writes before Write returns, for those of other processes within a
	// second. A change may come more than once. f must be quick, must not call
	// the store, and is never called concurrently with itself, nor after cancel
	// has returned. f must not call cancel.
	Subscribe(f func(model.Change)) (cancel func())
	// Changes reads on from a place: those changes of the service that are among
	// the next limit rows of the feed, whoever's they are, by their numbers. What
	// it has gone past is complete: no change is committed later under a number
	// at or below that of Next. Where numbers can be drawn in one order and
	// committed in another, a store holds Next back until the lower ones are
	// settled. Rows stay for an hour at least, so that who reads more often than
	// that meets no gap.
	Changes(ctx context.Context, service model.ID, after model.Place, limit int) (FeedPage, error)
}

// Secrets reads small values that are sealed under the master key, by name:
// those of a service, or, as service 0, of the whole store.
type Secrets interface {
	Secret(ctx context.Context, service model.ID, name string) (sealed []byte, err error)
}

// Leases let one of many processes do a job.
type Leases interface {
	// Lease takes or renews the lease of a name for its holder, and reports
	// whether the holder has it from now on for d, by the store's clock. Nobody
	// else has it until it ends. A holder gives it back with d 0.
	Lease(ctx context.Context, name, holder string, d time.Duration) (held bool, err error)
	// Renew is Lease for a holder who must not begin anew: it reports whether
	// nobody else has had the lease since the holder took it, even when it has
	// ended meanwhile. Once it is false for a holder, it stays false.
	Renew(ctx context.Context, name, holder string, d time.Duration) (held bool, err error)
}

// Inspector says how a store is, for operators.
type Inspector interface {
	Inspect(ctx context.Context) ([]Finding, error)
}

// Finding is one thing that was looked at.
type Finding struct {
	// Name is what was looked at, such as "schema" or "disk"; Value is what was seen.
	Name, Value string
	// Advice is empty when all is well, else what to do.
	Advice string
	// Failing: it will not work like this. Otherwise advice is a warning.
	Failing bool
}

// FeedPage is a piece of the feed.
type FeedPage struct {
	Changes []model.Change
	// Next is where to go on. It is the place that was asked for when nothing
	// has come since.
	Next model.Place
	// Gap: of what came behind the place that was asked for something may be gone,
	// or it is no place of this feed, such as the zero one. There are no changes
	// then, and Next is the end of the feed.
	Gap bool
}
