package model

import "errors"

var basicSettings = []Setting[Service]{
	url("issuer", func(s *Service) *string { return &s.Issuer }, URLRule{Most: maxASCII, NoQuery: true}).
		at("Basic", "Token Issuer Identifier", "The URL that names this service; its path is where the endpoints are.").feeds("issuer").required(),
	text("serviceName", "at most 100 characters", func(s *Service) *string { return &s.ServiceName },
		func(v string) error { return checkText(v, maxName) }).
		at("Basic", "Service Name", "The name that people see on the pages."),
	text("description", descriptionLimits, func(s *Service) *string { return &s.Description },
		func(v string) error { return checkText(v, maxDescription) }).
		at("Basic", "Service Description", "What this service is, in a sentence that people see below its name."),
	text("apiKey", "letters, digits, - and _, at most 100 characters", func(s *Service) *string { return &s.APIKey }, checkAPIKey).
		at("Basic", "API Key", "Names this service in the addresses of its direct endpoints, and its resource servers at the introspection endpoint."),
	text("apiSecret", "printable ASCII, 8 to 200 characters", func(s *Service) *string { return &s.APISecret }, checkSecret).
		at("Basic", "API Secret", "With the API key, authenticates this service's own resource servers at the introspection endpoint.").secret(),
	number("clientsPerDeveloper", "clients; 0 for no limit", 0, 1_000_000_000, func(s *Service) *int64 { return &s.ClientsPerDeveloper }).
		at("Basic", "Clients Per Developer", "How many clients one developer may register; whoever registers without a token is one developer too."),
}

var userAuthenticationSettings = callbackSettings("authenticationCallback", "User Authentication", "users, for sign-in and the password flow, instead of the accounts here",
	func(s *Service) *Callback { return &s.AuthenticationCallback },
	enums("supportedSnses", snses, func(s *Service) *[]SNS { return &s.SupportedSNSes }).
		at("User Authentication", "Supported SNSes", "Social networks that the sign-in page offers, which send people back to /api/sns/redirection below the issuer; whose accounts they are is asked of the authentication callback."),
	list("snsCredentials", "block of social networks with client id and secret", "each value ASCII, at most 200 characters", 10,
		func(s *Service) *[]SNSCredentials { return &s.SNSCredentials }, snsEntry, checkSNS).
		at("User Authentication", "SNS API Credentials", "This service's credentials at the social networks.").secret(),
	texts("supportedAcrs", "ASCII, at most 200 characters", 50, func(s *Service) *[]string { return &s.SupportedACRs }, checkName).
		at("User Authentication", "Supported Authentication Context Class References",
			"The levels of sign-in, lowest first; a password reaches the first, a social network none.").feeds("acr_values_supported"),
)

var developerAuthenticationSettings = callbackSettings("developerAuthenticationCallback", "Developer Authentication",
	"developers, who may then register clients with HTTP Basic", func(s *Service) *Callback { return &s.DeveloperCallback })

// callbackSettings are a Web API of the operator's and the credentials for it.
func callbackSettings(prefix, tab, whom string, field func(*Service) *Callback, more ...Setting[Service]) []Setting[Service] {
	return append([]Setting[Service]{
		url(prefix+"Endpoint", func(s *Service) *string { return &field(s).Endpoint }, URLRule{Most: maxASCII}).
			at(tab, "Callback Endpoint", "A Web API of yours that authenticates "+whom+"."),
		text(prefix+"ApiKey", "ASCII, at most 100 characters", func(s *Service) *string { return &field(s).APIKey }, checkASCII(maxName)).
			at(tab, "Callback API Key", "The user of HTTP Basic authentication there; when it is not set, there is none."),
		text(prefix+"ApiSecret", "ASCII, at most 100 characters", func(s *Service) *string { return &field(s).APISecret }, checkASCII(maxName)).
			at(tab, "Callback API Secret", "The password of HTTP Basic authentication there.").secret(),
	}, more...)
}

