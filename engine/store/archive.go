package store

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Archive reads and writes rows as they are kept, with their ids: for backups,
// moves to another store, and the rotation of the master key. The change feed
// and leases belong to a store and are no part of it.
type Archive interface {
	// Rows calls f for every row of a service, or of all when it is 0, as they
	// are at one moment: what others refer to comes first. Nobody who writes
	// waits for it. f may take its time; its error ends the call and is returned.
	Rows(ctx context.Context, service model.ID, f func(Row) error) error
	// PutRows writes rows in one transaction. A row whose key is there replaces
	// what was. The feed is told nothing. ErrConflict: another row has its name
	// (an issuer, an alias, a key or subject of an account).
	PutRows(ctx context.Context, rows []Row) error
	// DeleteRows removes the rows of those keys; the other members of a row are
	// not looked at. The feed is told nothing.
	DeleteRows(ctx context.Context, rows []Row) error
}

// Row is a row of an archive. The set is closed: the types below.
type Row interface{ row() }

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

func (ServiceRow) row()       {}
func (ClientRow) row()        {}
func (SecretRow) row()        {}
func (KeyRow) row()           {}
func (StoredClientRow) row()  {}
func (AccountRow) row()       {}
func (ConsentRow) row()       {}
func (SessionRow) row()       {}
func (SessionClientRow) row() {}
func (GrantRow) row()         {}
func (RefreshTokenRow) row()  {}
func (AccessTokenRow) row()   {}
func (HandleRow) row()        {}
func (UsedValueRow) row()     {}
