package logout

import (
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Request is a logout request (RP-Initiated Logout §2) as it came in, and who
// is signed in with the browser that sent it.
type Request struct {
	// Parameters is the query, or the form of a POST.
	Parameters string
	// Session and Subject are those of the browser's sign-in; 0 and empty when
	// nobody is signed in.
	Session model.ID
	Subject string
}

// Response says what to do with a logout request.
//
//   - INTERACTION: ask the user whether to sign out, and then do as below.
//   - NO_INTERACTION: end the session, if there is one, without asking; then
//     go on to PostLogoutRedirectURI, or show that the user is signed out.
//   - BAD_REQUEST: show the error to the user, and redirect nowhere (§4).
type Response struct {
	Action          model.Action
	ResponseContent string
	// Client is who asks, as far as the request says; nil: nobody in particular.
	Client *model.Client
	// Proven: an ID token of this issuer's signature says that it is Client.
	Proven bool
	// HintedSubject and HintedSession are those of the ID token, as the client
	// knows them; empty without one.
	HintedSubject string
	HintedSession string
	// PostLogoutRedirectURI is where to go afterwards, with the state; empty
	// when the request names no such address.
	PostLogoutRedirectURI string
	// LogoutHint is whom the client believes to be signed in.
	LogoutHint string
	// UILocales are the languages that the user prefers, in order.
	UILocales []string
}

// EndRequest ends a session.
type EndRequest struct {
	Session model.ID
	// Also makes the steps that belong into the same write; nil: there are
	// none. It is called again when the write is tried again.
	Also func() ([]store.Step, error)
}

// EndResponse says whom the browser must tell.
type EndResponse struct {
	// Ended: this call ended the session. Otherwise there was none any more.
	Ended bool
	// Frames are addresses to load in the browser, each in a frame of its own
	// (Front-Channel Logout §3).
	Frames []string
}
