package engine

import (
	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/binding"
	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/internal/introspection"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/internal/logout"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/internal/registration"
	"github.com/gatehouse-auth/gatehouse/engine/internal/revocation"
	"github.com/gatehouse-auth/gatehouse/engine/internal/revocationstream"
	"github.com/gatehouse-auth/gatehouse/engine/internal/token"
	"github.com/gatehouse-auth/gatehouse/engine/internal/userinfo"
)

// The requests and responses of each operation stand beside the code that
// processes them; these are their names for the rest of the world.
type (
	AuthorizationRequest       = authorize.Request
	AuthorizationResponse      = authorize.Response
	AuthorizationIssueRequest  = authorize.IssueRequest
	AuthorizationIssueResponse = authorize.IssueResponse
	AuthorizationFailRequest   = authorize.FailRequest
	AuthorizationFailResponse  = authorize.FailResponse
	FailReason                 = authorize.Reason

	TokenRequest      = token.Request
	TokenResponse     = token.Response
	TokenIssueRequest = token.IssueRequest
	TokenFailRequest  = token.FailRequest

	IntrospectionRequest          = introspection.Request
	IntrospectionResponse         = introspection.Response
	StandardIntrospectionRequest  = introspection.StandardRequest
	StandardIntrospectionResponse = introspection.StandardResponse

	RevocationRequest  = revocation.Request
	RevocationResponse = revocation.Response

	RevocationStreamRequest  = revocationstream.Request
	RevocationStreamResponse = revocationstream.Response
	// RevocationStream is what is revoked from now on, or from some time ago.
	RevocationStream = revocationstream.Stream

	UserInfoRequest       = userinfo.Request
	UserInfoResponse      = userinfo.Response
	UserInfoIssueRequest  = userinfo.IssueRequest
	UserInfoIssueResponse = userinfo.IssueResponse

	ClientRegistrationRequest  = registration.Request
	ClientRegistrationResponse = registration.Response

	LogoutRequest      = logout.Request
	LogoutResponse     = logout.Response
	EndSessionRequest  = logout.EndRequest
	EndSessionResponse = logout.EndResponse

	// Sender is by what a request shows who sends it, for tokens that are bound
	// to their sender.
	Sender = binding.Sender

	// ClientCredentials are what came in the Authorization header, decoded.
	ClientCredentials = clientauth.Credentials
	// MasterKey encrypts what the store must give back, such as private keys.
	MasterKey = keys.MasterKey
	// Rotation says when the keys of a rotation take over.
	Rotation = keys.Rotation
	// Subjects knows which users there are.
	Subjects = realm.Subjects
	// Fetcher makes the requests that clients' settings lead to.
	Fetcher = realm.Fetcher
)

// The reasons for which an authorization request fails.
const (
	FailUnknown                  = authorize.ReasonUnknown
	FailNotLoggedIn              = authorize.ReasonNotLoggedIn
	FailExceedsMaxAge            = authorize.ReasonExceedsMaxAge
	FailDifferentSubject         = authorize.ReasonDifferentSubject
	FailACRNotSatisfied          = authorize.ReasonACRNotSatisfied
	FailInvalidTarget            = authorize.ReasonInvalidTarget
	FailDenied                   = authorize.ReasonDenied
	FailServerError              = authorize.ReasonServerError
	FailNotAuthenticated         = authorize.ReasonNotAuthenticated
	FailAccountSelectionRequired = authorize.ReasonAccountSelectionRequired
	FailConsentRequired          = authorize.ReasonConsentRequired
	FailInteractionRequired      = authorize.ReasonInteractionRequired
)

// The reasons for which a token request that waits for its user fails.
const (
	TokenFailUnknown            = token.ReasonUnknown
	TokenFailInvalidCredentials = token.ReasonInvalidResourceOwnerCredentials
)

// FormScriptHash is what a Content-Security-Policy must allow for the content
// of a FORM response: the source expression of its one script.
var FormScriptHash = authorize.FormScriptHash

// ErrKeysGiven says that the keys of a service are not the store's.
var ErrKeysGiven = keys.ErrGiven

// ErrWrongMasterKey says that the store was sealed under another master key.
var ErrWrongMasterKey = keys.ErrWrongMaster

// ErrTooManyFollowers says that a service has as many revocation streams as it may.
var ErrTooManyFollowers = revocationstream.ErrTooMany