var authorizationSettings = []Setting[Service]{
	enums("supportedGrantTypes", grantTypes, func(s *Service) *[]GrantType { return &s.SupportedGrantTypes }).
		at("Authorization", "Supported Grant Types", "The ways to get tokens.").feeds("grant_types_supported"),
	responseTypeSet("supportedResponseTypes", func(s *Service) *[]ResponseType { return &s.SupportedResponseTypes }).
		at("Authorization", "Supported Response Types", "What the authorization endpoint may issue at once; those with a token need the implicit grant type, those with a code authorization_code.").feeds("response_types_supported"),
	endpoint("authorizationEndpoint", func(s *Service) *string { return &s.AuthorizationEndpoint }).
		at("Authorization", "Authorization Endpoint", "Where browsers are sent to sign in and consent.").feeds("authorization_endpoint"),
	flag("directAuthorizationEndpointEnabled", func(s *Service) *bool { return &s.DirectAuthorization }).
		at("Authorization", "Direct Authorization Endpoint", "Serve it at /api/auth/authorization/direct/ and the API key too."),
	texts("supportedUiLocales", "a language tag of at most 30 characters", 50, func(s *Service) *[]string { return &s.SupportedUILocales }, checkLanguage).
		at("Authorization", "Supported UI Locales", "The languages of the pages, all that there are when it is not set; the first is shown when none is asked for.").feeds("ui_locales_supported"),
	enums("supportedDisplays", displays, func(s *Service) *[]Display { return &s.SupportedDisplays }).
		at("Authorization", "Supported Displays", "The kinds of pages that a request may ask for.").feeds("display_values_supported"),
	flag("pkceRequired", func(s *Service) *bool { return &s.PKCERequired }).
		at("Authorization", "Proof Key for Code Exchange", "Require PKCE from confidential clients too; public clients always need it."),
	flag("pkceS256Required", func(s *Service) *bool { return &s.PKCES256Required }).
		at("Authorization", "S256 Required", "Refuse the method plain."),
	flag("requestObjectRequired", func(s *Service) *bool { return &s.RequestObjectRequired }).
		at("Authorization", "Request Object Required", "Refuse authorization requests without a request object (RFC 9101).").feeds("require_signed_request_object"),
	flag("issSuppressed", func(s *Service) *bool { return &s.ISSSuppressed }).
		at("Authorization", "Leave Out iss", "Do not put iss into authorization responses (RFC 9207)."),
	flag("errorDescriptionOmitted", func(s *Service) *bool { return &s.ErrorDescriptionOmitted }).
		at("Authorization", "Leave Out error_description", "Answer errors with their code alone."),
	seconds("authorizationCodeDuration", 1, 600, func(s *Service) *int64 { return &s.AuthorizationCodeDuration }).
		at("Authorization", "Authorization Code Duration", "How long a code can be redeemed."),
	endpoint("tokenEndpoint", func(s *Service) *string { return &s.TokenEndpoint }).
		at("Authorization", "Token Endpoint", "Where clients get tokens.").feeds("token_endpoint"),
	flag("directTokenEndpointEnabled", func(s *Service) *bool { return &s.DirectToken }).
		at("Authorization", "Direct Token Endpoint", "Serve it at /api/auth/token/direct/ and the API key too."),
	enums("supportedTokenAuthMethods", clientAuthMethods, func(s *Service) *[]ClientAuthMethod { return &s.SupportedTokenAuthMethods }).
		at("Authorization", "Client Authentication at the Token Endpoint", "The methods that clients may be registered for.").feeds("token_endpoint_auth_methods_supported"),
	flag("clientAssertionAudRestrictedToIssuer", func(s *Service) *bool { return &s.AssertionAudienceIssuer }).
		at("Authorization", "Client Assertions for the Issuer Alone", "Accept no endpoint's address as the audience of a client assertion."),
	seconds("allowableClockSkew", 0, 600, func(s *Service) *int64 { return &s.AllowableClockSkew }).
		at("Authorization", "Allowable Clock Skew", "By how much the clocks of clients may differ from this server's."),
	endpoint("revocationEndpoint", func(s *Service) *string { return &s.RevocationEndpoint }).
		at("Authorization", "Revocation Endpoint", "Where clients end tokens (RFC 7009).").feeds("revocation_endpoint"),
	flag("directRevocationEndpointEnabled", func(s *Service) *bool { return &s.DirectRevocation }).
		at("Authorization", "Direct Revocation Endpoint", "Serve it at /api/auth/revocation/direct/ and the API key too."),
	enums("supportedRevocationAuthMethods", clientAuthMethods, func(s *Service) *[]ClientAuthMethod { return &s.SupportedRevocationAuthMethods }).
		at("Authorization", "Client Authentication at the Revocation Endpoint", "The methods accepted there.").feeds("revocation_endpoint_auth_methods_supported"),
	endpoint("introspectionEndpoint", func(s *Service) *string { return &s.IntrospectionEndpoint }).
		at("Authorization", "Introspection Endpoint", "Where resource servers ask what a token is worth (RFC 7662).").feeds("introspection_endpoint"),
	flag("directIntrospectionEndpointEnabled", func(s *Service) *bool { return &s.DirectIntrospection }).
		at("Authorization", "Direct Introspection Endpoint", "Serve it at /api/auth/introspection/direct/ and the API key too."),
	enums("supportedIntrospectionAuthMethods", secretAuthMethods, func(s *Service) *[]ClientAuthMethod { return &s.SupportedIntrospectionAuthMethods }).
		at("Authorization", "Client Authentication at the Introspection Endpoint", "The methods accepted there.").feeds("introspection_endpoint_auth_methods_supported"),
	endpoint("revocationStreamEndpoint", func(s *Service) *string { return &s.RevocationStreamEndpoint }).
		at("Authorization", "Revocation Stream Endpoint", "Where gateways elsewhere follow what is revoked; who may introspect may follow.").feeds("gatehouse_revocation_stream_endpoint"),
}

