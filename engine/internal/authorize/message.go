package authorize

import (
	"encoding/json"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Request is an authorization request as it came in.
type Request struct {
	// Parameters is the query, or the form of a POST.
	Parameters string
}

// Response says what to do with an authorization request.
//
//   - INTERACTION: authenticate the user and ask for consent, then call issue
//     or fail with the ticket.
//   - NO_INTERACTION: the same, but nothing may be shown (prompt=none).
//   - LOCATION: redirect to the content, which carries an error to the client.
//   - BAD_REQUEST: show the error to the user; the client cannot be trusted
//     with a redirect.
type Response struct {
	Action          model.Action
	ResponseContent string
	// Ticket stands for the request until it is answered. It must not reach a browser.
	Ticket string
	Client *model.Client
	Scopes []model.Scope
	// Prompts are the values of prompt, in order.
	Prompts []string
	// MaxAge bounds the age of the sign-in in seconds. Nil: no bound; 0: sign
	// in now (OpenID Connect Core §3.1.2.1).
	MaxAge    *int64
	LoginHint string
	// Claims are the names of the claims wanted in the ID token,
	// ClaimsAtUserInfo those wanted at the userinfo endpoint.
	Claims           []string
	ClaimsAtUserInfo []string
}

// IssueRequest answers an authorization request with the user's consent.
type IssueRequest struct {
	Ticket   string
	Subject  string
	AuthTime int64 // when the user signed in, Unix seconds
	ACR      string
	AMR      []string
	// Session is the id of the sign-in session, 0 if there is none.
	Session model.ID
	// Claims are values for the ID token, by name.
	Claims map[string]json.RawMessage
	// Scopes are those that the user granted; nil means all that were requested.
	Scopes []string
}

// IssueResponse says where to send the browser. LOCATION: redirect to the
// content. BAD_REQUEST: the ticket is unknown, expired or used.
type IssueResponse struct {
	Action            model.Action
	ResponseContent   string
	AuthorizationCode string
}

// Reason says why an authorization request fails.
type Reason string

// The reasons, as in the Web API.
const (
	ReasonUnknown                  Reason = "UNKNOWN"
	ReasonNotLoggedIn              Reason = "NOT_LOGGED_IN"
	ReasonExceedsMaxAge            Reason = "EXCEEDS_MAX_AGE"
	ReasonDifferentSubject         Reason = "DIFFERENT_SUBJECT"
	ReasonDenied                   Reason = "DENIED"
	ReasonServerError              Reason = "SERVER_ERROR"
	ReasonNotAuthenticated         Reason = "NOT_AUTHENTICATED"
	ReasonAccountSelectionRequired Reason = "ACCOUNT_SELECTION_REQUIRED"
	ReasonConsentRequired          Reason = "CONSENT_REQUIRED"
	ReasonInteractionRequired      Reason = "INTERACTION_REQUIRED"
)

// FailRequest answers an authorization request with an error.
type FailRequest struct {
	Ticket      string
	Reason      Reason
	Description string
}

// FailResponse says where to send the browser, as IssueResponse does.
type FailResponse struct {
	Action          model.Action
	ResponseContent string
}

// pending is the request that a ticket stands for.
type pending struct {
	Client      model.ID `json:"c"`
	RedirectURI string   `json:"r"`
	// RedirectOmitted: the request named no redirect_uri, so the token request
	// need not either (RFC 6749 §4.1.3).
	RedirectOmitted bool     `json:"ro,omitempty"`
	State           string   `json:"s,omitempty"`
	HasState        bool     `json:"hs,omitempty"`
	Scopes          []string `json:"sc,omitempty"`
	Nonce           string   `json:"n,omitempty"`
	Challenge       string   `json:"cc,omitempty"`
	MaxAge          *int64   `json:"ma,omitempty"`
	IDTokenClaims   []string `json:"ci,omitempty"`
	UserInfoClaims  []string `json:"cu,omitempty"`
}

// Code is what an authorization code carries from here to the token endpoint.
type Code struct {
	RedirectURI     string `json:"r"`
	RedirectOmitted bool   `json:"ro,omitempty"`
	Nonce           string `json:"n,omitempty"`
	// Challenge is the S256 code_challenge, empty without PKCE.
	Challenge string `json:"cc,omitempty"`
	// AuthTimeWanted: auth_time belongs in the ID token, because max_age was
	// asked for (OpenID Connect Core §2).
	AuthTimeWanted bool `json:"at,omitempty"`
}
