package model

import "slices"

// ClientSettings is the catalogue of a client's settings, tab by tab. Those
// that feed metadata can be registered dynamically.
var ClientSettings = slices.Concat(
	clientBasicSettings, clientAuthorizationSettings, clientTokenSettings, clientIDTokenSettings,
	clientLogoutSettings, clientDocumentSettings,
)

var clientBasicSettings = []Setting[Client]{
	text("clientName", "at most 100 characters", func(c *Client) *string { return &c.ClientName }, checkClientName).
		at("Basic", "Client Name", "The name that users see when they are asked for consent.").feeds("client_name"),
	taggeds("clientNames", "at most 100 characters", func(c *Client) *[]Tagged { return &c.ClientNames }, checkClientName).
		at("Basic", "Client Names", "The name in other languages.").feeds("client_name#"),
	enum("clientType", clientTypes, func(c *Client) *ClientType { return &c.ClientType }).
		at("Basic", "Client Type", "Whether the client can keep a secret; follows from the authentication method when it is not set."),
	text("clientSecret", "printable ASCII, 8 to 200 characters", func(c *Client) *string { return &c.ClientSecret }, checkSecret).
		at("Basic", "Client Secret", "The secret of a confidential client; {env.NAME} and {file./path} keep it out of the file.").secret(),
	enum("applicationType", applicationTypes, func(c *Client) *ApplicationType { return &c.ApplicationType }).
		at("Basic", "Application Type", "Whether the client runs on a server or on its user's machine.").feeds("application_type"),
	text("developer", "printable ASCII without spaces, at most 100 characters", func(c *Client) *string { return &c.Developer }, checkASCII(maxName)).
		at("Basic", "Developer", "Who registered the client."),
	texts("contacts", "at most 200 characters", 10, func(c *Client) *[]string { return &c.Contacts }, func(v string) error { return checkText(v, maxDescription) }).
		at("Basic", "Contacts", "Whom to reach about the client.").feeds("contacts"),
	text("softwareId", "at most 200 characters", func(c *Client) *string { return &c.SoftwareID }, func(v string) error { return checkText(v, maxDescription) }).
		at("Basic", "Software ID", "What every instance of the same software registers.").feeds("software_id"),
	text("softwareVersion", "at most 200 characters", func(c *Client) *string { return &c.SoftwareVersion }, func(v string) error { return checkText(v, maxDescription) }).
		at("Basic", "Software Version", "The version of the software.").feeds("software_version"),
}

