package model

import "encoding/json"

// Grant is what a resource owner, or a client for itself, was granted. It is
// the durable parent of its codes and tokens: when it goes, they go.
// Times are Unix seconds.
type Grant struct {
	Service ID
	ID      ID
	Client  ID
	// Subject is empty when the client acts for itself (RFC 6749 §4.4).
	Subject string
	Scopes  []string
	// Session is the sign-in session that the grant came from, if any.
	Session   ID
	AuthTime  int64
	ExpiresAt int64
	// Claims is what is needed of the request and the sign-in for ID tokens,
	// userinfo and audiences; empty for the simplest grants.
	Claims GrantClaims
}

// GrantClaims is what a grant remembers for tokens and userinfo beyond the
// columns that every grant has.
type GrantClaims struct {
	// UserInfo and IDToken are the members of the claims parameter
	// (OpenID Connect Core §5.5): names of the claims asked for.
	UserInfo []string `json:"userinfo,omitempty"`
	IDToken  []string `json:"id_token,omitempty"`
	// Conditions are the values that claims at userinfo must have to be
	// delivered (§5.5.1), by name.
	Conditions map[string][]json.RawMessage `json:"conditions,omitempty"`
	// Locales are the languages in which claims were asked for (claims_locales).
	Locales []string `json:"locales,omitempty"`
	// Values are the claims that the authentication server supplied for the
	// ID token, by name.
	Values map[string]json.RawMessage `json:"values,omitempty"`
	ACR    string                     `json:"acr,omitempty"`
	AMR    []string                   `json:"amr,omitempty"`
	// Resources are the protected resources that the grant is for (RFC 8707 §2).
	Resources []string `json:"resources,omitempty"`
	// Properties are the extra properties of the grant's access tokens.
	Properties []Property `json:"properties,omitempty"`
}

// Empty reports whether there is nothing to keep.
func (c *GrantClaims) Empty() bool {
	return len(c.UserInfo) == 0 && len(c.IDToken) == 0 && len(c.Conditions) == 0 && len(c.Locales) == 0 && len(c.Values) == 0 &&
		c.ACR == "" && len(c.AMR) == 0 && len(c.Resources) == 0 && len(c.Properties) == 0
}

// AccessToken is the row behind an access token. A JWT access token carries
// its own facts and has no secret: its row is there to be listed and revoked.
type AccessToken struct {
	Service ID
	ID      ID
	Grant   ID
	Hash    [32]byte // SHA-256 of the secret; zero for a JWT
	JWT     bool
	// Scopes are the token's own when they are fewer than the grant's, else nil.
	Scopes []string
	// Resources are the token's own when they are fewer than the grant's
	// (RFC 8707 §2.2), else nil.
	Resources []string
	// Confirmation is what the token is bound to, if anything.
	Confirmation Confirmation
	ExpiresAt    int64 // Unix seconds
}

// RefreshToken is the row behind a refresh token.
type RefreshToken struct {
	Service   ID
	ID        ID
	Grant     ID
	Hash      [32]byte // SHA-256 of the secret
	ExpiresAt int64    // Unix seconds
	// Access is the access token issued last with this refresh token.
	Access ID
	// Successor is the refresh token that replaced this one, 0 while none has.
	// The successor's access token has the same id as the successor.
	Successor ID
	// Confirmation is what the token is bound to, if anything: only those of
	// public clients are (RFC 9449 §5, RFC 8705 §7.1).
	Confirmation Confirmation
}

// HandleKind says what a one-time handle is for.
type HandleKind uint8

// The kinds of one-time handles. The numbers are stored: never renumber.
const (
	HandleTicket      HandleKind = 1 // an authorization request that waits for the user
	HandleCode        HandleKind = 2 // an authorization code (RFC 6749 §4.1.2)
	HandleLogin       HandleKind = 3 // an interaction of the authentication server
	HandleTokenTicket HandleKind = 4 // a token request that waits for the user to be authenticated (RFC 6749 §4.3)
	HandleLogout      HandleKind = 5 // a client that must still be told of a session's end (OpenID Connect Back-Channel Logout §2.5)
)

// Handle is the row behind anything that can be redeemed exactly once.
type Handle struct {
	Service   ID
	ID        ID
	Kind      HandleKind
	Hash      [32]byte // SHA-256 of the secret
	ExpiresAt int64    // Unix seconds
	// Redeemed is set once the handle has been used.
	Redeemed bool
	Grant    ID     // what a code belongs to; 0 for the others
	Payload  []byte // at most MaxHandlePayload
}

// MaxHandlePayload bounds what a one-time handle keeps, in bytes.
const MaxHandlePayload = 64 << 10
