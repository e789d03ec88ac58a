package login

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// state is what an interaction knows. It stays in the store: the browser holds
// the interaction's id and secret, and nothing that could be changed there.
type state struct {
	// Ticket is the authorization request; empty when the user came to one of
	// our own pages.
	Ticket string   `json:"t,omitempty"`
	Client model.ID `json:"c,omitempty"`
	Scopes []string `json:"sc,omitempty"`
	// Claims are the names of the claims wanted in the ID token,
	// ClaimsAtUserInfo those wanted at the userinfo endpoint.
	Claims           []string `json:"ci,omitempty"`
	ClaimsAtUserInfo []string `json:"cu,omitempty"`
	MaxAge           *int64   `json:"ma,omitempty"` // seconds
	LoginHint        string   `json:"lh,omitempty"`
	// Subject is who must sign in, as the client knows the user; empty: anybody.
	Subject string `json:"su,omitempty"`
	// UILocales and Display are the look that the client asked for.
	UILocales []string `json:"ul,omitempty"`
	Display   string   `json:"d,omitempty"`
	// SignIn: whoever is signed in must do so again (prompt=login and
	// select_account, or the user wants another account).
	SignIn bool `json:"si,omitempty"`
	// ACRs are levels of sign-in of which one must be reached; none: any will do.
	ACRs []string `json:"av,omitempty"`
	// AskConsent: a remembered consent does not count (prompt=consent).
	AskConsent bool `json:"ac,omitempty"`
	// Session is the sign-in that was made for this interaction.
	Session model.ID `json:"s,omitempty"`
	// Return is where to go without a ticket.
	Return destination `json:"r,omitempty"`
	// Logout is a client's request to sign out, as it came in. Such an
	// interaction is for the page on which people sign out alone.
	Logout string `json:"lo,omitempty"`
}

// destination is one of our own pages. It is a keyword, never an address.
type destination string

const (
	toGrants     destination = "grants"
	toEndSession destination = "end_session"
)

func (s *Server) destination(d destination) string {
	if d == toEndSession {
		return s.paths.EndSession
	}
	return s.paths.Grants
}

// stateOf takes from an authorization request what must be known later.
func stateOf(a *engine.AuthorizationResponse) *state {
	st := &state{
		Ticket: a.Ticket, Client: a.Client.ID, Claims: a.Claims, ClaimsAtUserInfo: a.ClaimsAtUserInfo,
		MaxAge: a.MaxAge, LoginHint: a.LoginHint, Subject: a.Subject,
		SignIn:     slices.Contains(a.Prompts, "login") || slices.Contains(a.Prompts, "select_account"),
		AskConsent: slices.Contains(a.Prompts, "consent"),
		UILocales:  boundedTags(a.UILocales), Display: string(a.Display),
	}
	if a.ACREssential {
		st.ACRs = a.ACRs
	}
	for _, scope := range a.Scopes {
		st.Scopes = append(st.Scopes, scope.Name)
	}
	return st
}

// interaction is one browser tab on its way through the pages.
type interaction struct {
	state
	id     model.ID
	secret handle.Secret
}

var errNoInteraction = &refusal{status: http.StatusBadRequest, key: "error.interaction"}

// interaction finds what a page's address names, and its cookie vouches for.
// From then on the request has the interaction's look.
func (s *Server) interaction(r *http.Request) (*interaction, error) {
	parameters, err := query(r)
	if err != nil {
		return nil, err
	}
	id, ok := parseID(parameters.Get("interaction"))
	if !ok {
		return nil, errNoInteraction
	}
	return s.interactionOf(r, id)
}