var clientAuthorizationSettings = []Setting[Client]{
	redirectURIs("redirectUris", func(c *Client) *[]string { return &c.RedirectURIs }).
		at("Authorization", "Redirect URIs", "Where answers may be sent; compared character by character, but for a loopback port.").feeds("redirect_uris"),
	responseTypeSet("responseTypes", func(c *Client) *[]ResponseType { return &c.ResponseTypes }).
		at("Authorization", "Response Types", "What the client may ask the authorization endpoint for; code when it is not set.").feeds("response_types"),
	enums("grantTypes", grantTypes, func(c *Client) *[]GrantType { return &c.GrantTypes }).
		at("Authorization", "Grant Types", "The ways to get tokens that this client may use.").feeds("grant_types"),
	scopeWords("requestableScopes", func(c *Client) *[]string { return &c.RequestableScopes }).
		at("Authorization", "Requestable Scopes", "The scopes that this client may ask for; all of the service's when it is not set.").feeds("scope"),
	flag("pkceRequired", func(c *Client) *bool { return &c.PKCERequired }).
		at("Authorization", "Proof Key for Code Exchange", "Require PKCE of this client, even if the service does not.").feeds("require_pkce"),
	flag("pkceS256Required", func(c *Client) *bool { return &c.PKCES256Required }).
		at("Authorization", "S256 Required", "Refuse the method plain of this client, even if the service does not."),
	enum("tokenAuthMethod", clientAuthMethods, func(c *Client) *ClientAuthMethod { return &c.TokenAuthMethod }).
		at("Authorization", "Client Authentication Method", "The one method that this client uses; client_secret_basic with a secret, private_key_jwt with keys alone, none without.").feeds("token_endpoint_auth_method"),
	enum("tokenAuthSignAlg", assertionAlgs, func(c *Client) *SignAlg { return &c.TokenAuthSignAlg }).
		at("Authorization", "Client Assertion Algorithm", "The one algorithm of this client's assertions; any that suits the method when it is not set.").feeds("token_endpoint_auth_signing_alg"),
	document("jwks", "a JWK Set of at most 50 keys and 64 KiB", func(c *Client) *string { return &c.JWKS }, checkJWKS).
		at("Authorization", "JWK Set Content", "The public keys of this client.").feeds("jwks"),
	url("jwksUri", func(c *Client) *string { return &c.JWKSURI }, URLRule{Most: 1024}).
		at("Authorization", "JWK Set URI", "Where the public keys of this client are.").feeds("jwks_uri"),
	enum("requestSignAlg", signAlgs, func(c *Client) *SignAlg { return &c.RequestSignAlg }).
		at("Authorization", "Request Object Signature Algorithm", "The one algorithm of this client's request objects; any when it is not set.").feeds("request_object_signing_alg"),
	enum("requestEncryptionAlg", encAlgs, func(c *Client) *EncAlg { return &c.RequestEncryptionAlg }).
		at("Authorization", "Request Object Encryption Algorithm", "How the key of an encrypted request object is encrypted.").feeds("request_object_encryption_alg"),
	enum("requestEncryptionEnc", contentEncs, func(c *Client) *ContentEnc { return &c.RequestEncryptionEnc }).
		at("Authorization", "Request Object Content Encryption", "How the content of an encrypted request object is encrypted.").feeds("request_object_encryption_enc"),
	texts("requestUris", requestURIRule.String(), 100, func(c *Client) *[]string { return &c.RequestURIs },
		func(v string) error { return CheckURL(v, requestURIRule) }).
		at("Authorization", "Request URIs", "Where request objects may be fetched; a fragment is not compared.").feeds("request_uris"),
	flag("requestObjectRequired", func(c *Client) *bool { return &c.RequestObjectRequired }).
		at("Authorization", "Request Object Required", "Refuse this client's requests without a request object.").feeds("require_signed_request_object"),
}

var clientTokenSettings = []Setting[Client]{
	seconds("accessTokenDuration", 0, MaxDuration, func(c *Client) *int64 { return &c.AccessTokenDuration }).
		at("Token", "Access Token Duration", "Instead of the service's; 0 for the service's."),
	seconds("refreshTokenDuration", 0, MaxDuration, func(c *Client) *int64 { return &c.RefreshTokenDuration }).
		at("Token", "Refresh Token Duration", "Instead of the service's; 0 for the service's."),
	flag("singleAccessTokenPerSubject", func(c *Client) *bool { return &c.SingleAccessTokenPerSubject }).
		at("Token", "Single Access Token Per Subject", "A new access token ends the others of the same user at this client."),
	flag("dpopRequired", func(c *Client) *bool { return &c.DPoPRequired }).
		at("Token", "DPoP Required", "Refuse this client's token requests without a DPoP proof (RFC 9449).").feeds("dpop_bound_access_tokens"),
	flag("tlsClientCertificateBoundAccessTokens", func(c *Client) *bool { return &c.CertificateBoundTokens }).
		at("Token", "Certificate-Bound Access Tokens", "Bind this client's access tokens to its TLS certificate, without which it gets none (RFC 8705).").feeds("tls_client_certificate_bound_access_tokens"),
	enum("introspectionSignAlg", assertionAlgs, func(c *Client) *SignAlg { return &c.IntrospectionSignAlg }).
		at("Token", "Introspection Signature Algorithm", "How introspection answers that this client wants as a JWT are signed (RFC 9701); RS256, if there is a key for it, when it is not set.").feeds("introspection_signed_response_alg"),
	enum("introspectionEncryptionAlg", encAlgs, func(c *Client) *EncAlg { return &c.IntrospectionEncryptionAlg }).
		at("Token", "Introspection Encryption Algorithm", "How the key of encrypted introspection answers is encrypted; not encrypted when it is not set.").feeds("introspection_encrypted_response_alg"),
	enum("introspectionEncryptionEnc", contentEncs, func(c *Client) *ContentEnc { return &c.IntrospectionEncryptionEnc }).
		at("Token", "Introspection Content Encryption", "A128CBC-HS256 when it is not set.").feeds("introspection_encrypted_response_enc"),
}

