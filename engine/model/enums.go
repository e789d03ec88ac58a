package model

import (
	"slices"
	"strings"
)

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
	GrantImplicit          GrantType = "implicit"
	GrantPassword          GrantType = "password"
	GrantClientCredentials GrantType = "client_credentials"
	GrantRefreshToken      GrantType = "refresh_token"
)

var grantTypes = []EnumValue{
	{"AUTHORIZATION_CODE", string(GrantAuthorizationCode)},
	{"IMPLICIT", string(GrantImplicit)},
	{"PASSWORD", string(GrantPassword)},
	{"CLIENT_CREDENTIALS", string(GrantClientCredentials)},
	{"REFRESH_TOKEN", string(GrantRefreshToken)},
}

// ResponseType is a value of the response_type parameter (OAuth 2.0 Multiple
// Response Type Encoding Practices §3, §5), its members in the order below.
type ResponseType string

// The response types.
const (
	ResponseNone             ResponseType = "none"
	ResponseCode             ResponseType = "code"
	ResponseToken            ResponseType = "token"
	ResponseIDToken          ResponseType = "id_token"
	ResponseCodeToken        ResponseType = "code token"
	ResponseCodeIDToken      ResponseType = "code id_token"
	ResponseIDTokenToken     ResponseType = "id_token token"
	ResponseCodeIDTokenToken ResponseType = "code id_token token"
)

var responseTypes = []EnumValue{
	{"NONE", string(ResponseNone)},
	{"CODE", string(ResponseCode)},
	{"TOKEN", string(ResponseToken)},
	{"ID_TOKEN", string(ResponseIDToken)},
	{"CODE_TOKEN", string(ResponseCodeToken)},
	{"CODE_ID_TOKEN", string(ResponseCodeIDToken)},
	{"ID_TOKEN_TOKEN", string(ResponseIDTokenToken)},
	{"CODE_ID_TOKEN_TOKEN", string(ResponseCodeIDTokenToken)},
}

// ParseResponseType reads a response_type, whose members stand in any order
// (Multiple Response Types §4).
func ParseResponseType(text string) (ResponseType, bool) {
	members := strings.Fields(text)
	slices.Sort(members) // code, id_token, none, token: the order of the names above
	t := ResponseType(strings.Join(members, " "))
	known := slices.ContainsFunc(responseTypes, func(v EnumValue) bool { return v.Wire == string(t) })
	return t, known
}

// Code reports whether an authorization code is part of the answer.
func (t ResponseType) Code() bool { return t.has(ResponseCode) }

// Token reports whether an access token is part of the answer.
func (t ResponseType) Token() bool { return t.has(ResponseToken) }

// IDToken reports whether an ID token is part of the answer.
func (t ResponseType) IDToken() bool { return t.has(ResponseIDToken) }

func (t ResponseType) has(member ResponseType) bool {
	return slices.Contains(strings.Fields(string(t)), string(member))
}

// Grants lists the grant types that a client needs for the response type
// (OpenID Connect Dynamic Client Registration §2).
func (t ResponseType) Grants() []GrantType {
	var grants []GrantType
	if t.Code() {
		grants = append(grants, GrantAuthorizationCode)
	}
	if t.Token() || t.IDToken() {
		grants = append(grants, GrantImplicit)
	}
	return grants
}

// ResponseMode is a value of the response_mode parameter.
type ResponseMode string

// The response modes (Multiple Response Types §2.1, Form Post Response Mode §2).
const (
	ModeQuery    ResponseMode = "query"
	ModeFragment ResponseMode = "fragment"
	ModeFormPost ResponseMode = "form_post"
)

// Display is a value of the display parameter (OpenID Connect Core §3.1.2.1).
type Display string

// The displays.
const (
	DisplayPage  Display = "page"
	DisplayPopup Display = "popup"
	DisplayTouch Display = "touch"
	DisplayWap   Display = "wap"
)

var displays = []EnumValue{
	{"PAGE", string(DisplayPage)},
	{"POPUP", string(DisplayPopup)},
	{"TOUCH", string(DisplayTouch)},
	{"WAP", string(DisplayWap)},
}

// ClaimType says where a claim comes from (OpenID Connect Core §5.6).
type ClaimType string

// The claim types.
const (
	ClaimNormal      ClaimType = "normal"
	ClaimAggregated  ClaimType = "aggregated"
	ClaimDistributed ClaimType = "distributed"
)

var claimTypes = []EnumValue{
	{"NORMAL", string(ClaimNormal)},
	{"AGGREGATED", string(ClaimAggregated)},
	{"DISTRIBUTED", string(ClaimDistributed)},
}

// SubjectType says whether all clients see the same sub (OpenID Connect Core §8).
type SubjectType string

// The subject types.
const (
	SubjectPublic   SubjectType = "public"
	SubjectPairwise SubjectType = "pairwise"
)

var subjectTypes = []EnumValue{
	{"PUBLIC", string(SubjectPublic)},
	{"PAIRWISE", string(SubjectPairwise)},
}

// ClientAuthMethod is a way to authenticate a client (OpenID Connect Core §9).
type ClientAuthMethod string

// The client authentication methods that the engine processes.
const (
	AuthNone              ClientAuthMethod = "none"
	AuthClientSecretBasic ClientAuthMethod = "client_secret_basic"
	AuthClientSecretPost  ClientAuthMethod = "client_secret_post"
	AuthClientSecretJWT   ClientAuthMethod = "client_secret_jwt"
	AuthPrivateKeyJWT     ClientAuthMethod = "private_key_jwt"
)

var clientAuthMethods = []EnumValue{
	{"NONE", string(AuthNone)},
	{"CLIENT_SECRET_BASIC", string(AuthClientSecretBasic)},
	{"CLIENT_SECRET_POST", string(AuthClientSecretPost)},
	{"CLIENT_SECRET_JWT", string(AuthClientSecretJWT)},
	{"PRIVATE_KEY_JWT", string(AuthPrivateKeyJWT)},
}

// Assertion reports whether the client authenticates with a JWT (RFC 7523).
func (m ClientAuthMethod) Assertion() bool {
	return m == AuthClientSecretJWT || m == AuthPrivateKeyJWT
}

// Secret reports whether the method needs a client secret.
func (m ClientAuthMethod) Secret() bool {
	return m == AuthClientSecretBasic || m == AuthClientSecretPost || m == AuthClientSecretJWT
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

// ApplicationType is a value of application_type (OpenID Connect Dynamic
// Client Registration §2).
type ApplicationType string

// The application types.
const (
	ApplicationWeb    ApplicationType = "web"
	ApplicationNative ApplicationType = "native"
)

var applicationTypes = []EnumValue{
	{"WEB", string(ApplicationWeb)},
	{"NATIVE", string(ApplicationNative)},
}

// SNS is a social network on which users can sign in. As JSON it has the name
// of the Web API.
type SNS string

// SNSFacebook is the one social network of the Web API.
const SNSFacebook SNS = "facebook"

var snses = []EnumValue{{"FACEBOOK", string(SNSFacebook)}}

// MarshalText gives the name in the Web API.
func (s SNS) MarshalText() ([]byte, error) {
	name, err := toAPI(snses, string(s))
	return []byte(name), err
}

// UnmarshalText reads the name in the Web API.
func (s *SNS) UnmarshalText(name []byte) error {
	wire, err := toWire(snses, string(name))
	*s = SNS(wire)
	return err
}
