package login

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// step is what an interaction needs next.
type step uint8

const (
	stepSignIn step = iota + 1
	stepConsent
	stepDone
)

// begin answers an authorization request, or shows its first page.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, a *engine.AuthorizationResponse) error {
	st := stateOf(a)
	now, err := s.current(r)
	if err != nil {
		return err
	}
	at, missing, err := s.next(r, st, now)
	switch {
	case err != nil:
		return err
	case at == stepDone:
		return s.issue(w, r, st, now)
	case a.Action == model.ActionNoInteraction:
		return s.fail(w, r, st, missing)
	}
	return s.open(w, r, st, nil, at)
}

// next decides what stands between an interaction and its answer, in the order
// of the Web API's failures, one of which it returns beside the step.
func (s *Server) next(r *http.Request, st *state, now *session) (step, engine.FailReason, error) {
	switch {
	case now == nil:
		return stepSignIn, engine.FailNotLoggedIn, nil
	case st.Session != 0 && st.Session == now.ID:
		// The user has signed in for this very request, whatever it asked for.
	case st.SignIn:
		return stepSignIn, engine.FailNotLoggedIn, nil
	case st.MaxAge != nil && (*st.MaxAge == 0 || s.engine.Now().Unix()-now.AuthTime > *st.MaxAge):
		return stepSignIn, engine.FailExceedsMaxAge, nil
	}
	if st.Ticket == "" {
		return stepDone, "", nil
	}
	consented, err := s.consented(r, st, now.Subject)
	if err != nil {
		return 0, "", err
	}
	if !consented {
		return stepConsent, engine.FailConsentRequired, nil
	}
	return stepDone, "", nil
}

// consented reports whether a remembered consent covers what is asked for.
func (s *Server) consented(r *http.Request, st *state, subject string) (bool, error) {
	if st.AskConsent {
		return false, nil
	}
	c, err := s.store.Consent(r.Context(), s.service.ID, subject, st.Client)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && covers(c.Scopes, st.Scopes) && covers(c.Claims, st.Claims) && covers(c.Claims, st.ClaimsAtUserInfo), err
}

func covers(granted, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(name string) bool { return !slices.Contains(granted, name) })
}

// show leads an interaction to the page where it belongs, which render shows
// when it is this one.
func (s *Server) show(w http.ResponseWriter, r *http.Request, page step, render func(*interaction, *session) error) error {
	in, err := s.interaction(r)
	if err != nil {
		return err
	}
	now, err := s.current(r)
	if err != nil {
		return err
	}
	at, _, err := s.next(r, &in.state, now)
	switch {
	case err != nil:
		return err
	case at == page:
		return render(in, now)
	case at != stepDone:
		return seeOther(w, s.address(at, in.id))
	case r.Method == http.MethodHead: // which must change nothing
		secureHeaders(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	// The user has signed in or consented in another tab.
	return s.finish(w, r, in, now)
}

// finish uses up an interaction in which nothing is left to show, together
// with more steps, and answers the request.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, in *interaction, now *session, more ...store.Step) error {
	err := s.write(r, func() ([]store.Step, error) { return append([]store.Step{s.redeem(in)}, more...), nil })
	if err != nil {
		return err
	}
	s.cookies.clearInteraction(w, in.id)
	if in.Ticket == "" {
		return seeOther(w, s.destination(in.Return))
	}
	return s.issue(w, r, &in.state, now)
}

// refuseRequest uses up an interaction whose user does not want to go on.
func (s *Server) refuseRequest(w http.ResponseWriter, r *http.Request, in *interaction) error {
	err := s.write(r, func() ([]store.Step, error) { return []store.Step{s.redeem(in)}, nil })
	if err != nil {
		return err
	}
	s.cookies.clearInteraction(w, in.id)
	return s.fail(w, r, &in.state, engine.FailDenied)
}

// issue answers the request with what the user granted: all that was asked for.
func (s *Server) issue(w http.ResponseWriter, r *http.Request, st *state, now *session) error {
	claims, err := s.accounts.Claims(r.Context(), now.Subject)
	if err != nil {
		return err
	}
	values := map[string]json.RawMessage{}
	for _, name := range st.Claims {
		if value, ok := claims[name]; ok {
			values[name] = value
		}
	}
	answer, err := s.engine.AuthorizationIssue(r.Context(), s.service.ID, engine.AuthorizationIssueRequest{
		Ticket: st.Ticket, Subject: now.Subject, AuthTime: now.AuthTime, AMR: now.AMR, Session: now.ID, Claims: values,
	})
	if err != nil {
		return err
	}
	s.log.Debug("authorization issued", zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(st.Client)),
		zap.String("subject", now.Subject), zap.String("action", string(answer.Action)))
	return s.carryOut(w, answer.Action, answer.ResponseContent)
}

// fail answers the request with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, st *state, reason engine.FailReason) error {
	answer, err := s.engine.AuthorizationFail(r.Context(), s.service.ID, engine.AuthorizationFailRequest{Ticket: st.Ticket, Reason: reason})
	if err != nil {
		return err
	}
	s.log.Debug("authorization failed", zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(st.Client)),
		zap.String("reason", string(reason)), zap.String("action", string(answer.Action)))
	return s.carryOut(w, answer.Action, answer.ResponseContent)
}

var errRequestGone = &refusal{status: http.StatusBadRequest, title: "This request cannot be answered any more",
	detail: "It has been answered already, has expired, or the application has changed meanwhile. Go back to the application and start again."}

func (s *Server) carryOut(w http.ResponseWriter, action model.Action, content string) error {
	if action != model.ActionLocation {
		return errRequestGone
	}
	return seeOther(w, content)
}

func (s *Server) clientAlias(id model.ID) string {
	if c, ok := s.engine.Client(s.service.ID, id); ok {
		return c.Alias
	}
	return ""
}
