package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

func init() {
	caddy.RegisterModule(new(adminAPI))
}

// adminAPI is what operators do to a running Gatehouse through Caddy's admin
// endpoint:
//
//	GET    /gatehouse/health       200 while the store can be used, and how introspectors stand
//	GET    /gatehouse/routes       what each guarded route asks of a token
//	GET    /gatehouse/cache        statistics of each cache
//	DELETE /gatehouse/cache        purge; ?introspector=… for one name
//	POST   /gatehouse/revoke       {"issuer", and "token", "subject", "client_id" or the last two}
//	POST   /gatehouse/keys/rotate  {"issuer", "algs", "announce", "overlap"}
//	POST   /gatehouse/successor    {"gatehouse", "storage"}: whether this process could run a configuration of the app
type adminAPI struct {
	app *App
}

// CaddyModule returns the Caddy module information.
func (*adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse", New: func() caddy.Module { return new(adminAPI) }}
}

// Provision finds the app, if it is configured.
func (a *adminAPI) Provision(ctx caddy.Context) error {
	if app, err := ctx.AppIfConfigured("gatehouse"); err == nil {
		a.app = app.(*App)
	}
	return nil
}

// Routes is part of caddy.AdminRouter.
func (a *adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/gatehouse/health", Handler: caddy.AdminHandlerFunc(a.health)},
		{Pattern: "/gatehouse/routes", Handler: a.route(map[string]adminCall{http.MethodGet: (*adminAPI).routes})},
		{Pattern: "/gatehouse/cache", Handler: a.route(map[string]adminCall{http.MethodGet: (*adminAPI).cacheStats, http.MethodDelete: (*adminAPI).purge})},
		{Pattern: "/gatehouse/revoke", Handler: a.route(map[string]adminCall{http.MethodPost: (*adminAPI).revoke})},
		{Pattern: "/gatehouse/keys/rotate", Handler: a.route(map[string]adminCall{http.MethodPost: (*adminAPI).rotate})},
		{Pattern: "/gatehouse/successor", Handler: a.route(map[string]adminCall{http.MethodPost: (*adminAPI).successor})},
	}
}

var errNotConfigured = errors.New("gatehouse is not configured")

// maxAdminBody bounds a request, in bytes. A configuration with thousands of
// clients is the largest.
const maxAdminBody = 16 << 20

// adminCall answers a request with a value that becomes JSON.
type adminCall func(*adminAPI, *http.Request) (any, error)

// current is the endpoint of the configuration that runs. Caddy gives a new one
// its endpoint before it has started, and leaves it there when it does not.
func (a *adminAPI) current() *adminAPI {
	if app, err := caddy.ActiveContext().AppIfConfigured("gatehouse"); err == nil {
		return &adminAPI{app: app.(*App)}
	}
	return a
}

func (a *adminAPI) route(calls map[string]adminCall) caddy.AdminHandler {
	return caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		call, ok := calls[r.Method]
		if !ok {
			return adminError(http.StatusMethodNotAllowed, fmt.Errorf("method %s is not allowed here", r.Method))
		}
		a := a.current()
		if a.app == nil {
			return adminError(http.StatusNotFound, errNotConfigured)
		}
		if _, err := a.app.Running(r.Context()); err != nil {
			return adminError(http.StatusServiceUnavailable, err)
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxAdminBody)
		answer, err := call(a, r)
		if err != nil {
			return err
		}
		return writeAdmin(w, http.StatusOK, answer)
	})
}

func writeAdmin(w http.ResponseWriter, status int, answer any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(answer)
}

type cacheStats struct {
	Introspector string `json:"introspector"`
	introspect.Stats
}

func (a *adminAPI) cacheStats(*http.Request) (any, error) {
	list := []cacheStats{}
	for _, i := range distinct(a.app.reserved) {
		list = append(list, cacheStats{i.Name, i.Open.Cache.Stats()})
	}
	return list, nil
}

func (a *adminAPI) purge(r *http.Request) (any, error) {
	name, purged := r.URL.Query().Get("introspector"), 0
	for _, i := range distinct(a.app.reserved) {
		if name == "" || name == i.Name {
			i.Open.Cache.Purge()
			purged++
		}
	}
	return map[string]int{"purged": purged}, nil
}

func (a *adminAPI) revoke(r *http.Request) (any, error) {
	var req struct {
		Issuer   string `json:"issuer"`
		Token    string `json:"token"`
		Subject  string `json:"subject"`
		ClientID string `json:"client_id"`
	}
	if err := readJSON(r, &req); err != nil {
		return nil, err
	}
	if (req.Token == "") == (req.Subject == "" && req.ClientID == "") {
		return nil, adminError(http.StatusBadRequest, errors.New("give a token, or a subject, a client_id or both"))
	}
	e, service, err := a.service(req.Issuer)
	if err != nil {
		return nil, err
	}
	if req.Token != "" {
		revoked, err := e.RevokeToken(r.Context(), service.ID, req.Token)
		return map[string]bool{"revoked": revoked}, failed(err)
	}
	var id model.ID
	if req.ClientID != "" {
		client, err := e.ClientByAlias(r.Context(), service.ID, req.ClientID)
		if errors.Is(err, store.ErrNotFound) {
			return nil, adminError(http.StatusNotFound, fmt.Errorf("%s has no client %s", service.Issuer, req.ClientID))
		}
		if err != nil {
			return nil, failed(err)
		}
		id = client.ID
	}
	err = e.RevokeGrants(r.Context(), service.ID, req.Subject, id)
	return map[string]bool{"revoked": err == nil}, failed(err)
}

func (a *adminAPI) rotate(r *http.Request) (any, error) {
	req := struct {
		Issuer   string          `json:"issuer"`
		Algs     []string        `json:"algs"`
		Announce caddy.Duration  `json:"announce"`
		Overlap  *caddy.Duration `json:"overlap"`
	}{Announce: caddy.Duration(defaultAnnounce)}
	if err := readJSON(r, &req); err != nil {
		return nil, err
	}
	e, service, err := a.service(req.Issuer)
	if err != nil {
		return nil, err
	}
	kids, err := rotateKeys(r.Context(), e, service, req.Algs, time.Duration(req.Announce), (*time.Duration)(req.Overlap))
	if errors.Is(err, errPlan) {
		return nil, adminError(http.StatusBadRequest, err)
	}
	if err != nil {
		return nil, failed(err)
	}
	return map[string]any{"kids": kids}, nil
}

// service finds the service that a request names; the only one, if it names none.
func (a *adminAPI) service(issuer string) (*engine.Engine, *model.Service, error) {
	declared, err := a.app.Declared(issuer)
	if err != nil {
		return nil, nil, adminError(http.StatusNotFound, err)
	}
	service, ok := a.app.engine.Service(declared.Issuer)
	if !ok {
		return nil, nil, adminError(http.StatusNotFound, engine.ErrNoService)
	}
	return a.app.engine, service, nil
}

func readJSON(r *http.Request, to any) error {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return adminError(http.StatusUnsupportedMediaType, errors.New("the Content-Type must be application/json"))
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return adminError(http.StatusBadRequest, fmt.Errorf("the body is not the JSON expected: %w", err))
	}
	return nil
}

func failed(err error) error {
	if err == nil {
		return nil
	}
	return adminError(http.StatusServiceUnavailable, err)
}

func adminError(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// Interface guards
var (
	_ caddy.AdminRouter = (*adminAPI)(nil)
	_ caddy.Provisioner = (*adminAPI)(nil)
)
