package login

import (
	"net/url"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// The views are what the templates are given. Their fields are an interface
// for whoever replaces a template: names stay.

// common is in every view.
type common struct {
	Title      string // of the page: its heading too
	Service    string // the service's name, or its host
	Stylesheet string // address
}

type clientView struct {
	Name string
	// Addresses, http or https; empty when there are none.
	URI, PolicyURI, TOSURI string
}

type scopeView struct {
	Name        string
	Description string // may be empty
}

type signInView struct {
	common
	Action string // where the form goes
	CSRF   string
	Client *clientView // nil when no application asked
	Name   string      // fills the field
	Again  string      // who is signed in already; empty when nobody is
	Alert  string      // what went wrong
}

type consentView struct {
	common
	Action  string
	CSRF    string
	Account string
	Client  *clientView
	Scopes  []scopeView
	Claims  []string
}

type grantsView struct {
	common
	Action    string
	SignOut   string
	CSRF      string
	Account   string
	Withdrawn bool // one has just been withdrawn
	Grants    []grantView
}

type grantView struct {
	ID              string
	Client          *clientView // nil when the application is no longer registered
	Scopes          []scopeView
	Since, SinceISO string
}

type signOutView struct {
	common
	Action  string
	Grants  string // address of the page with the grants
	CSRF    string
	Account string // empty when nobody is signed in
	Done    bool   // signed out just now
}

type messageView struct {
	common
	Detail         string
	Back, BackText string // a link; may be empty
}

func (s *Server) common(title string) common {
	name := s.service.ServiceName
	if name == "" {
		if issuer, err := url.Parse(s.service.Issuer); err == nil {
			name = issuer.Host
		}
	}
	return common{Title: title, Service: name, Stylesheet: s.paths.stylesheet() + "?v=" + s.pages.styleVersion}
}

// clientView returns nil for a client that there is not.
func (s *Server) clientView(id model.ID) *clientView {
	c, ok := s.engine.Client(s.service.ID, id)
	if !ok {
		return nil
	}
	return &clientView{Name: c.DisplayName(), URI: webAddress(c.ClientURI), PolicyURI: webAddress(c.PolicyURI), TOSURI: webAddress(c.TOSURI)}
}

// webAddress returns an address that may be linked, or nothing: what clients
// register is not to be trusted with a scheme (CVE-2025-67495).
func webAddress(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return u.String()
}

// samples are views with everything in them, on which templates are tried at
// the start, so that a mistake in one is found before a user finds it.
func (p *pages) samples() []sample {
	c := common{Title: "Title", Service: "Service", Stylesheet: "/style.css"}
	client := &clientView{Name: "Client", URI: "https://client.example", PolicyURI: "https://client.example/p", TOSURI: "https://client.example/t"}
	scopes := []scopeView{{Name: "openid", Description: "Description"}, {Name: "orders:read"}}
	return []sample{
		{p.signIn, signInView{common: c, Action: "/login", CSRF: "x", Client: client, Name: "alice", Again: "alice", Alert: "Alert"}},
		{p.signIn, signInView{common: c, Action: "/login", CSRF: "x"}},
		{p.consent, consentView{common: c, Action: "/consent", CSRF: "x", Account: "alice", Client: client, Scopes: scopes, Claims: []string{"name"}}},
		{p.consent, consentView{common: c, Action: "/consent", CSRF: "x", Account: "alice", Client: &clientView{Name: "Client"}}},
		{p.grants, grantsView{common: c, Action: "/grants", SignOut: "/end_session", CSRF: "x", Account: "alice", Withdrawn: true,
			Grants: []grantView{{ID: "1", Client: client, Scopes: scopes, Since: "1 January 2026", SinceISO: "2026-01-01T00:00:00Z"}, {ID: "2"}}}},
		{p.grants, grantsView{common: c}},
		{p.signOut, signOutView{common: c, Action: "/end_session", Grants: "/grants", CSRF: "x", Account: "alice"}},
		{p.signOut, signOutView{common: c, Grants: "/grants", Done: true}},
		{p.signOut, signOutView{common: c, Grants: "/grants"}},
		{p.message, messageView{common: c, Detail: "Detail", Back: "/login", BackText: "Back"}},
		{p.message, messageView{common: c}},
	}
}
