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
//   - FORM: show the content, a page that posts an error to the client.
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
	// Subject is who must sign in, as the client knows the user (id_token_hint,
	// or a value for the claim sub); empty: anybody.
	Subject string
	// ACRs are the levels of sign-in wanted, best first. If ACREssential, one
	// of them must be reached.
	ACRs         []string
	ACREssential bool
	// Display is how the pages should look; empty for a page.
	Display model.Display
	// UILocales are the languages that the user prefers, in order.
	UILocales []string
	// Claims are the names of the claims wanted in the ID token,
	// ClaimsAtUserInfo those wanted at the userinfo endpoint.
	Claims           []string
	ClaimsAtUserInfo []string
	// Resources are the protected resources that access is wanted to (RFC 8707 §2).
	Resources []string
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
	// BrowserState changes when the user signs in or out in this browser
	// (OpenID Connect Session Management §3); empty: there is no session_state.
	BrowserState string
	// Claims are values for the ID token, by name. More than were asked for may
	// be there, and are left out.
	Claims map[string]json.RawMessage
	// Scopes are those that the user granted; nil means all that were requested.
	Scopes []string
	// Properties are extra properties of the access tokens.
	Properties []model.Property
}

// IssueResponse says where to send the browser. LOCATION: redirect to the
// content. FORM: show the content, which posts itself. BAD_REQUEST: the ticket
// is unknown, expired or used.
type IssueResponse struct {
	Action            model.Action
	ResponseContent   string
	AuthorizationCode string
	AccessToken       string
	IDToken           string
}

// Reason says why an authorization request fails.
type Reason string

// The reasons, as in the Web API.
const (
	ReasonUnknown                  Reason = "UNKNOWN"
	ReasonNotLoggedIn              Reason = "NOT_LOGGED_IN"
	ReasonExceedsMaxAge            Reason = "EXCEEDS_MAX_AGE"
	ReasonDifferentSubject         Reason = "DIFFERENT_SUBJECT"
	ReasonACRNotSatisfied          Reason = "ACR_NOT_SATISFIED"
	ReasonDenied                   Reason = "DENIED"
	ReasonServerError              Reason = "SERVER_ERROR"
	ReasonNotAuthenticated         Reason = "NOT_AUTHENTICATED"
	ReasonAccountSelectionRequired Reason = "ACCOUNT_SELECTION_REQUIRED"
	ReasonConsentRequired          Reason = "CONSENT_REQUIRED"
	ReasonInteractionRequired      Reason = "INTERACTION_REQUIRED"
	ReasonInvalidTarget            Reason = "INVALID_TARGET"
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
	destination
	Scopes         []string `json:"sc,omitempty"`
	Nonce          string   `json:"n,omitempty"`
	Challenge      string   `json:"cc,omitempty"`
	ChallengePlain bool     `json:"cp,omitempty"`
	AuthTimeWanted bool     `json:"at,omitempty"`
	Subject        string   `json:"su,omitempty"`
	ACRs           []string `json:"ac,omitempty"`
	ACREssential   bool     `json:"ae,omitempty"`
	IDTokenClaims  wishes   `json:"ci,omitempty"`
	UserInfoClaims wishes   `json:"cu,omitempty"`
	ClaimsLocales  []string `json:"cl,omitempty"`
	Resources      []string `json:"re,omitempty"`
	// JKT is dpop_jkt.
	JKT model.Thumbprint `json:"jkt,omitzero"`
}

// Code is what an authorization code carries from here to the token endpoint.
type Code struct {
	RedirectURI     string `json:"r"`
	RedirectOmitted bool   `json:"ro,omitempty"`
	Nonce           string `json:"n,omitempty"`
	// Challenge is the code_challenge, empty without PKCE; its method is S256
	// unless Plain.
	Challenge string `json:"cc,omitempty"`
	Plain     bool   `json:"cp,omitempty"`
	// JKT is the DPoP key that redeems the code alone (RFC 9449 §10), if any.
	JKT model.Thumbprint `json:"jkt,omitzero"`
	// AuthTimeWanted: auth_time belongs in the ID token, because max_age or the
	// claim was asked for (OpenID Connect Core §2).
	AuthTimeWanted bool `json:"at,omitempty"`
}
