// Package front is the authorization server's HTTP side: it reads a request
// into a struct, calls the engine, and carries out the action that comes back.
// Protocol decisions are the engine's, pages are login's.
package front

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
	"github.com/gatehouse-auth/gatehouse/caddymodule/errorlog"
	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler serves the endpoints and pages of one service. Requests for other
// paths go on to the next handler.
type Handler struct {
	// Issuer names the service. It may be left out when there is only one.
	Issuer string `json:"issuer,omitempty"`
	// LoginPath is where people sign in. Default: /login below the issuer's path.
	LoginPath string `json:"login_path,omitempty"`
	// ConsentPath is where people are asked for consent. Default: /consent below the issuer's path.
	ConsentPath string `json:"consent_path,omitempty"`
	// GrantsPath is where people see and withdraw what they have granted.
	// Default: /grants below the issuer's path.
	GrantsPath string `json:"grants_path,omitempty"`
	// Templates is a folder whose files replace the built-in pages of the same name.
	Templates string `json:"templates,omitempty"`
	// SessionDuration is how long a sign-in lasts. Default: 12 hours.
	SessionDuration caddy.Duration `json:"session_duration,omitempty"`
	// Overload bounds what is done at once.
	Overload

	app       serving.App
	service   *model.Service
	paths     login.Paths
	endpoints map[string]endpoint
	entrance  *admission.Entrance
	logger    *errorlog.Logger

	shutdowns sync.Map // *http.Server: a context.Context that ends when it shuts down

	once    sync.Once
	running *running
	failure error
}

// running is what the handler needs once the app has started.
type running struct {
	engine     *engine.Engine
	service    *model.Service
	accounts   *login.Accounts
	developers *login.Developers // nil: there is no developer authentication
	login      *login.Server
}

// endpoint is one address of the authorization server.
type endpoint struct {
	name    string
	methods []string
	// browser: people see the answer, so that errors are pages.
	browser bool
	// cors: scripts from anywhere may call it; it looks at no cookie.
	cors bool
	// document: anyone may read it and memory has it, so that it needs no place.
	document bool
	// lasts: the answer has no end.
	lasts bool
	// grants: the body says what is granted to whom, and so who waits for it.
	grants bool
	// body is how large a request's body may be. nil: MaxRequestBytes.
	body  func(*model.Service) int64
	serve func(*Handler, *running, http.ResponseWriter, *http.Request) error
}

// largest is how large a request's body may be, in bytes. The endpoint itself
// refuses what is larger.
func (e *endpoint) largest(s *model.Service) int64 {
	if e.body == nil {
		return s.MaxRequestBytes
	}
	return e.body(s)
}

func largestForm(*model.Service) int64           { return login.MaxForm }
func largestRegistration(s *model.Service) int64 { return s.MaxRegistrationBytes }

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.gatehouse_server",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision finds the service and lays out the paths. It opens nothing.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	h.logger = errorlog.New(ctx.Logger())
	if h.app, h.service, err = serving.Find(ctx, "gatehouse_server", h.Issuer); err != nil {
		return err
	}
	issuer, err := url.Parse(h.service.Issuer)
	if err != nil {
		return err
	}
	h.layOut(issuer.Path)
	if err := h.Overload.check(); err != nil {
		return err
	}
	h.entrance = h.app.Entrance(h.service.Issuer, h.options())
	return login.CheckTemplates(h.Templates, h.service.SupportedUILocales...)
}

// endpoint finds the endpoint at a path. Each registered client has one of its
// own, below the registration endpoint (RFC 7592 §2).
func (h *Handler) endpoint(path string) (endpoint, bool) {
	if e, ok := h.endpoints[path]; ok {
		return e, true
	}
	client, below := strings.CutPrefix(path, h.registrationPath()+"/")
	if !below || client == "" || !h.service.DynamicRegistrationSupported {
		return endpoint{}, false
	}
	methods := []string{http.MethodGet, http.MethodPut, http.MethodDelete}
	return endpoint{name: "client configuration", methods: methods, cors: true, body: largestRegistration, serve: (*Handler).manage}, true
}

// Validate checks the paths of the pages.
func (h *Handler) Validate() error {
	if err := h.paths.Check(); err != nil {
		return err
	}
	for _, page := range []string{h.paths.Login, h.paths.Consent, h.paths.Grants, h.paths.EndSession, h.paths.CheckSession, h.paths.Social} {
		if e, taken := h.endpoints[page]; taken {
			return fmt.Errorf("%s cannot be the path of a page: the %s endpoint is there", page, e.name)
		}
	}
	return nil
}

// ServeHTTP serves the service's paths and leaves all others to next.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	e, known := h.endpoint(r.URL.Path)
	if !known && !h.ownsPage(r.URL.Path) {
		return next.ServeHTTP(w, r)
	}
	run, err := h.start(r)
	if err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	if !known {
		if !run.login.Serves(r.URL.Path) {
			return next.ServeHTTP(w, r)
		}
		e = endpoint{name: "page", browser: true, body: largestForm, serve: (*Handler).page}
		if r.URL.Path == h.paths.EndSession {
			e.body = nil // clients send people there, with a request of theirs
		}
	}
	if e.cors && allowOrigin(e, w, r) {
		return nil
	}
	if e.methods != nil && !slices.Contains(e.methods, r.Method) {
		allow := strings.Join(e.methods, ", ")
		w.Header().Set("Allow", allow)
		return h.refuse(run, e, w, r, http.StatusMethodNotAllowed, "this endpoint accepts "+allow)
	}
	return h.admit(run, e, w, r)
}

// page serves what people see.
func (h *Handler) page(run *running, w http.ResponseWriter, r *http.Request) error {
	_, err := run.login.ServePage(w, r)
	return err
}

// ownsPage reports whether a path is a page's, or of something that a page shows.
func (h *Handler) ownsPage(path string) bool {
	return path == h.paths.Login || path == h.paths.Consent || path == h.paths.Grants || path == h.paths.EndSession ||
		path != "" && (path == h.paths.CheckSession || path == h.paths.Social) || strings.HasPrefix(path, h.paths.Login+"/")
}

// start waits for the app, and makes the authentication server at the first request.
func (h *Handler) start(r *http.Request) (*running, error) {
	state, err := h.app.Running(r.Context())
	if err != nil {
		return nil, err
	}
	h.once.Do(func() { h.running, h.failure = h.run(state) })
	return h.running, h.failure
}

func (h *Handler) run(state *serving.State) (*running, error) {
	service, ok := state.Engine.Service(h.service.Issuer)
	if !ok {
		return nil, engine.ErrNoService
	}
	run := &running{engine: state.Engine, service: service, accounts: state.Accounts[service.ID]}
	run.developers = login.NewDevelopers(service, state.Fetch, run.accounts.Guard, state.Engine.Now)
	var err error
	run.login, err = login.New(login.Options{
		Engine: state.Engine, Store: state.Store, Service: service, Accounts: run.accounts, Fetch: state.Fetch,
		Paths: h.paths, Templates: h.Templates, SessionDuration: time.Duration(h.SessionDuration), Logger: h.logger.Logger,
	})
	return run, err
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
