package model

import (
	"fmt"
	neturl "net/url"
	"strings"
)

// ServiceSettings is the catalogue of a service's settings. A setting that
// nothing obeys is not in it.
var ServiceSettings = []Setting[Service]{
	url("issuer", func(s *Service) *string { return &s.Issuer }, URLRule{Most: 200, NoQuery: true}).
		at("Basic", "Token Issuer Identifier", "The URL that names this service; its path is where the endpoints are.").feeds("issuer").required(),
	text("serviceName", "at most 100 characters", func(s *Service) *string { return &s.ServiceName },
		func(v string) error { return checkText(v, maxName) }).
		at("Basic", "Service Name", "The name that people see on the pages."),

	enums("supportedGrantTypes", grantTypes, func(s *Service) *[]GrantType { return &s.SupportedGrantTypes }).
		at("Authorization", "Supported Grant Types", "The ways to get tokens that the token endpoint accepts.").feeds("grant_types_supported"),
	endpoint("authorizationEndpoint", func(s *Service) *string { return &s.AuthorizationEndpoint }).
		at("Authorization", "Authorization Endpoint", "Where browsers are sent to sign in and consent.").feeds("authorization_endpoint"),
	flag("pkceRequired", func(s *Service) *bool { return &s.PKCERequired }).
		at("Authorization", "Proof Key for Code Exchange", "Require PKCE from confidential clients too; public clients always need it."),
	seconds("authorizationCodeDuration", 1, 600, func(s *Service) *int64 { return &s.AuthorizationCodeDuration }).
		at("Authorization", "Authorization Code Duration", "How long a code can be redeemed."),
	endpoint("tokenEndpoint", func(s *Service) *string { return &s.TokenEndpoint }).
		at("Authorization", "Token Endpoint", "Where clients get tokens.").feeds("token_endpoint"),
	enums("supportedTokenAuthMethods", clientAuthMethods, func(s *Service) *[]ClientAuthMethod { return &s.SupportedTokenAuthMethods }).
		at("Authorization", "Client Authentication at the Token Endpoint", "The methods that clients may be registered for.").feeds("token_endpoint_auth_methods_supported"),
	endpoint("revocationEndpoint", func(s *Service) *string { return &s.RevocationEndpoint }).
		at("Authorization", "Revocation Endpoint", "Where clients end tokens (RFC 7009).").feeds("revocation_endpoint"),
	enums("supportedRevocationAuthMethods", clientAuthMethods, func(s *Service) *[]ClientAuthMethod { return &s.SupportedRevocationAuthMethods }).
		at("Authorization", "Client Authentication at the Revocation Endpoint", "The methods accepted there.").feeds("revocation_endpoint_auth_methods_supported"),
	endpoint("introspectionEndpoint", func(s *Service) *string { return &s.IntrospectionEndpoint }).
		at("Authorization", "Introspection Endpoint", "Where resource servers ask what a token is worth (RFC 7662).").feeds("introspection_endpoint"),
	enums("supportedIntrospectionAuthMethods", secretAuthMethods, func(s *Service) *[]ClientAuthMethod { return &s.SupportedIntrospectionAuthMethods }).
		at("Authorization", "Client Authentication at the Introspection Endpoint", "The methods accepted there.").feeds("introspection_endpoint_auth_methods_supported"),

	seconds("accessTokenDuration", 1, MaxDuration, func(s *Service) *int64 { return &s.AccessTokenDuration }).
		at("Token", "Access Token Duration", "How long an access token is good."),
	enum("accessTokenSignAlg", signAlgs, func(s *Service) *SignAlg { return &s.AccessTokenSignAlg }).
		at("Token", "Access Token Signature Algorithm", "Issue JWT access tokens (RFC 9068) signed so; opaque ones when it is not set."),
	seconds("refreshTokenDuration", 1, MaxDuration, func(s *Service) *int64 { return &s.RefreshTokenDuration }).
		at("Token", "Refresh Token Duration", "How long a refresh token is good."),
	scopes("supportedScopes", func(s *Service) *[]Scope { return &s.SupportedScopes }).
		at("Token", "Supported Scopes", "The scopes that this service knows; it ignores others. Without openid it is a plain OAuth server.").feeds("scopes_supported"),

	seconds("idTokenDuration", 1, MaxDuration, func(s *Service) *int64 { return &s.IDTokenDuration }).
		at("ID Token", "ID Token Duration", "The time from iat to exp."),
	texts("supportedClaims", "ASCII, at most 200 characters", 255, func(s *Service) *[]string { return &s.SupportedClaims }, checkName).
		at("ID Token", "Supported Claims", "The claims about users that this service supplies.").feeds("claims_supported"),

	endpoint("jwksUri", func(s *Service) *string { return &s.JWKSURI }).
		at("JWK Set", "JWK Set Endpoint", "Where the public keys are.").feeds("jwks_uri"),
	endpoint("userInfoEndpoint", func(s *Service) *string { return &s.UserInfoEndpoint }).
		at("OIDC Endpoint", "UserInfo Endpoint", "Where clients get claims about the user.").feeds("userinfo_endpoint"),

	url("tosUri", func(s *Service) *string { return &s.TOSURI }, URLRule{Most: 200}).
		at("Document", "Terms of Service", "The terms for developers of clients.").feeds("op_tos_uri"),
	url("policyUri", func(s *Service) *string { return &s.PolicyURI }, URLRule{Most: 200}).
		at("Document", "Service Data Policy", "How the data of this service may be used.").feeds("op_policy_uri"),
	url("serviceDocumentation", func(s *Service) *string { return &s.ServiceDocumentation }, URLRule{Most: 200}).
		at("Document", "Service Documentation", "What developers should read.").feeds("service_documentation"),
}

