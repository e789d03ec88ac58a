package model

import (
	"encoding/json"
	"slices"
	"strings"
)

var serviceRules = []rule[*Service]{
	{Contradiction, "supported_response_types", "% never works: its grant types are not supported",
		"add authorization_code (for code) or implicit (for token and id_token) to supported_grant_types, or leave % out", "supported_grant_types",
		func(s *Service) []string {
			return missing(s.SupportedResponseTypes, slices.DeleteFunc(slices.Clone(s.SupportedResponseTypes), func(t ResponseType) bool {
				return slices.ContainsFunc(t.Grants(), func(g GrantType) bool { return !s.Supports(g) })
			}))
		}},
	{Contradiction, "supported_response_types", "% never works: it needs the scope openid",
		"add openid to supported_scopes, or leave % out", "supported_scopes",
		func(s *Service) (list []string) {
			for _, t := range s.SupportedResponseTypes {
				if t.IDToken() && !s.OpenID() {
					list = append(list, string(t))
				}
			}
			return list
		}},
	{Contradiction, "supported_grant_types", "authorization_code is supported, but no response type issues a code",
		"add code to supported_response_types, or leave authorization_code out", "supported_response_types",
		func(s *Service) []string {
			return yes(s.Supports(GrantAuthorizationCode) && !slices.ContainsFunc(s.SupportedResponseTypes, ResponseType.Code))
		}},
	{Contradiction, "supported_grant_types", "implicit is supported, but no response type uses it",
		"leave implicit out of supported_grant_types", "supported_response_types",
		func(s *Service) []string {
			return yes(s.Supports(GrantImplicit) && !slices.ContainsFunc(s.SupportedResponseTypes, func(t ResponseType) bool { return t.Token() || t.IDToken() }))
		}},
	{Contradiction, "supported_grant_types", "refresh_token is supported, but nothing issues a refresh token",
		"add authorization_code, or leave refresh_token out", "supported_grant_types",
		func(s *Service) []string {
			return yes(s.Supports(GrantRefreshToken) && !s.Supports(GrantAuthorizationCode) && !s.Supports(GrantPassword))
		}},
	{Warning, "supported_grant_types", "the implicit grant puts tokens into addresses, where histories and scripts find them",
		"let clients use code with PKCE, and leave implicit out of supported_grant_types", "RFC 9700 section 2.1.2",
		func(s *Service) []string {
			return yes(slices.ContainsFunc(s.ResponseTypes(), ResponseType.Token))
		}},
	{Warning, "supported_grant_types", "the password grant shows users' passwords to clients, and knows no second factor",
		"leave password out of supported_grant_types; let clients use code", "RFC 9700 section 2.4",
		func(s *Service) []string { return yes(s.Supports(GrantPassword)) }},
	{Warning, "pkce_required", "confidential clients may leave out PKCE, so that a stolen code can be slipped to them",
		"leave pkce_required as it is by default", "RFC 9700 section 2.1.1",
		func(s *Service) []string { return yes(!s.PKCERequired && s.Supports(GrantAuthorizationCode)) }},
	{Warning, "pkce_s256_required", "the method plain shows the verifier to whoever sees the request",
		"leave pkce_s256_required as it is by default", "RFC 7636 section 7.2",
		func(s *Service) []string { return yes(!s.PKCES256Required && s.Supports(GrantAuthorizationCode)) }},
	{Warning, "iss_suppressed", "clients with several authorization servers cannot tell whose answer they got",
		"leave iss_suppressed out", "RFC 9700 section 4.4",
		func(s *Service) []string { return yes(s.ISSSuppressed) }},
	{Warning, "access_token_duration", "an access token is good for more than a day after it has been stolen",
		"shorten it, and let clients refresh", "RFC 9700 section 4.10",
		func(s *Service) []string { return yes(s.AccessTokenDuration > 24*60*60) }},
	{Warning, "refresh_token_kept", "refresh tokens of public clients are not replaced, so that a stolen one is not noticed",
		"leave refresh_token_kept out: then those of public clients are replaced", "RFC 9700 section 4.14.2",
		func(s *Service) []string { return yes(s.RefreshTokenKept != nil && *s.RefreshTokenKept) }},
	{Contradiction, "refresh_token_duration_kept", "it says what a replaced refresh token's successor inherits, but none is replaced",
		"leave one of the two out", "refresh_token_kept",
		func(s *Service) []string {
			return yes(s.RefreshTokenDurationKept && s.RefreshTokenKept != nil && *s.RefreshTokenKept)
		}},
	{Contradiction, "refresh_token_duration_reset", "it says what becomes of a kept refresh token, but all are replaced",
		"leave one of the two out", "refresh_token_kept",
		func(s *Service) []string {
			return yes(s.RefreshTokenDurationReset && s.RefreshTokenKept != nil && !*s.RefreshTokenKept)
		}},
	{Warning, "supported_scopes", "OpenID Connect clients get no refresh tokens without the scope offline_access",
		"add offline_access to supported_scopes, or leave refresh_token out of supported_grant_types", "OpenID Connect Core section 11",
		func(s *Service) []string {
			_, offline := s.Scope("offline_access")
			return yes(s.OpenID() && !offline && s.Supports(GrantRefreshToken) && s.Supports(GrantAuthorizationCode))
		}},
	{Warning, "supported_scopes", "openid is a default scope, so that every request without a scope is an OpenID Connect one",
		"take default off openid", "OpenID Connect Core section 3.1.2.1",
		func(s *Service) []string {
			scope, ok := s.Scope("openid")
			return yes(ok && scope.Default)
		}},
	{Warning, "dynamic_registration_supported", "everybody on the network may register clients",
		"give initial_access_tokens, or narrow what may be registered with registration_scopes and registration_redirect_hosts", "RFC 7591 section 5",
		func(s *Service) []string {
			p := s.RegistrationPolicy
			return yes(s.DynamicRegistrationSupported && len(s.InitialAccessTokens) == 0 && s.DeveloperCallback.Endpoint == "" &&
				!s.SoftwareStatementRequired && len(p.Scopes) == 0 && len(p.RedirectHosts) == 0)
		}},
	{Contradiction, "software_statement_required", "no software statement is believed, so that nobody can register",
		"give software_statement_jwks, or leave software_statement_required out", "software_statement_jwks",
		func(s *Service) []string { return yes(s.SoftwareStatementRequired && s.SoftwareStatementJWKS == "") }},
	{Contradiction, "registration_grant_types", "% may be registered, but is not supported",
		"add % to supported_grant_types, or leave it out here", "supported_grant_types",
		func(s *Service) []string { return missing(s.RegistrationPolicy.GrantTypes, s.SupportedGrantTypes) }},
	{Contradiction, "registration_response_types", "% may be registered, but is not supported",
		"add % to supported_response_types, or leave it out here", "supported_response_types",
		func(s *Service) []string { return missing(s.RegistrationPolicy.ResponseTypes, s.ResponseTypes()) }},
	{Contradiction, "registration_auth_methods", "% may be registered, but is not supported",
		"add % to supported_token_auth_methods, or leave it out here", "supported_token_auth_methods",
		func(s *Service) []string {
			return missing(s.RegistrationPolicy.AuthMethods, s.SupportedTokenAuthMethods)
		}},
	{Contradiction, "registration_scopes", "% may be registered, but is not supported",
		"add % to supported_scopes, or leave it out here", "supported_scopes",
		func(s *Service) []string { return missing(s.RegistrationPolicy.Scopes, s.scopeNames()) }},
	{Warning, "allowable_clock_skew", "assertions and request objects are accepted for minutes after they have expired",
		"set clocks by NTP, and leave allowable_clock_skew at a few seconds", "RFC 7523 section 3",
		func(s *Service) []string { return yes(s.AllowableClockSkew > 60) }},
	{Contradiction, "id_token_signature_key_id", "jwks has no key with the id %", "name a key of jwks", "jwks",
		func(s *Service) []string { return s.lacksKey(s.IDTokenSignatureKeyID) }},
	{Contradiction, "user_info_signature_key_id", "jwks has no key with the id %", "name a key of jwks", "jwks",
		func(s *Service) []string { return s.lacksKey(s.UserInfoSignatureKeyID) }},
	{Contradiction, "access_token_signature_key_id", "jwks has no key with the id %", "name a key of jwks", "jwks",
		func(s *Service) []string { return s.lacksKey(s.AccessTokenSignatureKeyID) }},
	{Warning, "issuer", "tokens travel in clear", "use https for everything but development on one machine", "RFC 9700 section 2.6",
		func(s *Service) []string { return yes(strings.HasPrefix(s.Issuer, "http:")) }},
	{Contradiction, "supported_snses", "% is offered, but there are no credentials for it", "give sns_credentials for %", "sns_credentials",
		func(s *Service) []string {
			var have []SNS
			for _, c := range s.SNSCredentials {
				have = append(have, c.SNS)
			}
			return missing(s.SupportedSNSes, have)
		}},
	{Contradiction, "supported_snses", "% is offered, but nobody says whose account a user of it has",
		"give authentication_callback_endpoint, or leave supported_snses out", "authentication_callback_endpoint",
		func(s *Service) []string {
			if s.AuthenticationCallback.Endpoint != "" {
				return nil
			}
			return missing(s.SupportedSNSes, nil)
		}},
}

func (s *Service) scopeNames() []string {
	names := make([]string, len(s.SupportedScopes))
	for i, scope := range s.SupportedScopes {
		names[i] = scope.Name
	}
	return names
}

// lacksKey looks for a key id in the JWK Set that is given, if one is.
func (s *Service) lacksKey(kid string) []string {
	var set struct {
		Keys []struct {
			KID string `json:"kid"`
		} `json:"keys"`
	}
	if s.JWKS == "" || kid == "" || json.Unmarshal([]byte(s.JWKS), &set) != nil {
		return nil
	}
	for _, key := range set.Keys {
		if key.KID == kid {
			return nil
		}
	}
	return []string{kid}
}
