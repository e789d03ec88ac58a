package model

import "slices"

// Client is one OAuth client of a service: its settings as the catalogue
// declares them. A Client is immutable once a snapshot holds it.
type Client struct {
	Service ID
	ID      ID
	// Alias is the client_id that the client presents. Every client has one.
	Alias string

	ClientName string
	ClientType ClientType
	// ClientSecret is the secret in clear until the engine has made its
	// snapshot, which keeps SecretHash alone.
	ClientSecret string
	// SecretHash is SHA-256 of the client secret.
	SecretHash [32]byte

	TokenAuthMethod   ClientAuthMethod
	RedirectURIs      []string
	GrantTypes        []GrantType
	RequestableScopes []string // nil: all that the service supports
	IDTokenSignAlg    SignAlg
	DefaultMaxAge     int64 // seconds; 0: none
	AuthTimeRequired  bool

	ClientURI string
	PolicyURI string
	TOSURI    string
}

// Public reports whether the client cannot keep a secret (RFC 6749 §2.1).
func (c *Client) Public() bool { return c.ClientType == ClientTypePublic }

// Allows reports whether the client may use the grant type.
func (c *Client) Allows(g GrantType) bool { return slices.Contains(c.GrantTypes, g) }

// MayRequest reports whether the client may ask for the scope.
func (c *Client) MayRequest(scope string) bool {
	return c.RequestableScopes == nil || slices.Contains(c.RequestableScopes, scope)
}

// DisplayName is what people are shown: the name, or else the client_id.
func (c *Client) DisplayName() string {
	if c.ClientName != "" {
		return c.ClientName
	}
	return c.Alias
}
