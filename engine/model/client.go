package model

import (
	neturl "net/url"
	"slices"
)

// Client is one OAuth client of a service: its settings as the catalogue
// declares them. A Client is immutable once a snapshot holds it. Durations are
// in seconds; those that are 0 are the service's.
type Client struct {
	Service ID
	ID      ID
	// Alias is the client_id that the client presents. Every client has one.
	Alias string

	ClientName  string
	ClientNames []Tagged
	ClientType  ClientType
	// ClientSecret is the secret in clear. A snapshot keeps it only for a client
	// that signs or encrypts with it (UsesSecret), and SecretHash for the others.
	ClientSecret string
	// SecretHash is SHA-256 of the client secret.
	SecretHash      [32]byte
	SecretExpiresAt int64 // Unix seconds; 0: never
	// Registered is set for clients that were not declared: their row.
	Registered *StoredClient

	ApplicationType ApplicationType
	Developer       string
	Contacts        []string
	SoftwareID      string
	SoftwareVersion string

	TokenAuthMethod   ClientAuthMethod
	TokenAuthSignAlg  SignAlg // empty: any that suits the method
	RedirectURIs      []string
	ResponseTypes     []ResponseType
	GrantTypes        []GrantType
	RequestableScopes []string // nil: all that the service supports
	PKCERequired      bool
	PKCES256Required  bool
	JWKS              string
	JWKSURI           string

	RequestSignAlg        SignAlg // empty: any
	RequestEncryptionAlg  EncAlg  // empty: any, or none
	RequestEncryptionEnc  ContentEnc
	RequestURIs           []string
	RequestObjectRequired bool

	AccessTokenDuration         int64
	RefreshTokenDuration        int64
	SingleAccessTokenPerSubject bool
	DPoPRequired                bool
	CertificateBoundTokens      bool // tlsClientCertificateBoundAccessTokens

	IntrospectionSignAlg       SignAlg // empty: what is usual
	IntrospectionEncryptionAlg EncAlg
	IntrospectionEncryptionEnc ContentEnc

	IDTokenSignAlg        SignAlg
	IDTokenEncryptionAlg  EncAlg
	IDTokenEncryptionEnc  ContentEnc
	IDTokenDuration       int64
	UserInfoSignAlg       SignAlg
	UserInfoEncryptionAlg EncAlg
	UserInfoEncryptionEnc ContentEnc
	SubjectType           SubjectType
	SectorIdentifierURI   string
	DefaultMaxAge         int64 // seconds; 0: none
	DefaultACRs           []string
	AuthTimeRequired      bool

	LoginURI                          string
	PostLogoutRedirectURIs            []string
	FrontchannelLogoutURI             string
	FrontchannelLogoutSessionRequired bool
	BackchannelLogoutURI              string
	BackchannelLogoutSessionRequired  bool

	ClientURI  string
	ClientURIs []Tagged
	LogoURI    string
	LogoURIs   []Tagged
	PolicyURI  string
	PolicyURIs []Tagged
	TOSURI     string
	TOSURIs    []Tagged
}

// Public reports whether the client cannot keep a secret (RFC 6749 §2.1).
func (c *Client) Public() bool { return c.ClientType == ClientTypePublic }

// SecretExpired reports whether the client secret is no longer good at a time
// in Unix seconds.
func (c *Client) SecretExpired(at int64) bool {
	return c.SecretExpiresAt != 0 && c.SecretExpiresAt <= at
}

// Allows reports whether the client may use the grant type.
func (c *Client) Allows(g GrantType) bool { return slices.Contains(c.GrantTypes, g) }

// AllowsResponse reports whether the client may use the response type.
func (c *Client) AllowsResponse(t ResponseType) bool { return slices.Contains(c.ResponseTypes, t) }

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

// LogsOut reports whether the client wants to be told of the end of a session.
func (c *Client) LogsOut() bool {
	return c.FrontchannelLogoutURI != "" || c.BackchannelLogoutURI != ""
}

// UsesSecret reports whether the secret is a key to sign or encrypt with, so
// that its hash is not enough (OpenID Connect Core §10.1, §10.2).
func (c *Client) UsesSecret() bool {
	for _, alg := range []SignAlg{c.IDTokenSignAlg, c.UserInfoSignAlg, c.IntrospectionSignAlg, c.RequestSignAlg} {
		if alg.Symmetric() {
			return true
		}
	}
	for _, alg := range []EncAlg{c.IDTokenEncryptionAlg, c.UserInfoEncryptionAlg, c.IntrospectionEncryptionAlg, c.RequestEncryptionAlg} {
		if alg.Symmetric() {
			return true
		}
	}
	return c.TokenAuthMethod == AuthClientSecretJWT
}

// Sector is the host that pairwise subjects are computed for: that of the
// sector identifier, or the one of all redirect addresses (OpenID Connect Core
// §8.1). It is empty when there is no such host.
func (c *Client) Sector() string {
	addresses := c.RedirectURIs
	if c.SectorIdentifierURI != "" {
		addresses = []string{c.SectorIdentifierURI}
	}
	sector := ""
	for _, address := range addresses {
		u, err := neturl.Parse(address)
		if err != nil || u.Host == "" || sector != "" && u.Hostname() != sector {
			return ""
		}
		sector = u.Hostname()
	}
	return sector
}