var tokenSettings = []Setting[Service]{
	text("accessTokenType", "ASCII, at most 200 characters", func(s *Service) *string { return &s.AccessTokenType }, checkName).
		at("Token", "Access Token Type", "The token_type of token responses."),
	seconds("accessTokenDuration", 1, MaxDuration, func(s *Service) *int64 { return &s.AccessTokenDuration }).
		at("Token", "Access Token Duration", "How long an access token is good, unless its client or a scope says otherwise."),
	flag("singleAccessTokenPerSubject", func(s *Service) *bool { return &s.SingleAccessTokenPerSubject }).
		at("Token", "Single Access Token Per Subject", "A new access token ends the others of the same user and client."),
	enum("accessTokenSignAlg", asymmetricAlgs, func(s *Service) *SignAlg { return &s.AccessTokenSignAlg }).
		at("Token", "Access Token Signature Algorithm", "Issue JWT access tokens (RFC 9068) signed so; opaque ones when it is not set."),
	text("accessTokenSignatureKeyId", "ASCII, at most 100 characters", func(s *Service) *string { return &s.AccessTokenSignatureKeyID }, checkASCII(maxName)).
		at("Token", "Access Token Signature Key", "The key ID to sign with, when there are several."),
	flag("dpopNonceRequired", func(s *Service) *bool { return &s.DPoPNonceRequired }).
		at("Token", "DPoP Nonce Required", "Accept at the token and the userinfo endpoint only DPoP proofs with a nonce of this server's (RFC 9449)."),
	flag("tlsClientCertificateBoundAccessTokens", func(s *Service) *bool { return &s.CertificateBoundTokens }).
		at("Token", "Certificate-Bound Access Tokens", "Bind the access tokens of clients that are registered for it to their TLS certificates (RFC 8705), which the site must ask for: tls with client_auth in mode request.").feeds("tls_client_certificate_bound_access_tokens"),
	seconds("refreshTokenDuration", 1, MaxDuration, func(s *Service) *int64 { return &s.RefreshTokenDuration }).
		at("Token", "Refresh Token Duration", "How long a refresh token is good, unless its client or a scope says otherwise."),
	choice("refreshTokenKept", func(s *Service) **bool { return &s.RefreshTokenKept }).
		at("Token", "Refresh Token Kept", "Keep a refresh token when it is used, or replace it; when it is not set, those of public clients are replaced."),
	flag("refreshTokenDurationKept", func(s *Service) *bool { return &s.RefreshTokenDurationKept }).
		at("Token", "Refresh Token Duration Kept", "A replaced refresh token's remaining time is its successor's."),
	flag("refreshTokenDurationReset", func(s *Service) *bool { return &s.RefreshTokenDurationReset }).
		at("Token", "Refresh Token Duration Reset", "A kept refresh token's time begins again when it is used."),
	scopes("supportedScopes", func(s *Service) *[]Scope { return &s.SupportedScopes }).
		at("Token", "Supported Scopes", "The scopes that this service knows; it ignores others. Without openid it is a plain OAuth server.").feeds("scopes_supported"),
	flag("scopeRequired", func(s *Service) *bool { return &s.ScopeRequired }).
		at("Token", "Scope Required", "Refuse requests that ask for no scope."),
}