var clientIDTokenSettings = []Setting[Client]{
	enum("idTokenSignAlg", signAlgs, func(c *Client) *SignAlg { return &c.IDTokenSignAlg }).
		at("ID Token", "ID Token Signature Algorithm", "How this client's ID tokens are signed; none only in the code flow.").feeds("id_token_signed_response_alg"),
	enum("idTokenEncryptionAlg", encAlgs, func(c *Client) *EncAlg { return &c.IDTokenEncryptionAlg }).
		at("ID Token", "ID Token Encryption Algorithm", "How the key of encrypted ID tokens is encrypted; not encrypted when it is not set.").feeds("id_token_encrypted_response_alg"),
	enum("idTokenEncryptionEnc", contentEncs, func(c *Client) *ContentEnc { return &c.IDTokenEncryptionEnc }).
		at("ID Token", "ID Token Content Encryption", "A128CBC-HS256 when it is not set.").feeds("id_token_encrypted_response_enc"),
	seconds("idTokenDuration", 0, MaxDuration, func(c *Client) *int64 { return &c.IDTokenDuration }).
		at("ID Token", "ID Token Duration", "Instead of the service's; 0 for the service's."),
	enum("userInfoSignAlg", signAlgs, func(c *Client) *SignAlg { return &c.UserInfoSignAlg }).
		at("ID Token", "UserInfo Signature Algorithm", "Answer userinfo requests as a JWT signed so; as JSON when it is not set.").feeds("userinfo_signed_response_alg"),
	enum("userInfoEncryptionAlg", encAlgs, func(c *Client) *EncAlg { return &c.UserInfoEncryptionAlg }).
		at("ID Token", "UserInfo Encryption Algorithm", "How the key of encrypted userinfo answers is encrypted.").feeds("userinfo_encrypted_response_alg"),
	enum("userInfoEncryptionEnc", contentEncs, func(c *Client) *ContentEnc { return &c.UserInfoEncryptionEnc }).
		at("ID Token", "UserInfo Content Encryption", "A128CBC-HS256 when it is not set.").feeds("userinfo_encrypted_response_enc"),
	enum("subjectType", subjectTypes, func(c *Client) *SubjectType { return &c.SubjectType }).
		at("ID Token", "Subject Type", "Whether this client sees the same sub as others, or one of its sector's own.").feeds("subject_type"),
	url("sectorIdentifierUri", func(c *Client) *string { return &c.SectorIdentifierURI }, URLRule{Most: 1024}).
		at("ID Token", "Sector Identifier URI", "A list of redirect addresses whose clients share their users' pairwise subjects.").feeds("sector_identifier_uri"),
	seconds("defaultMaxAge", 0, 1<<31-1, func(c *Client) *int64 { return &c.DefaultMaxAge }).
		at("ID Token", "Default Maximum Authentication Age", "Used when a request has no max_age; 0 for none.").feeds("default_max_age"),
	texts("defaultAcrs", "ASCII, at most 200 characters", 50, func(c *Client) *[]string { return &c.DefaultACRs }, checkName).
		at("ID Token", "Default Authentication Context Class References", "Used when a request has no acr_values.").feeds("default_acr_values"),
	flag("authTimeRequired", func(c *Client) *bool { return &c.AuthTimeRequired }).
		at("ID Token", "Authentication Time Required", "Put auth_time into every ID token.").feeds("require_auth_time"),
}

