// Package login is the authentication server: sessions, accounts,
// authenticators, and the pages on which people sign in, consent, see what
// they have allowed, and sign out. It decides nothing about the protocol: that
// is the engine's. It knows no Caddy.
package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddymodule/errorlog"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Paths are where the pages are: absolute URL paths, the issuer's included.
type Paths struct {
	Login, Consent, Grants, EndSession string
	// CheckSession is for clients' iframes; empty: there is none.
	CheckSession string
	// Social is where social networks send people back to; empty: there are none.
	Social string
}

// Options are what an authentication server is made of.
type Options struct {
	Engine   *engine.Engine
	Store    store.Store
	Service  *model.Service
	Accounts *Accounts
	Fetch    engine.Fetcher // for social networks and the logos of clients; nil: there are none
	Paths    Paths
	// Templates is a folder whose files replace the embedded ones of the same
	// name, and whose locales/xx.json are texts in more languages, or others
	// in the same ones; empty for none.
	Templates string
	// SessionDuration is how long a sign-in lasts; default 12 h.
	SessionDuration time.Duration
	Logger          *zap.Logger // nil: nothing is logged
}

// Server is the authentication server of one service. It is safe for
// concurrent use. The errors that its methods return are those of the engine
// and the store (errors.Is store.ErrUnavailable: try again later); everything
// else is answered on a page.
type Server struct {
	engine   *engine.Engine
	store    store.Store
	service  *model.Service
	accounts *Accounts
	fetch    engine.Fetcher
	networks []network // that the sign-in page offers
	paths    Paths
	origin   string // of the issuer
	cookies  cookieNames
	lasts    time.Duration
	pages    *pages
	locales  *locales // of the pages, those that the service supports
	watcher  sessionPage
	logos    *logos
	log      *errorlog.Logger
}