var idTokenSettings = []Setting[Service]{
	seconds("idTokenDuration", 1, MaxDuration, func(s *Service) *int64 { return &s.IDTokenDuration }).
		at("ID Token", "ID Token Duration", "The time from iat to exp, unless the client or a scope says otherwise."),
	enums("supportedClaimTypes", claimTypes, func(s *Service) *[]ClaimType { return &s.SupportedClaimTypes }).
		at("ID Token", "Supported Claim Types", "Whether claims may point to other providers (_claim_names, _claim_sources).").feeds("claim_types_supported"),
	texts("supportedClaimLocales", "a language tag of at most 30 characters", 50, func(s *Service) *[]string { return &s.SupportedClaimLocales }, checkLanguage).
		at("ID Token", "Supported Claim Locales", "The languages in which claims are supplied (name#ja).").feeds("claims_locales_supported"),
	texts("supportedClaims", "ASCII, at most 200 characters", 255, func(s *Service) *[]string { return &s.SupportedClaims }, checkName).
		at("ID Token", "Supported Claims", "The claims about users that this service supplies.").feeds("claims_supported"),
}

var jwkSetSettings = []Setting[Service]{
	endpoint("jwksUri", func(s *Service) *string { return &s.JWKSURI }).
		at("JWK Set", "JWK Set Endpoint", "Where the public keys are.").feeds("jwks_uri"),
	flag("directJwksEndpointEnabled", func(s *Service) *bool { return &s.DirectJWKS }).
		at("JWK Set", "Direct JWK Set Endpoint", "Serve it at /api/service/jwks/get/direct/ and the API key too."),
	document("jwks", "a JWK Set of at most 50 keys and 64 KiB", func(s *Service) *string { return &s.JWKS }, checkJWKS).
		at("JWK Set", "JWK Set Content", "The keys, private ones included, instead of those that are generated and rotated.").secret(),
	enums("keyAlgs", generatedAlgs, func(s *Service) *[]string { return &s.KeyAlgs }).
		at("JWK Set", "Generated Keys", "Algorithms to have keys for, beside RS256, ES256, EdDSA and what other settings name."),
	text("idTokenSignatureKeyId", "ASCII, at most 100 characters", func(s *Service) *string { return &s.IDTokenSignatureKeyID }, checkASCII(maxName)).
		at("JWK Set", "ID Token Signature Key", "The key ID to sign ID tokens with, when there are several for the algorithm."),
	text("userInfoSignatureKeyId", "ASCII, at most 100 characters", func(s *Service) *string { return &s.UserInfoSignatureKeyID }, checkASCII(maxName)).
		at("JWK Set", "UserInfo Signature Key", "The key ID to sign userinfo answers with, when there are several for the algorithm."),
	text("introspectionSignatureKeyId", "ASCII, at most 100 characters", func(s *Service) *string { return &s.IntrospectionSignatureKeyID }, checkASCII(maxName)).
		at("JWK Set", "Introspection Signature Key", "The key ID to sign introspection answers with (RFC 9701), when there are several for the algorithm."),
}

