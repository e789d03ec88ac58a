package store

import "github.com/gatehouse-auth/gatehouse/engine/model"

// Step is one conditional change within a Write. The set of steps is closed:
// a store implements each type below.
type Step interface{ step() }

// InsertGrant adds a grant. ErrConflict: the id is taken.
type InsertGrant struct{ Grant model.Grant }

// ExtendGrant moves a grant's expiry to Until (Unix seconds) unless it is
// later already. When KeepAccessToken has left the grant with one access token
// that counts, Access, unless 0, takes its place; the feed is told when that
// one was there and ends (ChangeGrantRevoked). ErrNotFound: the grant is gone.
type ExtendGrant struct {
	Service model.ID
	ID      model.ID
	Until   int64
	Access  model.ID
}

// RevokeGrant removes a grant, and with it every code and token below it.
// It holds no condition. It tells the feed when there was one.
type RevokeGrant struct {
	Service model.ID
	ID      model.ID
}

// RevokeGrants removes the grants of a subject, of a client, or of a subject
// at a client when both are given. It holds no condition and always tells the feed.
// Of a client that has very many, a store may end some before the rest of the write:
// they stay ended if it fails.
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

// KeepAccessToken ends every access token of a subject's grants at a client but
// the one named, which the same write inserts: from now on it is the only one
// that counts in each of those grants, until ExtendGrant names another. Refresh
// tokens stay. It holds no condition, and tells the feed of each grant that had
// tokens which could be meant, the new token's own too (ChangeGrantRevoked). A
// write without a subject is malformed: a client that acts for itself has none.
type KeepAccessToken struct {
	Service model.ID
	Subject string
	Client  model.ID
	Access  model.ID
}

// InsertRefreshToken adds a refresh token. ErrNotFound: its grant is gone.
// ErrConflict: the id is taken.
type InsertRefreshToken struct{ Token model.RefreshToken }

// RotateRefreshToken names the successor of a refresh token that has none,
// and removes the access token that was issued with it. ErrSpent: it has a
// successor, has expired at Now (Unix seconds), or is gone. Was, unless 0, is the
// access token that the caller has read with it: a hint, which spares a store to
// ask and may be wrong.
type RotateRefreshToken struct {
	Service   model.ID
	ID        model.ID
	Successor model.ID
	Was       model.ID
	Now       int64
}

