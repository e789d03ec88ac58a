// Package caddymodule makes Gatehouse a Caddy app: services, their clients and
// accounts in the configuration, an engine on a store, and the handlers of the
// folders below, which this package brings with it.
package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	_ "github.com/gatehouse-auth/gatehouse/caddymodule/bearer" // gatehouse_bearer
	_ "github.com/gatehouse-auth/gatehouse/caddymodule/front"  // gatehouse_server
	_ "github.com/gatehouse-auth/gatehouse/caddymodule/introspectors"
	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	_ "github.com/gatehouse-auth/gatehouse/caddymodule/relyingparty" // gatehouse_login
	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App is the gatehouse app: the engine with its services, shared by all
// handlers. What is expensive – the store, the caches – outlives reloads.
type App struct {
	// StorageRaw is where everything is kept. Default: sqlite in Caddy's data folder.
	StorageRaw json.RawMessage `json:"storage,omitempty" caddy:"namespace=gatehouse.storage inline_key=module"`
	// MasterKey encrypts what the store must give back, such as private keys:
	// 64 hexadecimal digits, usually a placeholder such as {env.GATEHOUSE_MASTER_KEY}
	// or {file./run/secrets/key}; further lines are previous keys. Default: a file
	// beside the database, made at first start, readable by its owner alone.
	MasterKey string `json:"master_key,omitempty"`
	// PreviousMasterKeys open what was encrypted with a master key before this
	// one, or with the next one, until everything is under master_key.
	PreviousMasterKeys []string `json:"previous_master_keys,omitempty"`
	// Outbound bounds the requests that clients' settings lead to.
	Outbound *Outbound `json:"outbound,omitempty"`
	// Services are the issuers.
	Services []Service `json:"services,omitempty"`
	// GatewayKeys is a file with the keys by which a gateway here signs what it
	// sends to APIs: a JWK Set, the first of which signs. Default: a key that is
	// made once and kept in Caddy's storage.
	GatewayKeys string `json:"gateway_keys,omitempty"`
	// IntrospectorList are authorities on access tokens that a gateway here may
	// ask beside the services: an introspection endpoint, an issuer of JWTs.
	IntrospectorList []Introspector `json:"introspectors,omitempty"`

	logger       *zap.Logger
	events       *caddyevents.App
	ctx          caddy.Context
	storage      Storage
	declarations []engine.Declaration
	guests       []*serving.Introspector // those of IntrospectorList
	reserved     []*serving.Introspector // those that handlers ask
	keys         *serving.Keys           // the gateway's; nil: nobody needs them
	metrics      *metrics
	entrances    entranceCollector

	starts  []func() error // what handlers do once everything is open
	held    []func()       // what Cleanup gives back, last first
	engine  *engine.Engine
	state   *serving.State
	failure error
	ready   chan struct{}
	once    sync.Once
}

// Service declares one issuer.
type Service struct {
	// Settings are the service's settings, by their names in the Web API.
	Settings model.Settings `json:"settings,omitempty"`
	// Clients are the applications that may ask for tokens.
	Clients []Client `json:"clients,omitempty"`
	// Accounts are users declared here; others are kept in the store.
	Accounts []login.DeclaredAccount `json:"accounts,omitempty"`
}