var generatedAlgs = append(append([]EnumValue{}, asymmetricAlgs...),
	EnumValue{"RSA_OAEP_256", string(RSAOAEP256)}, EnumValue{"ECDH_ES", string(ECDHES)})

var oidcEndpointSettings = []Setting[Service]{
	endpoint("userInfoEndpoint", func(s *Service) *string { return &s.UserInfoEndpoint }).
		at("OIDC Endpoint", "UserInfo Endpoint", "Where clients get claims about the user.").feeds("userinfo_endpoint"),
	flag("directUserInfoEndpointEnabled", func(s *Service) *bool { return &s.DirectUserInfo }).
		at("OIDC Endpoint", "Direct UserInfo Endpoint", "Serve it at /api/auth/userinfo/direct/ and the API key too."),
	flag("dynamicRegistrationSupported", func(s *Service) *bool { return &s.DynamicRegistrationSupported }).
		at("OIDC Endpoint", "Dynamic Registration", "Let clients register themselves (RFC 7591), and manage what they registered (RFC 7592)."),
	endpoint("registrationEndpoint", func(s *Service) *string { return &s.RegistrationEndpoint }).
		at("OIDC Endpoint", "Client Registration Endpoint", "Where clients register; each is then managed below that address.").feeds("registration_endpoint"),
	list("initialAccessTokens", "block of developers with their tokens", "each token 8 to 200 characters that a Bearer header may hold", 1000,
		func(s *Service) *[]InitialAccessToken { return &s.InitialAccessTokens }, initialAccessEntry, checkInitialAccess).
		at("OIDC Endpoint", "Initial Access Tokens", "Who may register; when there are none, and no developer authentication, everybody may.").secret(),
	document("softwareStatementJwks", "a JWK Set of at most 50 keys and 64 KiB", func(s *Service) *string { return &s.SoftwareStatementJWKS }, checkJWKS).
		at("OIDC Endpoint", "Software Statement Keys", "The public keys whose software statements (RFC 7591 §2.3) are believed."),
	flag("softwareStatementRequired", func(s *Service) *bool { return &s.SoftwareStatementRequired }).
		at("OIDC Endpoint", "Software Statement Required", "Refuse registrations without one."),
	enums("registrationGrantTypes", grantTypes, func(s *Service) *[]GrantType { return &s.RegistrationPolicy.GrantTypes }).
		at("OIDC Endpoint", "Registrable Grant Types", "All that the service supports when it is not set."),
	responseTypeSet("registrationResponseTypes", func(s *Service) *[]ResponseType { return &s.RegistrationPolicy.ResponseTypes }).
		at("OIDC Endpoint", "Registrable Response Types", "All that the service supports when it is not set."),
	enums("registrationAuthMethods", clientAuthMethods, func(s *Service) *[]ClientAuthMethod { return &s.RegistrationPolicy.AuthMethods }).
		at("OIDC Endpoint", "Registrable Client Authentication", "All that the service supports when it is not set."),
	texts("registrationScopes", scopeLimits, maxScopes, func(s *Service) *[]string { return &s.RegistrationPolicy.Scopes }, checkScope).
		at("OIDC Endpoint", "Registrable Scopes", "The scopes that registered clients may request; all when it is not set."),
	texts("registrationRedirectHosts", "a host name, or one below *.", 255, func(s *Service) *[]string { return &s.RegistrationPolicy.RedirectHosts }, checkHostPattern).
		at("OIDC Endpoint", "Registrable Redirect Hosts", "The hosts of redirect addresses; any when it is not set."),
	seconds("clientSecretDuration", 0, MaxDuration, func(s *Service) *int64 { return &s.ClientSecretDuration }).
		at("OIDC Endpoint", "Client Secret Duration", "How long the secret of a registered client is good; 0 for ever."),
	endpoint("endSessionEndpoint", func(s *Service) *string { return &s.EndSessionEndpoint }).
		at("OIDC Endpoint", "End Session Endpoint", "Where people sign out, sent by a client or not (OpenID Connect RP-Initiated Logout).").feeds("end_session_endpoint"),
	endpoint("checkSessionIframe", func(s *Service) *string { return &s.CheckSessionIframe }).
		at("OIDC Endpoint", "Check Session Iframe", "The page that clients load to notice a sign-out (OpenID Connect Session Management).").feeds("check_session_iframe"),
}

