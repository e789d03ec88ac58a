package model

import "slices"

// ID identifies a row. Ids are positive, drawn without asking anyone, ordered
// by the time of their creation, and never reused.
type ID int64

// Service is one issuer: its settings as the catalogue declares them.
// A Service is immutable once a snapshot holds it. Durations are in seconds.
type Service struct {
	ID ID

	// Basic
	Issuer              string
	ServiceName         string
	Description         string
	APIKey              string
	APISecret           string
	ClientsPerDeveloper int64 // 0: no limit

	// User Authentication
	AuthenticationCallback Callback
	SupportedSNSes         []SNS
	SNSCredentials         []SNSCredentials
	SupportedACRs          []string

	// Developer Authentication
	DeveloperCallback Callback

	// Authorization
	SupportedGrantTypes               []GrantType
	SupportedResponseTypes            []ResponseType
	AuthorizationEndpoint             string
	DirectAuthorization               bool
	SupportedUILocales                []string
	SupportedDisplays                 []Display
	PKCERequired                      bool
	PKCES256Required                  bool
	RequestObjectRequired             bool
	ISSSuppressed                     bool
	ErrorDescriptionOmitted           bool
	AuthorizationCodeDuration         int64
	TokenEndpoint                     string
	DirectToken                       bool
	SupportedTokenAuthMethods         []ClientAuthMethod
	AssertionAudienceIssuer           bool // clientAssertionAudRestrictedToIssuer
	AllowableClockSkew                int64
	RevocationEndpoint                string
	DirectRevocation                  bool
	SupportedRevocationAuthMethods    []ClientAuthMethod
	IntrospectionEndpoint             string
	DirectIntrospection               bool
	SupportedIntrospectionAuthMethods []ClientAuthMethod
	RevocationStreamEndpoint          string

	// Token
	AccessTokenType             string
	AccessTokenDuration         int64
	AccessTokenSignAlg          SignAlg
	AccessTokenSignatureKeyID   string
	SingleAccessTokenPerSubject bool
	DPoPNonceRequired           bool
	CertificateBoundTokens      bool // tlsClientCertificateBoundAccessTokens
	RefreshTokenDuration        int64
	RefreshTokenKept            *bool // nil: renewed for public clients alone
	RefreshTokenDurationKept    bool
	RefreshTokenDurationReset   bool
	SupportedScopes             []Scope
	ScopeRequired               bool

	// ID Token
	IDTokenDuration       int64
	SupportedClaimTypes   []ClaimType
	SupportedClaimLocales []string
	SupportedClaims       []string

	// JWK Set
	JWKSURI                     string
	DirectJWKS                  bool
	JWKS                        string // JWK Set with private keys; empty: generated keys
	KeyAlgs                     []string
	IDTokenSignatureKeyID       string
	UserInfoSignatureKeyID      string
	IntrospectionSignatureKeyID string

	// OIDC Endpoint
	UserInfoEndpoint             string
	DirectUserInfo               bool
	DynamicRegistrationSupported bool
	RegistrationEndpoint         string
	InitialAccessTokens          []InitialAccessToken
	SoftwareStatementJWKS        string
	SoftwareStatementRequired    bool
	RegistrationPolicy           RegistrationPolicy
	ClientSecretDuration         int64 // 0: secrets do not expire
	EndSessionEndpoint           string
	CheckSessionIframe           string

	// Document
	ServiceDocumentation string
	PolicyURI            string
	TOSURI               string

	// Limits
	MaxRequestBytes       int64
	MaxRequestObjectBytes int64
	MaxClaims             int64
	MaxRegistrationBytes  int64
}

// Callback is a Web API of the operator's that authenticates somebody.
type Callback struct {
	Endpoint, APIKey, APISecret string
}

// SNSCredentials are a service's credentials at a social network.
type SNSCredentials struct {
	SNS       SNS    `json:"sns"`
	APIKey    string `json:"apiKey"`
	APISecret string `json:"apiSecret"`
}

// InitialAccessToken lets a developer register clients (RFC 7591 §3).
type InitialAccessToken struct {
	Developer string `json:"developer"`
	Token     string `json:"token"`
}

// RegistrationPolicy narrows what may be registered. An empty list leaves all
// that the service supports.
type RegistrationPolicy struct {
	GrantTypes    []GrantType
	ResponseTypes []ResponseType
	AuthMethods   []ClientAuthMethod
	Scopes        []string
	RedirectHosts []string
}

// Scope is one value of the scope parameter (RFC 6749 §3.3) that a service knows.
type Scope struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Descriptions are in other languages.
	Descriptions []Tagged `json:"descriptions,omitempty"`
	// Default: a request without the scope parameter asks for it.
	Default bool `json:"defaultEntry,omitempty"`
	// Attributes say more about the scope; those named below the engine obeys.
	Attributes []Pair `json:"attributes,omitempty"`
}

// Attributes of a scope that shorten the tokens which cover it, in seconds.
const (
	AttributeAccessTokenDuration  = "access_token.duration"
	AttributeRefreshTokenDuration = "refresh_token.duration"
	AttributeIDTokenDuration      = "id_token.duration"
)

// Tagged is a text in one language (BCP 47).
type Tagged struct {
	Tag   string `json:"tag"`
	Value string `json:"value"`
}

// Pair is a key with its value.
type Pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Property is an extra property of an access token.
type Property struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	// Hidden: not in the token response, which the client sees.
	Hidden bool `json:"hidden,omitempty"`
}

// Scope returns the supported scope of that name.
func (s *Service) Scope(name string) (Scope, bool) {
	for _, scope := range s.SupportedScopes {
		if scope.Name == name {
			return scope, true
		}
	}
	return Scope{}, false
}

// OpenID reports whether the service does OpenID Connect: it knows the scope openid.
func (s *Service) OpenID() bool {
	_, ok := s.Scope("openid")
	return ok
}

// Supports reports whether the service has the grant type turned on.
func (s *Service) Supports(g GrantType) bool { return slices.Contains(s.SupportedGrantTypes, g) }

// SupportsResponse reports whether the service has the response type turned
// on, and the grant types that it stands for.
func (s *Service) SupportsResponse(t ResponseType) bool {
	if !slices.Contains(s.SupportedResponseTypes, t) || t.IDToken() && !s.OpenID() {
		return false
	}
	for _, g := range t.Grants() {
		if !s.Supports(g) {
			return false
		}
	}
	return true
}

// ResponseTypes are the response types that work.
func (s *Service) ResponseTypes() []ResponseType {
	types := []ResponseType{}
	for _, t := range s.SupportedResponseTypes {
		if s.SupportsResponse(t) {
			types = append(types, t)
		}
	}
	return types
}
