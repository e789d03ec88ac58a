package model

// ID identifies a row. Ids are positive, drawn without asking anyone, ordered
// by the time of their creation, and never reused.
type ID int64

// Service is one issuer: its settings as the catalogue declares them.
// A Service is immutable once a snapshot holds it.
type Service struct {
	ID ID

	Issuer      string
	ServiceName string

	AuthorizationEndpoint string
	TokenEndpoint         string
	RevocationEndpoint    string
	IntrospectionEndpoint string
	UserInfoEndpoint      string
	JWKSURI               string

	SupportedGrantTypes               []GrantType
	SupportedTokenAuthMethods         []ClientAuthMethod
	SupportedRevocationAuthMethods    []ClientAuthMethod
	SupportedIntrospectionAuthMethods []ClientAuthMethod
	PKCERequired                      bool

	AuthorizationCodeDuration int64 // seconds
	AccessTokenDuration       int64 // seconds
	AccessTokenSignAlg        SignAlg
	RefreshTokenDuration      int64 // seconds
	IDTokenDuration           int64 // seconds

	SupportedScopes []Scope
	SupportedClaims []string

	ServiceDocumentation string
	PolicyURI            string
	TOSURI               string
}

// Scope is one value of the scope parameter (RFC 6749 §3.3) that a service knows.
type Scope struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
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