var documentSettings = []Setting[Service]{
	url("tosUri", func(s *Service) *string { return &s.TOSURI }, URLRule{Most: maxASCII}).
		at("Document", "Terms of Service", "The terms for developers of clients.").feeds("op_tos_uri"),
	url("policyUri", func(s *Service) *string { return &s.PolicyURI }, URLRule{Most: maxASCII}).
		at("Document", "Service Data Policy", "How the data of this service may be used.").feeds("op_policy_uri"),
	url("serviceDocumentation", func(s *Service) *string { return &s.ServiceDocumentation }, URLRule{Most: maxASCII}).
		at("Document", "Service Documentation", "What developers should read.").feeds("service_documentation"),
}

var limitSettings = []Setting[Service]{
	number("maxRequestBytes", "bytes", 1<<10, 1<<20, func(s *Service) *int64 { return &s.MaxRequestBytes }).
		at("Limits", "Request Size", "The longest query or form of a request."),
	number("maxRequestObjectBytes", "bytes", 1<<10, 1<<20, func(s *Service) *int64 { return &s.MaxRequestObjectBytes }).
		at("Limits", "Request Object Size", "The longest request object, given or fetched."),
	number("maxClaims", "claims", 1, 1000, func(s *Service) *int64 { return &s.MaxClaims }).
		at("Limits", "Claims of a Request", "The most claims that the claims parameter may ask for, at each place."),
	number("maxRegistrationBytes", "bytes", 1<<10, 1<<20, func(s *Service) *int64 { return &s.MaxRegistrationBytes }).
		at("Limits", "Registration Size", "The longest registration request."),
}

func initialAccessEntry(name string, args []string) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("expected a developer and a token")
	}
	return InitialAccessToken{Developer: name, Token: args[0]}, nil
}

func checkInitialAccess(t *InitialAccessToken) (string, error) {
	if err := CheckAlias(t.Developer); err != nil {
		return t.Developer, err
	}
	if err := checkSecret(t.Token); err != nil {
		return t.Developer, err
	}
	return t.Developer, checkBearer(t.Token)
}

func snsEntry(name string, args []string) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("expected a social network, a client id and a secret")
	}
	_, err := toAPI(snses, name)
	return SNSCredentials{SNS: SNS(name), APIKey: args[0], APISecret: args[1]}, err
}

func checkSNS(c *SNSCredentials) (string, error) {
	for _, v := range []string{c.APIKey, c.APISecret} {
		if err := checkName(v); err != nil {
			return string(c.SNS), err
		}
	}
	_, err := toAPI(snses, string(c.SNS)) // which may be missing
	return string(c.SNS), err
}
