package token

import (
	"github.com/gatehouse-auth/gatehouse/engine/internal/clientauth"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Request is a token request as it came in.
type Request struct {
	// Parameters is the body, an application/x-www-form-urlencoded form.
	Parameters string
	// Basic is what came in the Authorization header.
	Basic clientauth.Credentials
}

// Response says what to answer to a token request.
//
//   - OK: 200 with the content.
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
}