var clientLogoutSettings = []Setting[Client]{
	url("loginUri", func(c *Client) *string { return &c.LoginURI }, URLRule{Most: 1024}).
		at("Sign-in and Sign-out", "Login URI", "Where others may start a sign-in at this client (OpenID Connect Core §4); linked on the page of granted access.").feeds("initiate_login_uri"),
	redirectURIs("postLogoutRedirectUris", func(c *Client) *[]string { return &c.PostLogoutRedirectURIs }).
		at("Sign-in and Sign-out", "Post Logout Redirect URIs", "Where this client may send people after they have signed out.").feeds("post_logout_redirect_uris"),
	url("frontchannelLogoutUri", func(c *Client) *string { return &c.FrontchannelLogoutURI }, URLRule{Most: 1024}).
		at("Sign-in and Sign-out", "Front-Channel Logout URI", "Loaded in the browser when its user signs out.").feeds("frontchannel_logout_uri"),
	flag("frontchannelLogoutSessionRequired", func(c *Client) *bool { return &c.FrontchannelLogoutSessionRequired }).
		at("Sign-in and Sign-out", "Front-Channel Logout Session Required", "Name the session there.").feeds("frontchannel_logout_session_required"),
	url("backchannelLogoutUri", func(c *Client) *string { return &c.BackchannelLogoutURI }, URLRule{Most: 1024}).
		at("Sign-in and Sign-out", "Back-Channel Logout URI", "Sent a logout token when a user signs out.").feeds("backchannel_logout_uri"),
	flag("backchannelLogoutSessionRequired", func(c *Client) *bool { return &c.BackchannelLogoutSessionRequired }).
		at("Sign-in and Sign-out", "Back-Channel Logout Session Required", "Name the session in logout tokens.").feeds("backchannel_logout_session_required"),
}

var clientDocumentSettings = slices.Concat(
	page("clientUri", "Client Home Page", "client_uri", func(c *Client) (*string, *[]Tagged) { return &c.ClientURI, &c.ClientURIs }),
	page("logoUri", "Logo", "logo_uri", func(c *Client) (*string, *[]Tagged) { return &c.LogoURI, &c.LogoURIs }),
	page("policyUri", "Privacy Policy", "policy_uri", func(c *Client) (*string, *[]Tagged) { return &c.PolicyURI, &c.PolicyURIs }),
	page("tosUri", "Terms of Service", "tos_uri", func(c *Client) (*string, *[]Tagged) { return &c.TOSURI, &c.TOSURIs }),
)

// page is an address that people are shown, and that address in other languages.
func page(property, label, metadata string, field func(*Client) (*string, *[]Tagged)) []Setting[Client] {
	rule := URLRule{Most: 1024}
	return []Setting[Client]{
		url(property, func(c *Client) *string { one, _ := field(c); return one }, rule).
			at("Document", label, "Shown on the consent page.").feeds(metadata),
		taggeds(property+"s", rule.String(), func(c *Client) *[]Tagged { _, many := field(c); return many },
			func(v string) error { return CheckURL(v, rule) }).
			at("Document", label+" in Other Languages", "Shown to people who read them.").feeds(metadata + "#"),
	}
}

var secretAuthMethods = clientAuthMethods[1:]

var (
	redirectRule   = URLRule{Most: 1024, Redirect: true}
	requestURIRule = URLRule{Most: 512, Fragment: true}
)

func redirectURIs(property string, field func(*Client) *[]string) Setting[Client] {
	return texts(property, redirectRule.String(), 100, field, func(v string) error { return CheckURL(v, redirectRule) })
}

func checkClientName(v string) error { return checkText(v, maxName) }
