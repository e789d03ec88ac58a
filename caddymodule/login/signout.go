package login

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const purposeSignOut = "sign out"

// purposeRequestedSignOut ties the form to the sign-in for which it was shown.
func purposeRequestedSignOut(now *session) string { return purposeSignOut + " " + idText(now.ID) }

// showSignOut answers whoever comes to sign out: by hand, or sent by a client
// (OpenID Connect RP-Initiated Logout §2). It asks before it signs out, unless
// the request proves to be from a client of this user: a mere link from
// elsewhere must not do it.
func (s *Server) showSignOut(w http.ResponseWriter, r *http.Request) error {
	now, err := s.current(r)
	if err != nil {
		return err
	}
	if r.URL.RawQuery == "" {
		return s.askSignOut(w, r, nil, nil, now)
	}
	parameters := r.URL.RawQuery
	in, err := s.requestedSignOut(r)
	if err != nil {
		return err
	}
	if in != nil {
		parameters = in.Logout
	}
	asked, err := s.checkSignOut(r, parameters, now)
	switch {
	case err != nil:
		return err
	case r.Method == http.MethodHead: // which must change nothing
		secureHeaders(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return nil
	case asked.Action == model.ActionNoInteraction:
		return s.endSession(w, r, in, asked, now)
	case in == nil:
		return s.open(w, r, &state{Logout: parameters}, nil, stepSignOut)
	}
	return s.askSignOut(w, r, in, asked, now)
}

// requestedSignOut finds the request of a page's address, nil if the address
// is a request itself.
func (s *Server) requestedSignOut(r *http.Request) (*interaction, error) {
	if !r.URL.Query().Has("interaction") {
		return nil, nil
	}
	in, err := s.interaction(r)
	if err == nil && in.Logout == "" {
		return nil, errNoInteraction
	}
	return in, err
}

// checkSignOut asks the engine about a client's request, and gives our request
// the look that it wants.
func (s *Server) checkSignOut(r *http.Request, parameters string, now *session) (*engine.LogoutResponse, error) {
	req := engine.LogoutRequest{Parameters: parameters}
	if now != nil {
		req.Session, req.Subject = now.ID, now.Subject
	}
	asked, err := s.engine.Logout(r.Context(), s.service.ID, req)
	if err != nil {
		return nil, err
	}
	s.wear(r, &state{UILocales: boundedTags(asked.UILocales)})
	if asked.Action == model.ActionBadRequest {
		return nil, &refusal{
			status: http.StatusBadRequest, key: "error.logout", technical: Describe(asked.ResponseContent),
			back: s.paths.EndSession, backKey: "error.logout.back",
		}
	}
	return asked, nil
}

// askSignOut shows the form. The interaction and what it asks are nil for
// somebody who came by hand.
func (s *Server) askSignOut(w http.ResponseWriter, r *http.Request, in *interaction, asked *engine.LogoutResponse, now *session) (err error) {
	v := signOutView{common: s.common(r, "signout.title"), Action: s.paths.EndSession, Grants: s.paths.Grants}
	if now == nil {
		v.common = s.common(r, "signout.nobody")
		return s.render(w, r, http.StatusOK, pageSignOut, v, false)
	}
	if v.Account, err = s.accountName(r, now); err != nil {
		return err
	}
	leaves := false
	if in == nil {
		v.CSRF = csrfToken(&now.secret, purposeSignOut)
	} else {
		v.Action, v.CSRF = s.address(stepSignOut, in.id), csrfToken(&in.secret, purposeRequestedSignOut(now))
		leaves = asked.PostLogoutRedirectURI != ""
		if asked.Client != nil {
			v.Client = s.clientView(r, asked.Client.ID)
		}
	}
	return s.render(w, r, http.StatusOK, pageSignOut, v, leaves)
}

// signOut takes our own form, or the request of a client, which may come as a
// form too (§2). That one is from another site, so the browser has left the
// cookies out: it comes again, by an address of ours, with them.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	text, err := body(w, r, s.service.MaxRequestBytes)
	if err != nil {
		return err
	}
	form, malformed := single(text)
	if malformed == nil && form.Has("csrf") {
		return s.signOutHere(w, r, form.Get("csrf"))
	}
	if _, err := s.checkSignOut(r, text, nil); err != nil {
		return err
	}
	if malformed != nil {
		return malformed
	}
	return s.open(w, r, &state{Logout: text}, nil, stepSignOut)
}

// signOutHere signs out by a form of ours. A second click does no more.
func (s *Server) signOutHere(w http.ResponseWriter, r *http.Request, csrf string) error {
	if err := s.checkSource(r); err != nil {
		return err
	}
	in, err := s.requestedSignOut(r)
	if err != nil {
		return err
	}
	now, err := s.current(r)
	if err != nil {
		return err
	}
	if in == nil {
		if now != nil && !checkCSRF(&now.secret, purposeSignOut, csrf) {
			return outOfDate(s.paths.EndSession)
		}
		return s.endSession(w, r, nil, new(engine.LogoutResponse), now)
	}
	if now != nil && !checkCSRF(&in.secret, purposeRequestedSignOut(now), csrf) {
		return outOfDate(s.address(stepSignOut, in.id))
	}
	asked, err := s.checkSignOut(r, in.Logout, now)
	if err != nil {
		return err
	}
	return s.endSession(w, r, in, asked, now)
}

// endSession ends the browser's session, if there is one, and sends the browser
// on to wherever the client asked for, past the clients that it must tell.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request, in *interaction, asked *engine.LogoutResponse, now *session) error {
	ended := new(engine.EndSessionResponse)
	if now != nil {
		var err error
		if ended, err = s.engine.EndSession(r.Context(), s.service.ID, engine.EndSessionRequest{Session: now.ID}); err != nil {
			return err
		}
		s.log.Info("signed out", zap.String("issuer", s.service.Issuer), zap.String("subject", now.Subject))
	}
	s.cookies.clearSession(w)
	s.cookies.endState(w, r)
	if in != nil {
		s.cookies.clearInteraction(w, in.id)
	}
	switch {
	case len(ended.Frames) > 0:
		return s.leave(w, r, ended.Frames, asked)
	case asked.PostLogoutRedirectURI != "":
		return seeOther(w, asked.PostLogoutRedirectURI)
	}
	v := signOutView{common: s.common(r, "signout.done"), Grants: s.paths.Grants, Done: true}
	return s.render(w, r, http.StatusOK, pageSignOut, v, false)
}
