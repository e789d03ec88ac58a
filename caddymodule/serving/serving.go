// Package serving is what the app shows its handlers: which services are
// declared, while a configuration is being built, and what serves them once
// it has started.
package serving

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// App is the gatehouse app as its handlers see it. They reach it by Find while
// they are provisioned.
type App interface {
	// Declared finds the declaration of a service by its issuer. An empty
	// issuer means the only one there is.
	Declared(issuer string) (*model.Service, error)
	// Cache reserves a cache for a service's tokens, which the app opens when
	// it starts. Reservations that are alike share one cache, also with the
	// configuration before.
	Cache(issuer string, o introspect.Options) *Cache
	// Running waits until the app has started. Caddy starts apps in no order,
	// so a request may come first.
	Running(ctx context.Context) (*State, error)
}

// Find returns the app and the declaration of the service that a handler, named
// by its directive, is for.
func Find(ctx caddy.Context, directive, issuer string) (App, *model.Service, error) {
	module, err := ctx.App("gatehouse")
	if err != nil {
		return nil, nil, fmt.Errorf("%s needs the global option gatehouse: %w", directive, err)
	}
	app := module.(App)
	service, err := app.Declared(issuer)
	return app, service, err
}

// State is what serves while a configuration runs.
type State struct {
	Engine   *engine.Engine
	Store    store.Store
	Accounts map[model.ID]*login.Accounts
	Fetch    engine.Fetcher // for the callbacks and the social networks of services
}

// ErrStopped says that the configuration ended before it had started.
var ErrStopped = errors.New("gatehouse has not started")

// Cache is a reserved cache: open while the app runs.
type Cache struct {
	Issuer  string
	Options introspect.Options
	*introspect.Cache
}
