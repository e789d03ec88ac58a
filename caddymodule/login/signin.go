package login

import (
	"errors"
	"net"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	purposeSignIn = "sign in"
	actionCancel  = "cancel"
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
	v.common = s.common("Sign in")
	v.Action = s.address(stepSignIn, in.id)
	v.CSRF = csrfToken(&in.secret, purposeSignIn)
	v.Client = s.clientView(in.Client)
	return s.render(w, r, status, s.pages.signIn, v, in.Ticket != "")
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
	subject, err := s.accounts.Authenticate(r.Context(), form.Get("username"), form.Get("password"))
	if err != nil {
		return s.signInFailed(w, r, in, form.Get("username"), err)
	}
	return s.signedIn(w, r, in, subject)
}

// signInFailed shows the page again. It says the same whether the name is
// unknown, the account disabled, or the password wrong.
func (s *Server) signInFailed(w http.ResponseWriter, r *http.Request, in *interaction, name string, err error) error {
	status, alert := http.StatusUnprocessableEntity, "The name or the password is wrong."
	var throttled *ErrThrottled
	switch {
	case errors.As(err, &throttled):
		status = http.StatusTooManyRequests
		alert = "There were too many wrong passwords for this account. Try again in " + seconds(throttled.Seconds()) + "."
		w.Header().Set("Retry-After", strconv.Itoa(throttled.Seconds()))
	case errors.Is(err, ErrBusy):
		status = http.StatusServiceUnavailable
		alert = "Too many people are signing in at this moment. Try again in a few seconds."
		w.Header().Set("Retry-After", "2")
	case !errors.Is(err, ErrCredentials):
		return err
	}
	// Not the name: people type passwords into the wrong field.
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	s.log.Info("sign-in failed", zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(in.Client)),
		zap.String("remote", host), zap.Error(err))
	if len(name) > maxName {
		name = ""
	}
	return s.renderSignIn(w, r, status, in, signInView{Name: name, Alert: alert})
}

func seconds(n int) string {
	if n == 1 {
		return "1 second"
	}
	return strconv.Itoa(n) + " seconds"
}

// signedIn begins a session under a new id, ends the one before it, and uses
// the interaction up, all in one write. If there is more to ask, the write
// holds the interaction that goes on.
func (s *Server) signedIn(w http.ResponseWriter, r *http.Request, in *interaction, subject string) error {
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
	err = s.write(r, func() ([]store.Step, error) {
		if row, cookie, err = s.newSession(subject); err != nil {
			return nil, err
		}
		steps := []store.Step{s.redeem(in), store.InsertSession{Session: row}}
		if before != nil {
			steps = append(steps, store.DeleteSession{Service: s.service.ID, ID: before.ID})
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
	s.log.Info("signed in", zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(in.Client)), zap.String("subject", subject))
	s.cookies.clearInteraction(w, in.id)
	s.cookies.setSession(w, cookie)
	switch {
	case !consented:
		s.cookies.setInteraction(w, r, next.Handle.ID, nextCookie)
		return seeOther(w, s.address(stepConsent, next.Handle.ID))
	case in.Ticket == "":
		return seeOther(w, s.destination(in.Return))
	}
	return s.issue(w, r, &in.state, &session{Session: row})
}
