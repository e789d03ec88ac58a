package store

import "github.com/gatehouse-auth/gatehouse/engine/model"

// Step is one conditional change within a Write. The set of steps is closed:
// a store implements each type below.
type Step interface{ step() }

// InsertGrant adds a grant. ErrConflict: the id is taken.
type InsertGrant struct{ Grant model.Grant }

// ExtendGrant moves a grant's expiry to Until (Unix seconds) unless it is
// later already. ErrNotFound: the grant is gone.
type ExtendGrant struct {
	Service model.ID
	ID      model.ID
	Until   int64
}

// RevokeGrant removes a grant, and with it every code and token below it.
// It holds no condition. It tells the feed when there was one.
type RevokeGrant struct {
	Service model.ID
	ID      model.ID
}

// RevokeGrants removes the grants of a subject, of a client, or of a subject
// at a client when both are given. It holds no condition and always tells the feed.
type RevokeGrants struct {
	Service model.ID
	Subject string
	Client  model.ID
}

// InsertAccessToken adds an access token. ErrNotFound: its grant is gone.
// ErrConflict: the id is taken.
type InsertAccessToken struct{ Token model.AccessToken }

// RevokeAccessToken removes an access token. It holds no condition. It tells
// the feed when there was one.
type RevokeAccessToken struct {
	Service model.ID
	ID      model.ID
}

// InsertRefreshToken adds a refresh token. ErrNotFound: its grant is gone.
// ErrConflict: the id is taken.
type InsertRefreshToken struct{ Token model.RefreshToken }

// RotateRefreshToken names the successor of a refresh token that has none,
// and removes the access token that was issued with it. ErrSpent: it has a
// successor, has expired at Now (Unix seconds), or is gone.
type RotateRefreshToken struct {
	Service   model.ID
	ID        model.ID
	Successor model.ID
	Now       int64
}

// RenewAccessToken couples a new access token to a refresh token that is kept,
// and removes the one coupled before. ErrSpent as for RotateRefreshToken.
type RenewAccessToken struct {
	Service model.ID
	ID      model.ID // the refresh token
	Access  model.ID // the new access token
	Now     int64    // Unix seconds
}

// InsertHandle adds a one-time handle. ErrConflict: the id is taken.
type InsertHandle struct{ Handle model.Handle }

// RedeemHandle uses a one-time handle. ErrSpent: it was redeemed before, has
// expired at Now (Unix seconds), or does not exist. The row then stays at least
// until Keep (Unix seconds), so that a second use is noticed; 0 leaves its
// expiry as it is.
type RedeemHandle struct {
	Service model.ID
	Kind    model.HandleKind
	ID      model.ID
	Now     int64
	Keep    int64
}

// InsertSession adds a sign-in session. ErrConflict: the id is taken.
type InsertSession struct{ Session model.Session }

// DeleteSession ends a sign-in session. It holds no condition.
type DeleteSession struct {
	Service model.ID
	ID      model.ID
}

// PutConsent remembers a consent, replacing the one for the same subject and client.
type PutConsent struct{ Consent model.Consent }

// DeleteConsent forgets a consent. It holds no condition.
type DeleteConsent struct {
	Service model.ID
	Subject string
	Client  model.ID
}

// InsertAccount adds an account and tells the feed. ErrConflict: the id, the
// key or the subject is taken in that service.
type InsertAccount struct{ Account model.Account }

// SetPassword replaces an account's password hash and tells the feed.
// ErrNotFound: there is no such account.
type SetPassword struct {
	Service model.ID
	ID      model.ID
	Hash    string
}

// SetDisabled disables or enables an account and tells the feed.
// ErrNotFound: there is no such account.
type SetDisabled struct {
	Service  model.ID
	ID       model.ID
	Disabled bool
}

// DeleteSessions ends every session of a subject. It holds no condition.
type DeleteSessions struct {
	Service model.ID
	Subject string
}

// InsertKey adds a signing key and tells the feed. ErrConflict: the key id is
// taken in that service.
type InsertKey struct{ Key model.Key }

// RetireKeys lets every key of the algorithm that has no end, but the one
// named, end at ExpiresAt (Unix seconds), and tells the feed.
type RetireKeys struct {
	Service   model.ID
	Alg       model.SignAlg
	Except    string
	ExpiresAt int64
}

// InsertFirstKeys adds the first keys of a service, one an algorithm.
// ErrConflict: the service has keys.
type InsertFirstKeys struct {
	Service model.ID
	Keys    []model.Key
}

func (InsertGrant) step()        {}
func (ExtendGrant) step()        {}
func (RevokeGrant) step()        {}
func (RevokeGrants) step()       {}
func (InsertAccessToken) step()  {}
func (RevokeAccessToken) step()  {}
func (InsertRefreshToken) step() {}
func (RotateRefreshToken) step() {}
func (RenewAccessToken) step()   {}
func (InsertHandle) step()       {}
func (RedeemHandle) step()       {}
func (InsertSession) step()      {}
func (DeleteSession) step()      {}
func (PutConsent) step()         {}
func (DeleteConsent) step()      {}
func (InsertAccount) step()      {}
func (SetPassword) step()        {}
func (SetDisabled) step()        {}
func (DeleteSessions) step()     {}
func (InsertKey) step()          {}
func (RetireKeys) step()         {}
func (InsertFirstKeys) step()    {}
