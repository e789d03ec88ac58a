package model

import (
	"fmt"
	neturl "net/url"
	"slices"
	"strings"
)

// ServiceSettings is the catalogue of a service's settings, tab by tab. A
// setting that nothing obeys is not in it.
var ServiceSettings = slices.Concat(
	basicSettings, userAuthenticationSettings, developerAuthenticationSettings, authorizationSettings,
	tokenSettings, idTokenSettings, jwkSetSettings, oidcEndpointSettings, documentSettings, limitSettings,
)

// The default paths of the endpoints, below the issuer's own path.
var endpointPaths = []struct {
	field func(*Service) *string
	path  string
}{
	{func(s *Service) *string { return &s.AuthorizationEndpoint }, "/authorize"},
	{func(s *Service) *string { return &s.TokenEndpoint }, "/token"},
	{func(s *Service) *string { return &s.RevocationEndpoint }, "/revoke"},
	{func(s *Service) *string { return &s.IntrospectionEndpoint }, "/introspect"},
	{func(s *Service) *string { return &s.RevocationStreamEndpoint }, "/revocations"},
	{func(s *Service) *string { return &s.UserInfoEndpoint }, "/userinfo"},
	{func(s *Service) *string { return &s.JWKSURI }, "/jwks"},
	{func(s *Service) *string { return &s.RegistrationEndpoint }, "/register"},
	{func(s *Service) *string { return &s.EndSessionEndpoint }, "/end_session"},
	{func(s *Service) *string { return &s.CheckSessionIframe }, "/check_session"},
}

var standardClaims = strings.Fields(`sub name family_name given_name middle_name nickname preferred_username
	profile picture website gender birthdate zoneinfo locale updated_at email email_verified address
	phone_number phone_number_verified auth_time`)

// provingAuthMethods are the methods with which a client can prove who it is.
var provingAuthMethods = []ClientAuthMethod{AuthClientSecretBasic, AuthClientSecretPost, AuthClientSecretJWT, AuthPrivateKeyJWT}

// defaultService is a service of which nothing has been said but its issuer.
func defaultService() Service {
	every := append([]ClientAuthMethod{AuthNone}, provingAuthMethods...)
	return Service{
		ClientsPerDeveloper:               10_000,
		SupportedGrantTypes:               []GrantType{GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials},
		SupportedResponseTypes:            []ResponseType{ResponseCode},
		SupportedTokenAuthMethods:         every,
		SupportedRevocationAuthMethods:    every,
		SupportedIntrospectionAuthMethods: provingAuthMethods,
		SupportedACRs:                     []string{"1"},
		SupportedDisplays:                 []Display{DisplayPage, DisplayPopup, DisplayTouch, DisplayWap},
		SupportedClaimTypes:               []ClaimType{ClaimNormal},
		PKCERequired:                      true,
		PKCES256Required:                  true,
		AuthorizationCodeDuration:         60,
		AllowableClockSkew:                10,
		AccessTokenType:                   "Bearer",
		AccessTokenDuration:               60 * 60,
		RefreshTokenDuration:              30 * 24 * 60 * 60,
		IDTokenDuration:                   60 * 60,
		SupportedClaims:                   standardClaims,
		MaxRequestBytes:                   32 << 10,
		MaxRequestObjectBytes:             16 << 10,
		MaxClaims:                         64,
		MaxRegistrationBytes:              64 << 10,
	}
}

// NewService makes a service of settings; what they leave out has its default.
func NewService(values Settings) (Service, error) {
	s := defaultService()
	if err := ApplyAll(ServiceSettings, &s, values); err != nil {
		return Service{}, err
	}
	if err := s.placeEndpoints(); err != nil {
		return Service{}, err
	}
	return s, s.validate()
}

// placeEndpoints makes addresses of the endpoints' paths.
func (s *Service) placeEndpoints() error {
	if strings.HasSuffix(s.Issuer, "/") {
		return fmt.Errorf("issuer: must not end with a slash")
	}
	issuer, err := neturl.Parse(s.Issuer)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	taken := map[string]bool{}
	for _, e := range endpointPaths {
		switch field := e.field(s); {
		case *field == "":
			*field = s.Issuer + e.path
		case strings.HasPrefix(*field, "/"):
			*field = issuer.Scheme + "://" + issuer.Host + *field
		}
		address := *e.field(s)
		if taken[address] {
			return fmt.Errorf("two endpoints are at %s", address)
		}
		taken[address] = true
	}
	return nil
}

// validate finds settings that cannot be obeyed together. What can be obeyed
// but should not is the linter's to say.
func (s *Service) validate() error {
	direct := s.DirectAuthorization || s.DirectToken || s.DirectRevocation || s.DirectIntrospection || s.DirectJWKS || s.DirectUserInfo
	switch {
	case direct && s.APIKey == "":
		return fmt.Errorf("direct endpoints are addressed by the api_key, which is not set")
	case (s.APIKey == "") != (s.APISecret == ""):
		return fmt.Errorf("api_key and api_secret go together")
	case s.JWKS != "" && len(s.KeyAlgs) > 0:
		return fmt.Errorf("jwks gives the keys, so that key_algs makes none")
	}
	return nil
}

func endpoint(property string, field func(*Service) *string) Setting[Service] {
	return url(property, field, URLRule{Most: maxASCII, NoQuery: true, PathOrURL: true})
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
