package login

import (
	"errors"
	"io"
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
	stepSignOut
)

// begin answers an authorization request, or shows its first page.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, a *engine.AuthorizationResponse) error {
	st := stateOf(a)
	s.wear(r, st)
	now, err := s.current(r)
	if err != nil {
		return err
	}
	if now == nil {
		s.cookies.endState(w, r)
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
	default:
		if other, err := s.differs(r, st, now.Subject); err != nil || other {
			return stepSignIn, engine.FailDifferentSubject, err
		}
		if !s.reaches(st, now) {
			return stepSignIn, engine.FailACRNotSatisfied, nil
		}
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

// differs reports whether the request is for another user than this one.
func (s *Server) differs(r *http.Request, st *state, subject string) (bool, error) {
	if st.Subject == "" {
		return false, nil
	}
	client, err := s.engine.Client(r.Context(), s.service.ID, st.Client)
	if errors.Is(err, store.ErrNotFound) {
		return false, errRequestGone
	}
	return err == nil && s.engine.ClientSubject(s.service.ID, client, subject) != st.Subject, err
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
	if in.Logout != "" {
		return errNoInteraction
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
	s.cookies.setState(w, r, now)
	claims, err := s.accounts.Claims(r.Context(), now.Subject)
	if err != nil {
		return err
	}
	answer, err := s.engine.AuthorizationIssue(r.Context(), s.service.ID, engine.AuthorizationIssueRequest{
		Ticket: st.Ticket, Subject: now.Subject, AuthTime: now.AuthTime, ACR: s.acr(now), AMR: now.AMR,
		Session: now.ID, BrowserState: now.browserState(), Claims: claims,
	})
	if err != nil {
		return err
	}
	s.log.Debug("authorization issued", zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(r, st.Client)),
		zap.String("subject", now.Subject), zap.String("action", string(answer.Action)))
	return s.CarryOut(w, answer.Action, answer.ResponseContent)
}

// fail answers the request with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, st *state, reason engine.FailReason) error {
	answer, err := s.engine.AuthorizationFail(r.Context(), s.service.ID, engine.AuthorizationFailRequest{Ticket: st.Ticket, Reason: reason})
	if err != nil {
		return err
	}
	s.log.Debug("authorization failed", zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(r, st.Client)),
		zap.String("reason", string(reason)), zap.String("action", string(answer.Action)))
	return s.CarryOut(w, answer.Action, answer.ResponseContent)
}

var errRequestGone = &refusal{status: http.StatusBadRequest, key: "error.gone"}

// CarryOut sends the browser on with an answer to an authorization request.
func (s *Server) CarryOut(w http.ResponseWriter, action model.Action, content string) error {
	switch action {
	case model.ActionLocation:
		return seeOther(w, content)
	case model.ActionForm:
		return postForm(w, content)
	default:
		return errRequestGone
	}
}

// postForm shows a page that posts itself to the client. Where it goes cannot
// be said in form-action, which Chromium holds against redirects too.
func postForm(w http.ResponseWriter, content string) error {
	h := w.Header()
	secureHeaders(h)
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; script-src "+engine.FormScriptHash)
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, content)
	return nil
}

// passwordMethod is the amr of whoever gave a password (RFC 8176 §2).
const passwordMethod = "pwd"

// acr is the level that a sign-in has reached: with a password, the lowest that
// the service has. What a social network has seen of its user is not known.
func (s *Server) acr(now *session) string {
	if len(s.service.SupportedACRs) == 0 || !slices.Contains(now.AMR, passwordMethod) {
		return ""
	}
	return s.service.SupportedACRs[0]
}

// reaches reports whether a sign-in reaches a level that is essential to the
// client (OpenID Connect Core §5.5.1.1), or a password would not do so either.
func (s *Server) reaches(st *state, now *session) bool {
	return len(st.ACRs) == 0 || slices.Contains(st.ACRs, s.acr(now)) ||
		!slices.Contains(st.ACRs, s.acr(&session{Session: model.Session{AMR: []string{passwordMethod}}}))
}

func (s *Server) clientAlias(r *http.Request, id model.ID) string {
	if id == 0 {
		return ""
	}
	if c, err := s.engine.Client(r.Context(), s.service.ID, id); err == nil {
		return c.Alias
	}
	return ""
}
