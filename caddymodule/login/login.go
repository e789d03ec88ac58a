// Package login is the authentication server: sessions, accounts,
// authenticators, and the pages on which people sign in, consent, see what
// they have allowed, and sign out. It decides nothing about the protocol: that
// is the engine's. It knows no Caddy.
package login

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Paths are where the pages are: absolute URL paths, the issuer's included.
type Paths struct {
	Login, Consent, Grants, EndSession string
}

// Options are what an authentication server is made of.
type Options struct {
	Engine   *engine.Engine
	Store    store.Store
	Service  *model.Service
	Accounts *Accounts
	Paths    Paths
	// Templates is a folder whose files replace the embedded ones of the same
	// name; empty for none.
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
	paths    Paths
	origin   string // of the issuer
	cookies  cookieNames
	lasts    time.Duration
	pages    *pages
	log      *zap.Logger
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
	return &Server{
		engine: o.Engine, store: o.Store, service: o.Service, accounts: o.Accounts, paths: o.Paths,
		origin: issuer.Scheme + "://" + issuer.Host, cookies: newCookieNames(issuer, o.Service, o.Paths),
		lasts: o.SessionDuration, pages: pages, log: o.Logger,
	}, nil
}

// Check reports a path that no page can have, or that two have.
func (p Paths) Check() error {
	seen := map[string]string{}
	for _, page := range []struct{ name, path string }{
		{"login", p.Login}, {"consent", p.Consent}, {"grants", p.Grants}, {"end session", p.EndSession},
	} {
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
	return s.page(w, r, func() error { return s.begin(w, r, a) })
}

// ServePage answers requests for the pages, and reports false for every other path.
func (s *Server) ServePage(w http.ResponseWriter, r *http.Request) (handled bool, err error) {
	var get, post func(http.ResponseWriter, *http.Request) error
	switch r.URL.Path {
	case s.paths.Login:
		get, post = s.showSignIn, s.signIn
	case s.paths.Consent:
		get, post = s.showConsent, s.consent
	case s.paths.Grants:
		get, post = s.showGrants, s.withdraw
	case s.paths.EndSession:
		get, post = s.showSignOut, s.signOut
	case s.paths.stylesheet():
		get = s.showStyle
	default:
		return false, nil
	}
	return true, s.page(w, r, func() error {
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
func (s *Server) page(w http.ResponseWriter, r *http.Request, handler func() error) error {
	err := handler()
	var refused *refusal
	if errors.As(err, &refused) {
		s.refuse(w, r, refused)
		return nil
	}
	return err
}

// ErrorPage shows an error. The texts are escaped.
func (s *Server) ErrorPage(w http.ResponseWriter, r *http.Request, status int, title, detail string) {
	s.refuse(w, r, &refusal{status: status, title: title, detail: detail})
}
