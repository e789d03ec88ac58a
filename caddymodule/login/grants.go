package login

import (
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	purposeGrants = "grants"
	maxGrants     = 500 // shown
)

// showGrants lists what the user has allowed.
func (s *Server) showGrants(w http.ResponseWriter, r *http.Request) error {
	parameters, err := query(r)
	if err != nil {
		return err
	}
	now, err := s.current(r)
	if err != nil {
		return err
	}
	if now == nil {
		return s.signInFirst(w, r, toGrants)
	}
	consents, err := s.store.Consents(r.Context(), s.service.ID, now.Subject, maxGrants)
	if err != nil {
		return err
	}
	account, err := s.accountName(r, now)
	if err != nil {
		return err
	}
	v := grantsView{
		common: s.common(r, "grants.title"), Action: s.paths.Grants, SignOut: s.paths.EndSession,
		CSRF: csrfToken(&now.secret, purposeGrants), Account: account, Withdrawn: parameters.Get("notice") == "withdrawn",
	}
	for _, c := range consents {
		since := time.Unix(c.GrantedAt, 0).UTC()
		v.Grants = append(v.Grants, grantView{
			ID: idText(c.Client), Client: s.clientView(r, c.Client), Open: s.openAddress(r, c.Client), Scopes: s.scopeViews(r, c.Scopes),
			Since: s.look(r).locale.date(since), SinceISO: since.Format(time.RFC3339),
		})
	}
	return s.render(w, r, http.StatusOK, pageGrants, v, false)
}

// openAddress is where an application lets others begin a sign-in (OpenID
// Connect Core §4). It is told who asks, and nothing about the user.
func (s *Server) openAddress(r *http.Request, id model.ID) string {
	c, err := s.engine.Client(r.Context(), s.service.ID, id)
	if err != nil {
		return ""
	}
	address, err := url.Parse(webAddress(c.LoginURI))
	if err != nil || address.Host == "" || !s.service.OpenID() {
		return ""
	}
	query := "iss=" + url.QueryEscape(s.service.Issuer)
	if address.RawQuery != "" {
		query = address.RawQuery + "&" + query
	}
	address.RawQuery = query
	return address.String()
}

// withdraw forgets what the user allowed a client, and ends its tokens.
func (s *Server) withdraw(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(w, r)
	if err != nil {
		return err
	}
	now, err := s.current(r)
	if err != nil {
		return err
	}
	if now == nil {
		return s.signInFirst(w, r, toGrants)
	}
	if !checkCSRF(&now.secret, purposeGrants, form.Get("csrf")) {
		return outOfDate(s.paths.Grants)
	}
	client, ok := parseID(form.Get("client"))
	if !ok {
		return errMalformed
	}
	err = s.engine.RevokeGrants(r.Context(), s.service.ID, now.Subject, client,
		store.DeleteConsent{Service: s.service.ID, Subject: now.Subject, Client: client})
	if err != nil {
		return err
	}
	s.log.Info("access withdrawn", zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(r, client)), zap.String("subject", now.Subject))
	return seeOther(w, s.paths.Grants+"?notice=withdrawn")
}
