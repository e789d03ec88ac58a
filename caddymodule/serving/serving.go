// Package serving is what the app shows its handlers: which services are
// declared, while a configuration is being built, and what serves them once
// it has started.
package serving

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/upstream"
)

// App is the gatehouse app as its handlers see it. They reach it by Find while
// they are provisioned.
type App interface {
	// Declared finds the declaration of a service by its issuer. An empty
	// issuer means the only one there is. ErrNoServices: there is none at all.
	Declared(issuer string) (*model.Service, error)
	// Introspector reserves the introspector that the configuration calls so;
	// the engine of a service goes by its issuer. The app opens it when it
	// starts. Reservations that are alike share one cache, also with the
	// configuration before.
	Introspector(name string) (*Introspector, error)
	// EngineOf reserves the engine of a service, with a cache of these settings.
	EngineOf(service *model.Service, cache CacheSettings) *Introspector
	// Keys reserves the gateway's own keys, which are there once the app runs.
	Keys() *Keys
	// Introspectors are the names of those that the configuration declares.
	Introspectors() []string
	// AtStart has a function called once the app has opened everything, before
	// it serves. An error stops the start.
	AtStart(func() error)
	// Refused counts a request that a gateway refused. The app runs by then.
	Refused(realm string, reason introspect.Reason)
	// Entrance reserves the entrance of a service, whose load is counted. Those
	// that are alike are one, also with the configuration before.
	Entrance(issuer string, options admission.Options) *admission.Entrance
	// TurnedAway counts a request that found no place, by where: the name of a
	// lane, or admission.Arriving. The app runs by then.
	TurnedAway(issuer, where string)
	// Running waits until the app has started. Caddy starts apps in no order,
	// so a request may come first.
	Running(ctx context.Context) (*State, error)
}

// FindApp returns the app, for a handler that is named by its directive.
func FindApp(ctx caddy.Context, directive string) (App, error) {
	module, err := ctx.App("gatehouse")
	if err != nil {
		return nil, fmt.Errorf("%s needs the global option gatehouse: %w", directive, err)
	}
	return module.(App), nil
}

// Find returns the app and the declaration of the service that a handler, named
// by its directive, is for.
func Find(ctx caddy.Context, directive, issuer string) (App, *model.Service, error) {
	app, err := FindApp(ctx, directive)
	if err != nil {
		return nil, nil, err
	}
	service, err := app.Declared(issuer)
	return app, service, err
}

// State is what serves while a configuration runs. Of a gateway alone, without
// services, there is nothing in it.
type State struct {
	Engine   *engine.Engine
	Store    store.Store
	Accounts map[model.ID]*login.Accounts
	Fetch    engine.Fetcher // for the callbacks and the social networks of services
}

// Keys are a gateway's own: for what it signs, and for the nonces of DPoP. All
// nodes that share Caddy's storage, or the file that is given, have the same.
type Keys struct {
	Signer *upstream.Signer
	Nonce  []byte
}

// ErrNoServices says that the configuration declares no service.
var ErrNoServices = errors.New("no service is declared: say which introspector to ask")

// ErrStopped says that the configuration ended before it had started.
var ErrStopped = errors.New("gatehouse has not started")
