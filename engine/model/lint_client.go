package model

import (
	"net"
	neturl "net/url"
	"slices"
	"strings"
)

var clientRules = []rule[pairing]{
	{Contradiction, "token_auth_method", "% is not supported, so that the client can never authenticate",
		"add % to supported_token_auth_methods, or register another method", "supported_token_auth_methods",
		func(p pairing) []string {
			return missing([]ClientAuthMethod{p.TokenAuthMethod}, p.service.SupportedTokenAuthMethods)
		}},
	{Contradiction, "grant_types", "% is not supported by the service",
		"add % to supported_grant_types, or leave it out here", "supported_grant_types",
		func(p pairing) []string { return missing(p.GrantTypes, p.service.SupportedGrantTypes) }},
	{Contradiction, "response_types", "% is not supported by the service",
		"add % and its grant types to the service, or leave it out here", "supported_response_types",
		func(p pairing) []string { return missing(p.ResponseTypes, p.service.ResponseTypes()) }},
	{Contradiction, "requestable_scopes", "the service does not know %",
		"add % to supported_scopes, or leave it out here", "supported_scopes",
		func(p pairing) []string { return missing(p.RequestableScopes, p.service.scopeNames()) }},
	{Contradiction, "default_acrs", "the service does not reach %",
		"add % to supported_acrs, or leave it out here", "supported_acrs",
		func(p pairing) []string { return missing(p.DefaultACRs, p.service.SupportedACRs) }},
	{Note, "token_auth_method", "its assertions may be made for an endpoint's address, which another server could have told the client",
		"turn client_assertion_aud_restricted_to_issuer on at the service, if the client can follow", "OpenID Connect Core section 9, with the advisory of 2025 on audiences",
		func(p pairing) []string {
			return yes(!p.service.AssertionAudienceIssuer && p.TokenAuthMethod.Assertion())
		}},
	{Warning, "client_secret", "a secret of fewer than 32 characters may be guessed",
		"draw 32 random bytes, and write them in base64url", "RFC 6749 section 10.10",
		func(p pairing) []string { return yes(p.ClientSecret != "" && len(p.ClientSecret) < 32) }},
	{Warning, "redirect_uris", "% is not encrypted", "use https, or for native applications a loopback address", "RFC 9700 section 2.6",
		func(p pairing) (list []string) {
			for _, uri := range p.RedirectURIs {
				if u, err := neturl.Parse(uri); err == nil && u.Scheme == "http" && p.ApplicationType == ApplicationWeb && !p.Public() {
					list = append(list, uri)
				}
			}
			return list
		}},
	{Note, "redirect_uris", "the name localhost in % may be resolved to something else than this machine",
		"register http://127.0.0.1 and http://[::1], whose port may then vary", "RFC 8252 section 8.3",
		func(p pairing) (list []string) {
			for _, uri := range p.RedirectURIs {
				if u, err := neturl.Parse(uri); err == nil && Loopback(u.Hostname()) && net.ParseIP(u.Hostname()) == nil {
					list = append(list, uri)
				}
			}
			return list
		}},
	{Warning, "id_token_sign_alg", "ID tokens that nobody has signed prove nothing to whoever did not fetch them",
		"use ES256", "OpenID Connect Core section 2",
		func(p pairing) []string { return yes(p.IDTokenSignAlg == AlgNone) }},
	{Warning, "request_sign_alg", "request objects that nobody has signed protect nothing",
		"use ES256", "RFC 9101 section 10.1",
		func(p pairing) []string { return yes(p.RequestSignAlg == AlgNone) }},
	{Warning, "id_token_encryption_alg", "% has been broken by padding oracles", "use RSA-OAEP-256 or ECDH-ES", "RFC 8725 section 3.2",
		func(p pairing) (list []string) {
			for _, alg := range []EncAlg{p.IDTokenEncryptionAlg, p.UserInfoEncryptionAlg, p.IntrospectionEncryptionAlg, p.RequestEncryptionAlg} {
				if alg == "RSA1_5" && list == nil {
					list = append(list, string(alg))
				}
			}
			return list
		}},
	{Warning, "response_types", "% puts access tokens into addresses", "use code with PKCE", "RFC 9700 section 2.1.2",
		func(p pairing) (list []string) {
			for _, t := range p.ResponseTypes {
				if t.Token() && p.service.SupportsResponse(t) {
					list = append(list, string(t))
				}
			}
			return list
		}},
	{Contradiction, "request_object_required", "request objects are required, but the client has neither keys nor a secret to sign them with",
		"give jwks or jwks_uri", "request_sign_alg",
		func(p pairing) []string {
			return yes((p.RequestObjectRequired || p.service.RequestObjectRequired) && len(p.ResponseTypes) > 0 &&
				p.JWKS == "" && p.JWKSURI == "" && !p.RequestSignAlg.Symmetric())
		}},
	{Contradiction, "subject_type", "the service does no OpenID Connect, so that nobody sees a pairwise subject",
		"add openid to supported_scopes, or leave subject_type out", "supported_scopes",
		func(p pairing) []string { return yes(p.SubjectType == SubjectPairwise && !p.service.OpenID()) }},
	{Warning, "backchannel_logout_uri", "logout tokens travel in clear", "use https", "OpenID Connect Back-Channel Logout section 2.2",
		func(p pairing) []string { return yes(strings.HasPrefix(p.BackchannelLogoutURI, "http:")) }},
	{Contradiction, "tls_client_certificate_bound_access_tokens", "the service binds no access tokens to certificates, so that the client can get none",
		"turn it on at the service too, or leave it out here", "RFC 8705 section 3",
		func(p pairing) []string {
			return yes(p.CertificateBoundTokens && !p.service.CertificateBoundTokens)
		}},
	{Contradiction, "grant_types", "refresh_token is registered, but no other grant type would issue one",
		"add authorization_code, or leave refresh_token out", "RFC 6749 section 6",
		func(p pairing) []string {
			return yes(p.Allows(GrantRefreshToken) && !slices.Contains(p.GrantTypes, GrantAuthorizationCode) && !p.Allows(GrantPassword))
		}},
}