// RenewAccessToken couples a new access token to a refresh token that is kept,
// and removes the one coupled before. Until, unless 0, is the refresh token's
// new expiry (Unix seconds). ErrSpent, and Was, as for RotateRefreshToken.
type RenewAccessToken struct {
	Service model.ID
	ID      model.ID // the refresh token
	Access  model.ID // the new access token
	Was     model.ID // the one before
	Now     int64    // Unix seconds
	Until   int64
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

// UseOnce spends a value that somebody else made and may use once, such as the
// jti of a client assertion (RFC 7523 §3), named by its digest. The row stays
// until ExpiresAt (Unix seconds). ErrSpent: it was used before, and the row has
// not expired at Now.
type UseOnce struct {
	Service   model.ID
	Digest    [32]byte
	Now       int64
	ExpiresAt int64
}

// InsertSession adds a sign-in session. ErrConflict: the id is taken.
type InsertSession struct{ Session model.Session }

// RenewSession gives a session that its subject has signed in to again another
// secret, so that the cookie changes while the session, which clients know by
// its id, goes on. ErrNotFound: there is no such session of that subject.
type RenewSession struct{ Session model.Session }

// JoinSession notes that a client has been told of a session, so that it can be
// told of its end. ErrNotFound: the session is gone.
type JoinSession struct {
	Service model.ID
	Session model.ID
	Client  model.ID
}

// ExpectClients holds a write to what SessionClients said before, so that
// whoever is to be told of the end of a session is known when it ends.
// ErrConflict: the session is gone, or other clients have joined it since.
type ExpectClients struct {
	Service model.ID
	Session model.ID
	Clients []model.ID // by id
}

// EndSession ends a sign-in session, what it knows of clients, and those of its
// grants that are OpenID Connect ones (scope openid) not meant to outlive it
// (scope offline_access; OpenID Connect Back-Channel Logout §2.7). It holds no
// condition, and tells the feed of each grant that ends.
type EndSession struct {
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

// PutAccount adds an account, or replaces the name and the claims of the one
// with the same subject, and tells the feed. ErrConflict: the key is another
// subject's, or the id is taken.
type PutAccount struct{ Account model.Account }

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

// DeleteSessions ends every session of a subject, with what they know of
// clients. It holds no condition, and leaves the grants alone.
type DeleteSessions struct {
	Service model.ID
	Subject string
}

// InsertClient keeps a client that was registered at run time and tells the
// feed. The store gives it its id: the one in Client is not looked at. Most,
// unless 0, bounds the clients of the same developer. ErrConflict: the alias is
// or was another client's. ErrSpent: the developer has that many clients.
type InsertClient struct {
	Client model.StoredClient
	Most   int
}

// UpdateClient replaces what is kept of a registered client but its alias,
// developer and creation, adds one to its version, and tells the feed.
// ErrNotFound: there is no such client, or its version is not the one given.
type UpdateClient struct{ Client model.StoredClient }

// DeleteClient removes a registered client and tells the feed. Its alias and id
// stay taken for ever. ErrNotFound: there is no such client.
type DeleteClient struct {
	Service model.ID
	ID      model.ID
}

// InsertKey adds a signing key and tells the feed. ErrConflict: the key id is
// taken in that service.
type InsertKey struct{ Key model.Key }

// RetireKeys lets every key of the algorithm that has no end, but the one
// named, end at ExpiresAt (Unix seconds), and tells the feed.
type RetireKeys struct {
	Service   model.ID
	Alg       string
	Except    string
	ExpiresAt int64
}

// InsertFirstKeys adds the first keys of a service, one an algorithm.
// ErrConflict: the service has keys.
type InsertFirstKeys struct {
	Service model.ID
	Keys    []model.Key
}

// InsertSecret keeps a sealed value under a name. ErrConflict: the name is taken.
type InsertSecret struct {
	Service model.ID // 0: of the whole store
	Name    string
	Sealed  []byte
}

// ResealSecret replaces a sealed value by the same one sealed anew, and tells
// the feed that keys have changed. ErrConflict: it is not Was any more.
type ResealSecret struct {
	Service     model.ID
	Name        string
	Was, Sealed []byte
}

// ResealKey replaces a key's private part by the same one sealed anew, and
// tells the feed. ErrConflict: it is not Was any more.
type ResealKey struct {
	Service     model.ID
	KID         string
	Was, Sealed []byte
}

func (InsertGrant) step()        {}
func (ExtendGrant) step()        {}
func (RevokeGrant) step()        {}
func (RevokeGrants) step()       {}
func (InsertAccessToken) step()  {}
func (RevokeAccessToken) step()  {}
func (KeepAccessToken) step()    {}
func (InsertRefreshToken) step() {}
func (RotateRefreshToken) step() {}
func (RenewAccessToken) step()   {}
func (InsertHandle) step()       {}
func (RedeemHandle) step()       {}
func (UseOnce) step()            {}
func (InsertSession) step()      {}
func (RenewSession) step()       {}
func (JoinSession) step()        {}
func (ExpectClients) step()      {}
func (EndSession) step()         {}
func (PutConsent) step()         {}
func (DeleteConsent) step()      {}
func (InsertAccount) step()      {}
func (PutAccount) step()         {}
func (SetPassword) step()        {}
func (SetDisabled) step()        {}
func (DeleteSessions) step()     {}
func (InsertClient) step()       {}
func (UpdateClient) step()       {}
func (DeleteClient) step()       {}
func (InsertKey) step()          {}
func (RetireKeys) step()         {}
func (InsertFirstKeys) step()    {}
func (InsertSecret) step()       {}
func (ResealSecret) step()       {}
func (ResealKey) step()          {}