// interactionOf finds the interaction of an id that the request's cookie vouches for.
func (s *Server) interactionOf(r *http.Request, id model.ID) (*interaction, error) {
	for _, cookie := range r.CookiesNamed(s.cookies.interaction + idText(id)) {
		named, secret, err := handle.Parse(handle.Login, cookie.Value)
		if err != nil || named != id {
			continue
		}
		row, err := s.store.Handle(r.Context(), s.service.ID, model.HandleLogin, id)
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !secret.Matches(row.Hash) || row.Redeemed || row.ExpiresAt <= s.engine.Now().Unix() {
			continue
		}
		in := &interaction{id: id, secret: secret}
		if err := json.Unmarshal(row.Payload, &in.state); err != nil {
			return nil, err
		}
		s.wear(r, &in.state)
		return in, nil
	}
	return nil, errNoInteraction
}

var errTooMuch = &refusal{status: http.StatusBadRequest, key: "error.too_much"}

// redeem is the step that uses an interaction up.
func (s *Server) redeem(in *interaction) store.Step {
	return store.RedeemHandle{Service: s.service.ID, Kind: model.HandleLogin, ID: in.id, Now: s.engine.Now().Unix()}
}

// newInteraction draws an interaction, and returns the step that keeps it and
// the value of its cookie.
func (s *Server) newInteraction(st *state) (store.InsertHandle, string, error) {
	var step store.InsertHandle
	payload, err := json.Marshal(st)
	if err != nil {
		return step, "", err
	}
	if len(payload) > model.MaxHandlePayload {
		return step, "", errTooMuch
	}
	text, id, hash, err := s.engine.NewHandle(handle.Login)
	step.Handle = model.Handle{
		Service: s.service.ID, ID: id, Kind: model.HandleLogin, Hash: hash,
		ExpiresAt: s.engine.Now().Unix() + interactionDuration, Payload: payload,
	}
	return step, text, err
}

// open starts an interaction, uses up the one before it if there is one, and
// sends the browser to its page.
func (s *Server) open(w http.ResponseWriter, r *http.Request, st *state, before *interaction, at step) error {
	in, err := s.replace(w, r, st, before)
	if err != nil {
		return err
	}
	return seeOther(w, s.address(at, in.id))
}

// replace starts an interaction, and uses up the one before it if there is one.
func (s *Server) replace(w http.ResponseWriter, r *http.Request, st *state, before *interaction) (*interaction, error) {
	var next store.InsertHandle
	var cookie string
	err := s.write(r, func() (steps []store.Step, err error) {
		if before != nil {
			steps = append(steps, s.redeem(before))
		}
		next, cookie, err = s.newInteraction(st)
		return append(steps, next), err
	})
	if err != nil {
		return nil, err
	}
	if before != nil {
		s.cookies.clearInteraction(w, before.id)
	}
	s.cookies.setInteraction(w, r, next.Handle.ID, cookie)
	in := &interaction{state: *st}
	in.id, in.secret, err = handle.Parse(handle.Login, cookie)
	return in, err
}

// address is where an interaction goes on.
func (s *Server) address(at step, id model.ID) string {
	path := s.paths.Login
	switch at {
	case stepConsent:
		path = s.paths.Consent
	case stepSignOut:
		path = s.paths.EndSession
	}
	return path + "?interaction=" + idText(id)
}

// maxDraws is how often a write whose ids are taken is tried with others.
const maxDraws = 4

// write applies steps whose ids were drawn by build. An interaction that was
// used up meanwhile, by another tab or a second click, or a session that has
// ended, is a refusal.
func (s *Server) write(r *http.Request, build func() ([]store.Step, error)) error {
	for draw := 1; ; draw++ {
		steps, err := build()
		if err != nil {
			return err
		}
		err = s.store.Write(r.Context(), steps...)
		if errors.Is(err, store.ErrConflict) && draw < maxDraws {
			continue
		}
		return outcome(err)
	}
}

// outcome turns what a write says of an interaction into a refusal.
func outcome(err error) error {
	if errors.Is(err, store.ErrSpent) || errors.Is(err, store.ErrNotFound) {
		return errNoInteraction
	}
	return err
}
