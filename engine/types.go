package engine

import (
	"github.com/gatehouse-auth/gatehouse/engine/internal/authorize"
	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/internal/introspection"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/internal/revocation"
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

	TokenRequest  = token.Request
	TokenResponse = token.Response

	IntrospectionRequest          = introspection.Request
	IntrospectionResponse         = introspection.Response
	StandardIntrospectionRequest  = introspection.StandardRequest
	StandardIntrospectionResponse = introspection.StandardResponse

	RevocationRequest  = revocation.Request
	RevocationResponse = revocation.Response

	UserInfoRequest       = userinfo.Request
	UserInfoResponse      = userinfo.Response
	UserInfoIssueRequest  = userinfo.IssueRequest
	UserInfoIssueResponse = userinfo.IssueResponse

	// ClientCredentials are what came in the Authorization header, decoded.
	ClientCredentials = clientauth.Credentials
	// MasterKey encrypts what the store must give back, such as private keys.
	MasterKey = keys.Master
	// Rotation says when the keys of a rotation take over.
	Rotation = keys.Rotation
	// Subjects knows which users there are.
	Subjects = realm.Subjects
)

// The reasons for which an authorization request fails.
const (
	FailUnknown                  = authorize.ReasonUnknown
	FailNotLoggedIn              = authorize.ReasonNotLoggedIn
	FailExceedsMaxAge            = authorize.ReasonExceedsMaxAge
	FailDifferentSubject         = authorize.ReasonDifferentSubject
	FailDenied                   = authorize.ReasonDenied
	FailServerError              = authorize.ReasonServerError
	FailNotAuthenticated         = authorize.ReasonNotAuthenticated
	FailAccountSelectionRequired = authorize.ReasonAccountSelectionRequired
	FailConsentRequired          = authorize.ReasonConsentRequired
	FailInteractionRequired      = authorize.ReasonInteractionRequired
)

// ErrWrongMasterKey says that the store was sealed under another master key.
var ErrWrongMasterKey = keys.ErrWrongMaster
