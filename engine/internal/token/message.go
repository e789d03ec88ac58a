package token

import (
	"github.com/gatehouse-auth/gatehouse/engine/internal/binding"
	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Request is a token request as it came in.
type Request struct {
	// Parameters is the body, an application/x-www-form-urlencoded form.
	Parameters string
	// Basic is what came in the Authorization header.
	Basic clientauth.Credentials
	// Sender is who sends it, for tokens that are bound to their sender.
	Sender binding.Sender
	// Properties are extra properties of an access token that a client gets for
	// itself; other tokens have those of their authorization.
	Properties []model.Property
}

// Response says what to answer to a token request.
//
//   - OK: 200 with the content.
//   - PASSWORD: authenticate the user by name and password, then call issue or
//     fail with the ticket.
//   - BAD_REQUEST: 400 with the content.
//   - INVALID_CLIENT: 401 with the content.
type Response struct {
	Action          model.Action
	ResponseContent string

	GrantType model.GrantType
	Client    *model.Client
	Subject   string
	Scopes    []string

	AccessToken          string
	AccessTokenExpiresAt int64 // Unix seconds
	RefreshToken         string
	IDToken              string
	Properties           []model.Property
	// Confirmation is what the access token is bound to, if anything.
	Confirmation model.Confirmation
	// DPoPNonce, unless empty, belongs into the header DPoP-Nonce (RFC 9449 §8),
	// whatever the action.
	DPoPNonce string

	// Ticket, Username and Password are there with PASSWORD alone.
	Ticket   string
	Username string
	Password string
}

// IssueRequest answers a token request whose action was PASSWORD.
type IssueRequest struct {
	Ticket     string
	Subject    string
	AuthTime   int64 // when the user was authenticated, Unix seconds
	Properties []model.Property
}

// Reason says why a token request fails.
type Reason string

// The reasons, as in the Web API.
const (
	ReasonUnknown                         Reason = "UNKNOWN"
	ReasonInvalidResourceOwnerCredentials Reason = "INVALID_RESOURCE_OWNER_CREDENTIALS"
)

// FailRequest answers a token request whose action was PASSWORD with an error.
type FailRequest struct {
	Ticket string
	Reason Reason
}