// New checks the options and prepares the pages.
func New(o Options) (*Server, error) {
	if o.Engine == nil || o.Store == nil || o.Service == nil || o.Accounts == nil {
		return nil, errors.New("login: engine, store, service and accounts are needed")
	}
	if o.SessionDuration == 0 {
		o.SessionDuration = 12 * time.Hour
	}
	if o.SessionDuration < time.Second {
		return nil, fmt.Errorf("login: a session of %s is too short", o.SessionDuration)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if err := o.Paths.Check(); err != nil {
		return nil, err
	}
	issuer, err := url.Parse(o.Service.Issuer)
	if err != nil {
		return nil, fmt.Errorf("login: issuer: %w", err)
	}
	pages, err := loadPages(o.Templates)
	if err != nil {
		return nil, err
	}
	s := &Server{
		engine: o.Engine, store: o.Store, service: o.Service, accounts: o.Accounts, fetch: o.Fetch, paths: o.Paths,
		origin: issuer.Scheme + "://" + issuer.Host, cookies: newCookieNames(issuer, o.Service, o.Paths),
		lasts: o.SessionDuration, pages: pages, locales: pages.locales.only(o.Service.SupportedUILocales), log: errorlog.New(o.Logger),
		logos: &logos{fetch: o.Fetch, now: o.Engine.Now},
	}
	s.watcher = newSessionPage(s.cookies.state)
	if o.Paths.Social != "" {
		if s.networks = networksOf(o.Service); len(s.networks) > 0 && s.fetch == nil {
			return nil, errors.New("login: social networks need something to be asked with")
		}
	}
	for _, l := range s.locales.all {
		if len(l.missing) > 0 {
			s.log.Warn("some texts are in English since the language has none", zap.Stringer("language", l.tag), zap.Strings("keys", l.missing))
		}
	}
	return s, nil
}

// Check reports a path that no page can have, or that two have.
func (p Paths) Check() error {
	seen := map[string]string{}
	for _, page := range []struct{ name, path string }{
		{"login", p.Login}, {"consent", p.Consent}, {"grants", p.Grants}, {"end session", p.EndSession}, {"check session", p.CheckSession},
		{"social sign-in", p.Social},
	} {
		if page.path == "" && (page.name == "check session" || page.name == "social sign-in") {
			continue
		}
		if u, err := url.Parse(page.path); err != nil || len(page.path) < 2 || page.path[0] != '/' ||
			strings.HasPrefix(page.path, "//") || u.Path != page.path || strings.HasSuffix(page.path, "/") {
			return fmt.Errorf("the path of the %s page, %q, is not one such as /login", page.name, page.path)
		}
		if other, taken := seen[page.path]; taken {
			return fmt.Errorf("the %s page and the %s page have the same path %q", other, page.name, page.path)
		}
		seen[page.path] = page.name
	}
	return nil
}

// stylesheet is the path of the pages' style.
func (p Paths) stylesheet() string { return p.Login + "/style.css" }

// Begin takes up an authorization request whose action is INTERACTION or
// NO_INTERACTION, and answers it as far as it can without the user.
func (s *Server) Begin(w http.ResponseWriter, r *http.Request, a *engine.AuthorizationResponse) error {
	if a.Action != model.ActionInteraction && a.Action != model.ActionNoInteraction {
		return fmt.Errorf("login: an authorization request with the action %s is not for the authentication server", a.Action)
	}
	return s.page(w, r, func(r *http.Request) error { return s.begin(w, r, a) })
}

// Serves reports whether there is a page at a path.
func (s *Server) Serves(path string) bool {
	get, _ := s.at(path)
	return get != nil
}

type handler func(http.ResponseWriter, *http.Request) error

// at finds what shows a page, and what takes its form; nil: there is none.
func (s *Server) at(path string) (get, post handler) {
	switch path {
	case s.paths.Login:
		return s.showSignIn, s.signIn
	case s.paths.Consent:
		return s.showConsent, s.consent
	case s.paths.Grants:
		return s.showGrants, s.withdraw
	case s.paths.EndSession:
		return s.showSignOut, s.signOut
	case s.paths.stylesheet():
		return s.showStyle, nil
	case s.paths.CheckSession:
		return s.showCheckSession, nil
	case s.paths.Social:
		return s.arrive, nil
	}
	if strings.HasPrefix(path, s.paths.logoPath()) {
		return s.showLogo, nil
	}
	return nil, nil
}

// ServePage answers requests for the pages, and reports false for every other path.
func (s *Server) ServePage(w http.ResponseWriter, r *http.Request) (handled bool, err error) {
	get, post := s.at(r.URL.Path)
	if get == nil {
		return false, nil
	}
	return true, s.page(w, r, func(r *http.Request) error {
		switch {
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			return get(w, r)
		case r.Method == http.MethodPost && post != nil:
			return post(w, r)
		}
		return methodNotAllowed(w, post != nil)
	})
}

// page runs a handler and shows its refusal, if that is what it returns.
func (s *Server) page(w http.ResponseWriter, r *http.Request, handler func(*http.Request) error) error {
	r = s.withLook(r)
	err := handler(r)
	var refused *refusal
	if errors.As(err, &refused) {
		s.refuse(w, r, refused)
		return nil
	}
	return err
}

// ErrorPage shows an error that happened elsewhere. What it says to people is
// in their language and follows from the status; title and detail are English,
// for those who look into the error, and shown as such. Both are escaped. What
// failed inside (5xx) is nobody's business but the log's.
func (s *Server) ErrorPage(w http.ResponseWriter, r *http.Request, status int, title, detail string) {
	e := &refusal{status: status, key: "status." + strconv.Itoa(status), technical: detail}
	if s.look(r).locale.optional(e.key+".title") == "" {
		e.key = "status.other"
		e.technical = strings.Trim(title+": "+detail, ": ")
	}
	if status >= http.StatusInternalServerError {
		e.technical = ""
	}
	s.refuse(w, r, e)
}

// Describe takes the description out of an engine's refusal and makes it a
// sentence for a page. A parameter's name stays as it is.
func Describe(content string) string {
	var e struct {
		Description string `json:"error_description"`
	}
	if json.Unmarshal([]byte(content), &e) != nil || e.Description == "" {
		return ""
	}
	if word, _, _ := strings.Cut(e.Description, " "); strings.Contains(word, "_") {
		return e.Description + "."
	}
	return strings.ToUpper(e.Description[:1]) + e.Description[1:] + "."
}