// Client declares one OAuth client.
type Client struct {
	// ClientID is the client_id.
	ClientID string `json:"client_id"`
	// Settings are the client's settings, by their names in the Web API.
	Settings model.Settings `json:"settings,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse", New: func() caddy.Module { return new(App) }}
}

// Provision checks the whole configuration. It opens no file and no
// connection, so that caddy validate leaves nothing behind.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.logger, a.ready = ctx, ctx.Logger(), make(chan struct{})
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	a.events = events.(*caddyevents.App)
	return a.settle(ctx)
}

// settle checks what the app itself is configured to be, and resolves its
// placeholders in the environment and the files of this process.
func (a *App) settle(ctx caddy.Context) error {
	if err := a.loadStorage(ctx); err != nil {
		return err
	}
	if len(a.Services) == 0 && len(a.IntrospectorList) == 0 {
		return errors.New("gatehouse: neither a service nor an introspector is declared")
	}
	if a.MasterKey == "" && len(a.PreviousMasterKeys) > 0 {
		return errors.New("previous_master_keys: expected master_key beside them; those of the key file are lines of it")
	}
	if err := a.Outbound.check(); err != nil {
		return err
	}
	issuers := map[string]bool{}
	for i := range a.Services {
		d, err := a.Services[i].declare()
		if err != nil {
			return fmt.Errorf("service %s: %w", d.Service.Issuer, err)
		}
		if issuers[d.Service.Issuer] {
			return fmt.Errorf("service %s: declared twice", d.Service.Issuer)
		}
		issuers[d.Service.Issuer] = true
		a.declarations = append(a.declarations, d)
	}
	return a.loadIntrospectors(ctx)
}

// declare turns a service's settings into a declaration, secrets resolved.
func (s *Service) declare() (d engine.Declaration, err error) {
	return s.declareWith(resolveSecrets[model.Service], resolveSecrets[model.Client])
}

// declareUnresolved is declare for commands, which run where no secret is known.
func (s *Service) declareUnresolved() (engine.Declaration, error) {
	return s.declareWith(resolveIfPossible[model.Service], resolveIfPossible[model.Client])
}

func resolveIfPossible[T any](catalogue []model.Setting[T], settings model.Settings) (model.Settings, error) {
	if resolved, err := resolveSecrets(catalogue, settings); err == nil {
		return resolved, nil
	}
	return withoutPlaceholders(catalogue, settings)
}

// resolver gives the secrets among settings their values.
type resolver[T any] func([]model.Setting[T], model.Settings) (model.Settings, error)

func (s *Service) declareWith(forService resolver[model.Service], forClient resolver[model.Client]) (d engine.Declaration, err error) {
	settings, err := forService(model.ServiceSettings, s.Settings)
	if err != nil {
		return d, err
	}
	if d.Service, err = model.NewService(settings); err != nil {
		return d, err
	}
	if d.Service.SupportedUILocales == nil {
		d.Service.SupportedUILocales = login.Languages()
	}
	aliases := map[string]bool{}
	for _, c := range s.Clients {
		settings, err := forClient(model.ClientSettings, c.Settings)
		if err != nil {
			return d, fmt.Errorf("client %s: %w", c.ClientID, err)
		}
		client, err := model.NewClient(c.ClientID, settings)
		if err != nil {
			return d, err
		}
		if aliases[c.ClientID] {
			return d, fmt.Errorf("client %s: declared twice", c.ClientID)
		}
		aliases[c.ClientID] = true
		d.Clients = append(d.Clients, client)
	}
	return d, login.CheckService(&d.Service, s.Accounts)
}

// resolveSecrets replaces placeholders in secrets. One that has no value stops
// the start: there is no fallback (CVE-2026-27586, CVE-2026-31837).
func resolveSecrets[T any](catalogue []model.Setting[T], settings model.Settings) (model.Settings, error) {
	resolved := maps.Clone(settings)
	for i := range catalogue {
		s := &catalogue[i]
		value, ok := resolved[s.Property]
		if !s.Secret || !ok {
			continue
		}
		var tree any
		if err := json.Unmarshal(value, &tree); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name(), err)
		}
		tree, err := resolveTree(tree)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name(), err)
		}
		if resolved[s.Property], err = json.Marshal(tree); err != nil {
			return nil, err
		}
	}
	return resolved, nil
}

// resolveTree replaces placeholders in every text of a JSON value. A text that
// is JSON itself, such as a JWK Set, has braces of its own and no placeholder.
func resolveTree(v any) (_ any, err error) {
	switch v := v.(type) {
	case string:
		if json.Valid([]byte(v)) && strings.HasPrefix(strings.TrimSpace(v), "{") {
			return v, nil
		}
		return resolve(v)
	case []any:
		for i := range v {
			if v[i], err = resolveTree(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for key := range v {
			if v[key], err = resolveTree(v[key]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// resolve replaces the placeholders of a secret, all of which must have a value.
func resolve(text string) (string, error) {
	return caddy.NewReplacer().ReplaceOrErr(text, true, true)
}

// startTimeout bounds the opening of the store and the services.
const startTimeout = time.Minute

// Start opens the store and the engine.
func (a *App) Start() error {
	ctx, cancel := context.WithTimeout(a.ctx, startTimeout)
	defer cancel()
	state, err := a.open(ctx)
	for _, start := range a.starts {
		if err == nil {
			err = start()
		}
	}
	a.publish(state, err)
	return err
}

// AtStart is part of serving.App.
func (a *App) AtStart(start func() error) { a.starts = append(a.starts, start) }

// publish lets waiting handlers go on. It does so once.
func (a *App) publish(state *serving.State, err error) {
	a.once.Do(func() {
		a.state, a.failure = state, err
		close(a.ready)
	})
}

// Stop ends the engine of this configuration. The store and the caches stay
// open as long as another configuration holds them.
func (a *App) Stop() error {
	a.publish(nil, serving.ErrStopped)
	return nil
}

// Cleanup gives back what this configuration held.
func (a *App) Cleanup() error {
	if a.ready != nil {
		a.publish(nil, serving.ErrStopped)
	}
	if a.engine != nil {
		a.engine.Close()
	}
	for i := len(a.held) - 1; i >= 0; i-- {
		a.held[i]()
	}
	a.held = nil
	return nil
}

// Declared finds the declaration of a service. It is part of serving.App.
func (a *App) Declared(issuer string) (*model.Service, error) {
	if issuer == "" && len(a.declarations) == 1 {
		return &a.declarations[0].Service, nil
	}
	for i := range a.declarations {
		if a.declarations[i].Service.Issuer == issuer {
			return &a.declarations[i].Service, nil
		}
	}
	switch {
	case len(a.declarations) == 0:
		return nil, serving.ErrNoServices
	case issuer == "":
		return nil, errors.New("there is more than one service: say which with issuer")
	}
	return nil, fmt.Errorf("no service has the issuer %s", issuer)
}

// Running waits until the app has started. It is part of serving.App.
func (a *App) Running(ctx context.Context) (*serving.State, error) {
	select {
	case <-a.ready:
	default:
		select {
		case <-a.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return a.state, a.failure
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
	_ serving.App        = (*App)(nil)
)