// The default paths of the endpoints, below the issuer's own path.
var endpointPaths = []struct {
	field func(*Service) *string
	path  string
}{
	{func(s *Service) *string { return &s.AuthorizationEndpoint }, "/authorize"},
	{func(s *Service) *string { return &s.TokenEndpoint }, "/token"},
	{func(s *Service) *string { return &s.RevocationEndpoint }, "/revoke"},
	{func(s *Service) *string { return &s.IntrospectionEndpoint }, "/introspect"},
	{func(s *Service) *string { return &s.UserInfoEndpoint }, "/userinfo"},
	{func(s *Service) *string { return &s.JWKSURI }, "/jwks"},
}

var standardClaims = strings.Fields(`name family_name given_name middle_name nickname preferred_username
	profile picture website gender birthdate zoneinfo locale updated_at email email_verified address
	phone_number phone_number_verified auth_time`)

// NewService makes a service of settings; what they leave out has its default.
func NewService(values Settings) (Service, error) {
	s := Service{
		SupportedGrantTypes:               []GrantType{GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials},
		SupportedTokenAuthMethods:         []ClientAuthMethod{AuthNone, AuthClientSecretBasic, AuthClientSecretPost},
		SupportedRevocationAuthMethods:    []ClientAuthMethod{AuthNone, AuthClientSecretBasic, AuthClientSecretPost},
		SupportedIntrospectionAuthMethods: []ClientAuthMethod{AuthClientSecretBasic, AuthClientSecretPost},
		PKCERequired:                      true,
		AuthorizationCodeDuration:         60,
		AccessTokenDuration:               60 * 60,
		RefreshTokenDuration:              30 * 24 * 60 * 60,
		IDTokenDuration:                   60 * 60,
		SupportedClaims:                   standardClaims,
	}
	if err := ApplyAll(ServiceSettings, &s, values); err != nil {
		return Service{}, err
	}
	if strings.HasSuffix(s.Issuer, "/") {
		return Service{}, fmt.Errorf("issuer: must not end with a slash")
	}
	issuer, err := neturl.Parse(s.Issuer)
	if err != nil {
		return Service{}, fmt.Errorf("issuer: %w", err)
	}
	taken := map[string]bool{}
	for _, e := range endpointPaths {
		switch field := e.field(&s); {
		case *field == "":
			*field = s.Issuer + e.path
		case strings.HasPrefix(*field, "/"):
			*field = issuer.Scheme + "://" + issuer.Host + *field
		}
		address := *e.field(&s)
		if taken[address] {
			return Service{}, fmt.Errorf("two endpoints are at %s", address)
		}
		taken[address] = true
	}
	return s, nil
}

func endpoint(property string, field func(*Service) *string) Setting[Service] {
	return url(property, field, URLRule{Most: 200, NoQuery: true, PathOrURL: true})
}

func (s Setting[T]) at(tab, label, help string) Setting[T] {
	s.Tab, s.Label, s.Help = tab, label, help
	return s
}

func (s Setting[T]) feeds(metadata string) Setting[T] {
	s.Metadata = metadata
	return s
}

func (s Setting[T]) required() Setting[T] {
	s.Required = true
	return s
}

func (s Setting[T]) secret() Setting[T] {
	s.Secret = true
	return s
}
