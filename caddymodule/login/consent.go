package login

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	actionAllow  = "allow"
	actionDeny   = "deny"
	actionSwitch = "switch"
)

// purposeConsent ties the form to the sign-in for which it was shown: when
// another tab signs in as somebody else, the button does not speak for them.
func purposeConsent(now *session) string { return "consent " + idText(now.ID) }

func (s *Server) showConsent(w http.ResponseWriter, r *http.Request) error {
	return s.show(w, r, stepConsent, func(in *interaction, now *session) error {
		account, err := s.accountName(r, now)
		if err != nil {
			return err
		}
		client := s.clientView(r, in.Client)
		if client == nil {
			return errRequestGone
		}
		return s.render(w, r, http.StatusOK, pageConsent, consentView{
			common: s.common(r, "consent.title", "client", client.Name), Action: s.address(stepConsent, in.id),
			CSRF: csrfToken(&in.secret, purposeConsent(now)), Account: account, Client: client,
			Scopes: s.scopeViews(r, in.Scopes), Claims: claimNames(s.look(r).locale, in.Claims, in.ClaimsAtUserInfo),
		}, true)
	})
}

// consent takes the user's decision.
func (s *Server) consent(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(w, r)
	if err != nil {
		return err
	}
	in, err := s.interaction(r)
	if err != nil {
		return err
	}
	now, err := s.current(r)
	if err != nil {
		return err
	}
	at, _, err := s.next(r, &in.state, now)
	if err != nil {
		return err
	}
	if at == stepSignIn { // signed out meanwhile
		return seeOther(w, s.address(at, in.id))
	}
	if in.Ticket == "" || !checkCSRF(&in.secret, purposeConsent(now), form.Get("csrf")) {
		return outOfDate(s.address(stepConsent, in.id))
	}
	switch form.Get("action") {
	case actionAllow:
		remember, err := s.remember(r, &in.state, now)
		if err != nil {
			return err
		}
		return s.finish(w, r, in, now, remember)
	case actionDeny:
		return s.refuseRequest(w, r, in)
	case actionSwitch:
		other := in.state
		other.SignIn, other.Session, other.LoginHint = true, 0, ""
		return s.open(w, r, &other, in, stepSignIn)
	}
	return errMalformed
}

// remember adds what was allowed now to what was allowed before.
func (s *Server) remember(r *http.Request, st *state, now *session) (store.Step, error) {
	c, err := s.store.Consent(r.Context(), s.service.ID, now.Subject, st.Client)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return store.PutConsent{Consent: model.Consent{
		Service: s.service.ID, Subject: now.Subject, Client: st.Client,
		Scopes: union(c.Scopes, st.Scopes), Claims: union(c.Claims, st.Claims, st.ClaimsAtUserInfo),
		GrantedAt: s.engine.Now().Unix(),
	}}, nil
}

// union keeps each name once, in order of appearance.
func union(lists ...[]string) []string {
	var all []string
	for _, name := range slices.Concat(lists...) {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// scopeViews describe scopes in the service's words. Those of OpenID Connect
// Core §5.4 and §11 have a description without.
func (s *Server) scopeViews(r *http.Request, names []string) []scopeView {
	l := s.look(r).locale
	views := make([]scopeView, 0, len(names))
	for _, name := range names {
		v := scopeView{Name: name}
		if scope, ok := s.service.Scope(name); ok {
			v.Description = inLanguage(l, scope.Description, scope.Descriptions)
		}
		if v.Description == "" {
			v.Description = l.optional("scope." + name)
		}
		views = append(views, v)
	}
	return views
}

// claimNames are claims as people read them. A claim may be asked for in a
// language (OpenID Connect Core §5.2).
func claimNames(l *locale, lists ...[]string) []string {
	names := union(lists...)
	for i, name := range names {
		claim, tag, tagged := strings.Cut(name, "#")
		if names[i] = l.optional("claim." + claim); names[i] == "" {
			names[i] = strings.ReplaceAll(claim, "_", " ")
		}
		if tagged {
			names[i] = l.text("claims.in_language", "claim", names[i], "language", tag)
		}
	}
	return names
}
