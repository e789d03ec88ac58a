package model

// EnumValue is one member of an enumeration: its name in the Web API and its
// name on the wire of the OAuth specifications, which Caddyfiles use too.
type EnumValue struct {
	API  string
	Wire string
}

// GrantType is a value of the grant_type parameter (RFC 6749 §4).
type GrantType string

// The grant types that the engine processes.
const (
	GrantAuthorizationCode GrantType = "authorization_code"
	GrantRefreshToken      GrantType = "refresh_token"
	GrantClientCredentials GrantType = "client_credentials"
)

var grantTypes = []EnumValue{
	{"AUTHORIZATION_CODE", string(GrantAuthorizationCode)},
	{"REFRESH_TOKEN", string(GrantRefreshToken)},
	{"CLIENT_CREDENTIALS", string(GrantClientCredentials)},
}

// ClientAuthMethod is a way to authenticate a client (OpenID Connect Core §9).
type ClientAuthMethod string

// The client authentication methods that the engine processes.
const (
	AuthNone              ClientAuthMethod = "none"
	AuthClientSecretBasic ClientAuthMethod = "client_secret_basic"
	AuthClientSecretPost  ClientAuthMethod = "client_secret_post"
)

var clientAuthMethods = []EnumValue{
	{"NONE", string(AuthNone)},
	{"CLIENT_SECRET_BASIC", string(AuthClientSecretBasic)},
	{"CLIENT_SECRET_POST", string(AuthClientSecretPost)},
}

// ClientType says whether a client can keep a secret (RFC 6749 §2.1).
type ClientType string

// The client types.
const (
	ClientTypePublic       ClientType = "public"
	ClientTypeConfidential ClientType = "confidential"
)

var clientTypes = []EnumValue{
	{"PUBLIC", string(ClientTypePublic)},
	{"CONFIDENTIAL", string(ClientTypeConfidential)},
}

// SignAlg is a JWS algorithm (RFC 7518 §3.1, RFC 8037). Empty means none chosen.
type SignAlg string

// The algorithms that the engine signs with.
const (
	RS256 SignAlg = "RS256"
	ES256 SignAlg = "ES256"
	EdDSA SignAlg = "EdDSA"
)

// SignAlgs lists the algorithms for which every service has keys.
var SignAlgs = []SignAlg{RS256, ES256, EdDSA}

var signAlgs = []EnumValue{
	{string(RS256), string(RS256)},
	{string(ES256), string(ES256)},
	{string(EdDSA), string(EdDSA)},
}
