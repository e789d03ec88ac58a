package login

import (
	"html/template"
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// The views are what the templates are given. Their fields are an interface
// for whoever replaces a template: names stay.

// common is in every view.
type common struct {
	Title   string // of the page
	Service string // the service's name, or its host
	// Description says in a sentence what the service is; may be empty.
	Description string
	Stylesheet  string // address
	Lang, Dir   string // the language (RFC 5646) and its direction, ltr or rtl
	Display     string // page, popup, touch or wap (OpenID Connect Core §3.1.2.1)
}

type clientView struct {
	Name string
	// Addresses, http or https; empty when there are none.
	URI, PolicyURI, TOSURI string
	// Logo is the address of the client's picture, one of ours; empty when
	// there is none.
	Logo string
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
	// Networks are social networks with which people may sign in instead.
	Networks []networkView
}

type networkView struct {
	Value string // of the button sns
	Name  string
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
	Open            string      // an address at which the application signs people in; may be empty
	Client          *clientView // nil when the application is no longer registered
	Scopes          []scopeView
	Since, SinceISO string
}

type signOutView struct {
	common
	Action  string
	Grants  string // address of the page with the grants
	CSRF    string
	Account string      // empty when nobody is signed in
	Client  *clientView // who asks; nil when no application did
	Done    bool        // signed out just now
}

// leavingView is for signing out of applications too: a frame for each.
type leavingView struct {
	common
	Frames []string     // addresses
	Script template.JS  // goes on when the frames have loaded; the policy allows this one alone
	Next   template.URL // where to go on to, for the link with the id next; may be empty
	Client *clientView  // whose address that is; nil when there is none
	Grants string       // address of the page with the grants
}

type messageView struct {
	common
	Detail         string
	Technical      string // in English, for those who look into the error; may be empty
	Back, BackText string // a link; may be empty
}

// common is for a page with the title that a key stands for.
func (s *Server) common(r *http.Request, key string, arguments ...any) common {
	name := s.service.ServiceName
	if name == "" {
		if issuer, err := url.Parse(s.service.Issuer); err == nil {
			name = issuer.Host
		}
	}
	l := s.look(r)
	return common{
		Title: l.locale.text(key, arguments...), Service: name, Description: s.service.Description, Stylesheet: s.paths.stylesheet() + "?v=" + s.pages.styleVersion,
		Lang: l.locale.tag.String(), Dir: l.locale.dir(), Display: l.display,
	}
}

// clientView returns nil for a client that there is not.
func (s *Server) clientView(r *http.Request, id model.ID) *clientView {
	c, err := s.engine.Client(r.Context(), s.service.ID, id)
	if err != nil {
		return nil
	}
	l := s.look(r).locale
	logo := ""
	if s.logos.fetch != nil && webAddress(inLanguage(l, c.LogoURI, c.LogoURIs)) != "" {
		logo = s.paths.logoPath() + idText(c.ID)
	}
	return &clientView{
		Name: inLanguage(l, c.DisplayName(), c.ClientNames), Logo: logo,
		URI:       webAddress(inLanguage(l, c.ClientURI, c.ClientURIs)),
		PolicyURI: webAddress(inLanguage(l, c.PolicyURI, c.PolicyURIs)), TOSURI: webAddress(inLanguage(l, c.TOSURI, c.TOSURIs)),
	}
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

// sampleFrame is an address that a template with frames must load.
const sampleFrame = "https://client.example/out"

// samples are a page's views with everything in them and with nothing, on which
// templates are tried at the start, so that a mistake in one is found before a
// user finds it.
func samples(page string, l *locale) []any {
	c := common{Title: "Title", Service: "Service", Description: "Description", Stylesheet: "/style.css", Lang: l.tag.String(), Dir: l.dir(), Display: displayPage}
	client := &clientView{Name: "Client", Logo: "/login/logo/1", URI: "https://client.example", PolicyURI: "https://client.example/p", TOSURI: "https://client.example/t"}
	scopes := []scopeView{{Name: "openid", Description: "Description"}, {Name: "orders:read"}}
	return map[string][]any{
		pageSignIn: {
			signInView{common: c, Action: "/login", CSRF: "x", Client: client, Name: "alice", Again: "alice", Alert: "Alert",
				Networks: []networkView{{Value: "facebook", Name: "Facebook"}}},
			signInView{common: c, Action: "/login", CSRF: "x", Again: "alice"},
			signInView{common: c, Action: "/login", CSRF: "x"},
		},
		pageConsent: {
			consentView{common: c, Action: "/consent", CSRF: "x", Account: "alice", Client: client, Scopes: scopes, Claims: []string{"name"}},
			consentView{common: c, Action: "/consent", CSRF: "x", Account: "alice", Client: &clientView{Name: "Client"}},
		},
		pageGrants: {
			grantsView{common: c, Action: "/grants", SignOut: "/end_session", CSRF: "x", Account: "alice", Withdrawn: true,
				Grants: []grantView{{ID: "1", Client: client, Open: "https://client.example/in", Scopes: scopes, Since: "1 January 2026", SinceISO: "2026-01-01T00:00:00Z"}, {ID: "2"}}},
			grantsView{common: c},
		},
		pageSignOut: {
			signOutView{common: c, Action: "/end_session", Grants: "/grants", CSRF: "x", Account: "alice", Client: client},
			signOutView{common: c, Action: "/end_session", Grants: "/grants", CSRF: "x", Account: "alice"},
			signOutView{common: c, Grants: "/grants", Done: true},
			signOutView{common: c, Grants: "/grants"},
		},
		pageLeaving: {
			leavingView{common: c, Frames: []string{sampleFrame}, Script: "x", Next: "com.example.app:/out", Client: client, Grants: "/grants"},
			leavingView{common: c, Frames: []string{sampleFrame}, Script: "x", Next: "https://client.example/out", Grants: "/grants"},
			leavingView{common: c, Frames: []string{"https://other.example/out?a=b&c", sampleFrame}, Script: "x", Grants: "/grants"},
		},
		pageMessage: {
			messageView{common: c, Detail: "Detail", Technical: "Technical", Back: "/login", BackText: "Back"},
			messageView{common: c},
		},
	}[page]
}
