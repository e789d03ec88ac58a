package store

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Unfinished begins the issuer of a service that is being loaded. It is no URL:
// nobody asks for such a service. EnsureService does not make another of the name
// that it will have, but returns ErrUnfinished.
const Unfinished = "unfinished: "

// ErrUnfinished: what has begun to load the service has not ended.
var ErrUnfinished = fmt.Errorf("a service of this issuer is being loaded, or was and not to its end: %s: %w", FinishLoading, ErrUnavailable)

// FinishLoading is what to do about a service that was not loaded to its end.
const FinishLoading = "unless that still runs, run the import or the move again, or caddy gatehouse import --cancel"

// Archive reads and writes rows as they are kept, with their ids: for backups,
// moves to another store, and the rotation of the master key. The change feed
// and leases belong to a store and are no part of it.
type Archive interface {
	// Rows calls f for every row of a service, or of all when it is 0, as they
	// are at one moment: kind by kind, in the order of Kinds, so that what others
	// refer to comes first. The secrets of the whole store come with those of a
	// service. Nobody who writes waits for it. f may take its time and may write;
	// its error ends the call and is returned.
	Rows(ctx context.Context, service model.ID, f func(Row) error) error
	// Find reads the rows of those keys, in their order; the other members of a
	// row are not looked at. Keys without a row are left out.
	Find(ctx context.Context, keys []Row) ([]Row, error)
	// PutRows writes rows in one transaction. A row whose key is there replaces
	// what was. The feed is told nothing. No row has a number that the store gives
	// later. ErrConflict: another row has its name (an issuer, an alias, a key or
	// subject of an account) or, in another service, its id.
	PutRows(ctx context.Context, rows []Row) error
	// DeleteRows removes the rows of those keys in one transaction; the other
	// members of a row are not looked at. The feed is told nothing.
	DeleteRows(ctx context.Context, rows []Row) error
}

// Row is a row of an archive. The set is closed: the types below.
type Row interface{ kind() Kind }

// Kind names a type of row.
type Kind string

// KindOf is the kind of a row.
func KindOf(row Row) Kind { return row.kind() }

// Kinds lists the kinds in the order in which Rows gives them.
func Kinds() []Kind {
	return []Kind{
		ServiceRow{}.kind(), ClientRow{}.kind(), SecretRow{}.kind(), KeyRow{}.kind(), StoredClientRow{}.kind(), AccountRow{}.kind(),
		ConsentRow{}.kind(), SessionRow{}.kind(), SessionClientRow{}.kind(), GrantRow{}.kind(), RefreshTokenRow{}.kind(),
		AccessTokenRow{}.kind(), HandleRow{}.kind(), UsedValueRow{}.kind(),
	}
}

// ExpiresAt is when a row expires, in Unix seconds; 0: never.
func ExpiresAt(row Row) int64 {
	switch r := row.(type) {
	case SessionRow:
		return r.Session.ExpiresAt
	case GrantRow:
		return r.Grant.ExpiresAt
	case RefreshTokenRow:
		return r.Token.ExpiresAt
	case AccessTokenRow:
		return r.Token.ExpiresAt
	case HandleRow:
		return r.Handle.ExpiresAt
	case UsedValueRow:
		return r.ExpiresAt
	}
	return 0
}

// The rows of an archive, in the order in which Rows gives them.
type (
	// ServiceRow is an issuer and its id. Key: ID.
	ServiceRow struct {
		ID     model.ID
		Issuer string
	}
	// ClientRow is an alias and the id that it has for ever. Key: ID.
	ClientRow struct {
		Service, ID model.ID
		Alias       string
	}
	// SecretRow is a sealed value. Key: Service, Name.
	SecretRow struct {
		Service model.ID
		Name    string
		Sealed  []byte
	}
	// KeyRow is a key of a service. Key: Service, KID.
	KeyRow struct{ Key model.Key }
	// StoredClientRow is a client that was registered at run time. Key: Service, ID.
	StoredClientRow struct{ Client model.StoredClient }
	// AccountRow is a user. Key: Service, ID.
	AccountRow struct{ Account model.Account }
	// ConsentRow is what a user has allowed. Key: Service, Subject, Client.
	ConsentRow struct{ Consent model.Consent }
	// SessionRow is a sign-in. Key: Service, ID.
	SessionRow struct{ Session model.Session }
	// SessionClientRow is a client that joined a session. Key: all of it.
	SessionClientRow struct{ Service, Session, Client model.ID }
	// GrantRow is a grant. OnlyAccess is the one access token that counts in it,
	// 0: any (see KeepAccessToken). Key: Service, ID.
	GrantRow struct {
		Grant      model.Grant
		OnlyAccess model.ID
	}
	// RefreshTokenRow is a refresh token. Key: Service, ID.
	RefreshTokenRow struct{ Token model.RefreshToken }
	// AccessTokenRow is an access token. Key: Service, ID.
	AccessTokenRow struct{ Token model.AccessToken }
	// HandleRow is a one-time handle. Key: Service, ID.
	HandleRow struct{ Handle model.Handle }
	// UsedValueRow is a value that was used (see UseOnce). Key: Service, Digest.
	UsedValueRow struct {
		Service   model.ID
		Digest    [32]byte
		ExpiresAt int64 // Unix seconds
	}
)

func (ServiceRow) kind() Kind       { return "service" }
func (ClientRow) kind() Kind        { return "client" }
func (SecretRow) kind() Kind        { return "secret" }
func (KeyRow) kind() Kind           { return "key" }
func (StoredClientRow) kind() Kind  { return "registered_client" }
func (AccountRow) kind() Kind       { return "account" }
func (ConsentRow) kind() Kind       { return "consent" }
func (SessionRow) kind() Kind       { return "session" }
func (SessionClientRow) kind() Kind { return "session_client" }
func (GrantRow) kind() Kind         { return "grant" }
func (RefreshTokenRow) kind() Kind  { return "refresh_token" }
func (AccessTokenRow) kind() Kind   { return "access_token" }
func (HandleRow) kind() Kind        { return "handle" }
func (UsedValueRow) kind() Kind     { return "used_value" }
