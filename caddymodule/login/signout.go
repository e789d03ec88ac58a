package login

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const purposeSignOut = "sign out"

// showSignOut asks before it signs out: a link from elsewhere must not do it.
func (s *Server) showSignOut(w http.ResponseWriter, r *http.Request) error {
	now, err := s.current(r)
	if err != nil {
		return err
	}
	v := signOutView{common: s.common("Sign out"), Action: s.paths.EndSession, Grants: s.paths.Grants}
	if now == nil {
		v.common = s.common("You are not signed in")
		return s.render(w, r, http.StatusOK, s.pages.signOut, v, false)
	}
	if v.Account, err = s.accountName(r, now); err != nil {
		return err
	}
	v.CSRF = csrfToken(&now.secret, purposeSignOut)
	return s.render(w, r, http.StatusOK, s.pages.signOut, v, false)
}

// signOut ends the browser's session.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(w, r)
	if err != nil {
		return err
	}
	now, err := s.current(r)
	if err != nil {
		return err
	}
	if now != nil {
		if !checkCSRF(&now.secret, purposeSignOut, form.Get("csrf")) {
			return outOfDate(s.paths.EndSession)
		}
		if err := s.store.Write(r.Context(), store.DeleteSession{Service: s.service.ID, ID: now.ID}); err != nil {
			return err
		}
		s.log.Info("signed out", zap.String("issuer", s.service.Issuer), zap.String("subject", now.Subject))
	}
	s.cookies.clearSession(w)
	v := signOutView{common: s.common("You are signed out"), Grants: s.paths.Grants, Done: true}
	return s.render(w, r, http.StatusOK, s.pages.signOut, v, false)
}
