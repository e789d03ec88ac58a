package login

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	purposeSignIn = "sign in"
	actionCancel  = "cancel"
	retryAfter    = "2" // seconds, when it is not this user's fault
)

// showSignIn shows the sign-in page of an interaction. Without one, the user
// came by hand, and goes on to what the account has allowed.
func (s *Server) showSignIn(w http.ResponseWriter, r *http.Request) error {
	parameters, err := query(r)
	if err != nil {
		return err
	}
	if !parameters.Has("interaction") {
		now, err := s.current(r)
		if err != nil {
			return err
		}
		if now != nil {
			return seeOther(w, s.paths.Grants)
		}
		return s.signInFirst(w, r, toGrants)
	}
	return s.show(w, r, stepSignIn, func(in *interaction, now *session) error {
		v := signInView{Name: in.LoginHint}
		if now != nil {
			if v.Again, err = s.accountName(r, now); err != nil {
				return err
			}
			if v.Name == "" && in.Session == 0 && !in.SignIn {
				v.Name = v.Again // too long ago, so most likely the same account
			}
		}
		return s.renderSignIn(w, r, http.StatusOK, in, v)
	})
}

// signInFirst lets the user sign in and then see one of our own pages.
func (s *Server) signInFirst(w http.ResponseWriter, r *http.Request, then destination) error {
	if r.Method == http.MethodHead { // which must change nothing
		secureHeaders(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.open(w, r, &state{Return: then}, nil, stepSignIn)
}

func (s *Server) renderSignIn(w http.ResponseWriter, r *http.Request, status int, in *interaction, v signInView) error {
	v.common = s.common(r, "signin.title")
	v.Action = s.address(stepSignIn, in.id)
	v.CSRF = csrfToken(&in.secret, purposeSignIn)
	v.Client = s.clientView(r, in.Client)
	v.Networks = networkViews(s.offered(&in.state))
	return s.render(w, r, status, pageSignIn, v, in.Ticket != "" || len(v.Networks) > 0)
}

// signIn takes a name and a password.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(w, r)
	if err != nil {
		return err
	}
	in, err := s.interaction(r)
	if err != nil {
		return err
	}
	if !checkCSRF(&in.secret, purposeSignIn, form.Get("csrf")) {
		return outOfDate(s.address(stepSignIn, in.id))
	}
	if form.Get("action") == actionCancel && in.Ticket != "" {
		return s.refuseRequest(w, r, in)
	}
	if form.Has("sns") {
		return s.depart(w, in, form.Get("sns"))
	}
	subject, err := s.accounts.Authenticate(r.Context(), form.Get("username"), form.Get("password"), in.Client)
	if err != nil {
		return s.signInFailed(w, r, in, form.Get("username"), err)
	}
	return s.signedIn(w, r, in, subject, []string{passwordMethod})
}

// signInFailed shows the page again. It says the same whether the name is
// unknown, the account disabled, or the password wrong.
func (s *Server) signInFailed(w http.ResponseWriter, r *http.Request, in *interaction, name string, err error) error {
	l := s.look(r).locale
	status, alert := http.StatusUnprocessableEntity, l.text("signin.wrong")
	write, what := s.log.Info, "sign-in failed"
	var throttled *ErrThrottled
	switch {
	case errors.Is(err, context.Canceled): // the browser has gone
		return err
	case errors.As(err, &throttled):
		status = http.StatusTooManyRequests
		alert = l.text("signin.throttled", "count", throttled.Seconds())
		w.Header().Set("Retry-After", strconv.Itoa(throttled.Seconds()))
	case errors.Is(err, ErrBusy):
		status = http.StatusServiceUnavailable
		alert = l.text("signin.busy")
		write, what = s.log.Error, "sign-in turned away"
		w.Header().Set("Retry-After", retryAfter)
	case errors.Is(err, ErrUnavailable):
		status = http.StatusServiceUnavailable
		alert = l.text("signin.unavailable")
		write = s.log.Error
		w.Header().Set("Retry-After", retryAfter)
	case !errors.Is(err, ErrCredentials):
		return err
	}
	// Not the name: people type passwords into the wrong field.
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	write(what, zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(r, in.Client)),
		zap.String("remote", host), zap.Error(err))
	if len(name) > maxName {
		name = ""
	}
	return s.renderSignIn(w, r, status, in, signInView{Name: name, Alert: alert})
}

// signedIn begins a session by the methods of amr, or gives the one of the same user a new secret,
// ends the one of another user, and uses the interaction up, all in one write.
// If there is more to ask, the write holds the interaction that goes on.
func (s *Server) signedIn(w http.ResponseWriter, r *http.Request, in *interaction, subject string, amr []string) error {
	before, err := s.current(r)
	if err != nil {
		return err
	}
	consented := true
	if in.Ticket != "" {
		if consented, err = s.consented(r, &in.state, subject); err != nil {
			return err
		}
	}
	var row model.Session
	var cookie, nextCookie string
	var next store.InsertHandle
	err = s.change(r, subject, before, func() ([]store.Step, error) {
		if row, cookie, err = s.newSession(subject, amr, before); err != nil {
			return nil, err
		}
		steps := []store.Step{s.redeem(in), store.InsertSession{Session: row}}
		if before != nil && before.ID == row.ID {
			steps[1] = store.RenewSession{Session: row}
		}
		if !consented {
			goesOn := in.state
			goesOn.Session = row.ID
			if next, nextCookie, err = s.newInteraction(&goesOn); err != nil {
				return nil, err
			}
			steps = append(steps, next)
		}
		return steps, nil
	})
	if err != nil {
		return err
	}
	s.log.Info("signed in", zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(r, in.Client)), zap.String("subject", subject))
	s.cookies.clearInteraction(w, in.id)
	s.cookies.setSession(w, cookie)
	now := &session{Session: row}
	switch {
	case !consented:
		s.cookies.setState(w, r, now)
		s.cookies.setInteraction(w, r, next.Handle.ID, nextCookie)
		return seeOther(w, s.address(stepConsent, next.Handle.ID))
	case in.Ticket == "":
		s.cookies.setState(w, r, now)
		return seeOther(w, s.destination(in.Return))
	}
	return s.issue(w, r, &in.state, now)
}

// change writes a sign-in. The session of another user ends in the same write,
// and its clients are told over the back channel: the browser, which could tell
// them too, is on its way to somewhere else.
func (s *Server) change(r *http.Request, subject string, before *session, build func() ([]store.Step, error)) error {
	if before == nil || before.Subject == subject {
		return s.write(r, build)
	}
	ended, err := s.engine.EndSession(r.Context(), s.service.ID, engine.EndSessionRequest{Session: before.ID, Also: build})
	if err != nil {
		return outcome(err)
	}
	s.log.Info("signed out by another sign-in", zap.String("issuer", s.service.Issuer), zap.String("subject", before.Subject),
		zap.Int("clients_not_told", len(ended.Frames)))
	return nil
}
