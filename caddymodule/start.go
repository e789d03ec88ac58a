package caddymodule

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// open brings everything up in the order in which it depends on each other,
// and notes in a.held how to give it back.
func (a *App) open(ctx context.Context) (*serving.State, error) {
	if err := a.countOn(); err != nil {
		return nil, err
	}
	if err := a.openKeys(ctx); err != nil {
		return nil, fmt.Errorf("gateway_keys: %w", err)
	}
	if len(a.declarations) == 0 { // a gateway alone
		if err := a.openIntrospectors(ctx, nil, nil); err != nil {
			return nil, err
		}
		a.metrics.register(a.ctx.GetMetricsRegistry(), a.reserved, a.entrances)
		return &serving.State{}, nil
	}
	shared, err := a.acquire(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.openMasterKeys(ctx, shared.store); err != nil {
		return nil, err
	}
	state := &serving.State{Store: shared.store, Accounts: map[model.ID]*login.Accounts{}}
	observer := &observer{metrics: a.metrics, events: a.events, ctx: a.ctx, logger: a.logger, issuers: map[model.ID]string{}}
	outbound, err := a.Outbound.client()
	if err != nil {
		return nil, err
	}
	a.held = append(a.held, outbound.Close)
	state.Fetch = outbound
	state.Engine, err = engine.New(ctx, engine.Options{
		Store: shared.store, MasterKeys: a.masterKeys, Services: a.declarations,
		Subjects: subjects(state.Accounts), Observe: observer.observe, Fetch: outbound,
	})
	if errors.Is(err, engine.ErrWrongMasterKey) {
		return nil, fmt.Errorf("master key from %s: %w", a.masterKeySource(), err)
	}
	if err != nil {
		return nil, err
	}
	a.engine = state.Engine
	for i, d := range a.declarations {
		service, _ := state.Engine.Service(d.Service.Issuer)
		observer.issuers[service.ID] = service.Issuer
		accounts, err := login.NewAccounts(login.AccountOptions{
			Store: shared.store, Service: service, Declared: a.Services[i].Accounts, Guard: shared.guard(service.ID),
			Fetch: outbound, NewID: state.Engine.NewID,
		})
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", service.Issuer, err)
		}
		state.Accounts[service.ID] = accounts
		if err := endDisabled(ctx, shared.store, service.ID, a.Services[i].Accounts); err != nil {
			return nil, err
		}
	}
	if err := a.openIntrospectors(ctx, shared, state); err != nil {
		return nil, err
	}
	a.metrics.register(a.ctx.GetMetricsRegistry(), a.reserved, a.entrances)
	return state, nil
}

// subjects answers for the accounts of every service.
type subjects map[model.ID]*login.Accounts

// Active is part of engine.Subjects.
func (s subjects) Active(ctx context.Context, service model.ID, subject string) (bool, error) {
	accounts, ok := s[service]
	if !ok {
		return false, engine.ErrNoService
	}
	return accounts.Active(ctx, subject)
}

// endDisabled ends what accounts that the configuration disables still hold
// (CVE-2026-43983: a disabled account ends at once).
func endDisabled(ctx context.Context, st store.Store, service model.ID, accounts []login.DeclaredAccount) error {
	var steps []store.Step
	for _, account := range accounts {
		if !account.Disabled {
			continue
		}
		subject := account.Subject
		if subject == "" {
			subject = account.Name
		}
		steps = append(steps, store.DeleteSessions{Service: service, Subject: subject},
			store.RevokeGrants{Service: service, Subject: subject})
	}
	if len(steps) == 0 {
		return nil
	}
	return st.Write(ctx, steps...)
}

// openIntrospectors opens what handlers reserved, or takes what is open since
// the configuration before.
func (a *App) openIntrospectors(ctx context.Context, shared *shared, state *serving.State) error {
	var changed map[model.ID][]model.ID
	if state != nil {
		changed = shared.clientsChanged(ctx, state.Engine, a.declarations)
	}
	for _, i := range a.reserved {
		var err error
		if i.Service == "" {
			err = a.openAuthority(i)
		} else {
			err = a.openEngine(i, shared, state, changed)
		}
		if err != nil {
			return fmt.Errorf("introspector %s: %w", i.Name, err)
		}
	}
	return nil
}

// openEngine puts a cache before the engine of a service. Facts about clients
// that are no longer as they were are not believed any more.
func (a *App) openEngine(i *serving.Introspector, shared *shared, state *serving.State, changed map[model.ID][]model.ID) error {
	service, ok := state.Engine.Service(i.Service)
	if !ok {
		return engine.ErrNoService
	}
	cache, release, err := shared.cache(i.Options(), service.ID)
	if err != nil {
		return err
	}
	a.held = append(a.held, release)
	for _, client := range changed[service.ID] {
		cache.Revoke(introspect.Revocation{Kind: introspect.RevokeClient, Service: int64(service.ID), ID: int64(client)})
	}
	i.Open = &serving.Open{Cache: cache, From: traced{local{state.Engine, service}, i.Name}}
	return nil
}

// acquire opens the store, or takes the one of the configuration before.
func (a *App) acquire(ctx context.Context) (*shared, error) {
	key := a.storage.Identity()
	value, _, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		st, err := a.storage.Open(ctx)
		if err != nil {
			return nil, err
		}
		return newShared(st), nil
	})
	if err != nil {
		return nil, err
	}
	a.held = append(a.held, func() { _, _ = pool.Delete(key) })
	return value.(*shared), nil
}
