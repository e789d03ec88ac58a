package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// Introspector declares an authority on access tokens beside the services of
// this process.
type Introspector struct {
	// Name is what routes call it.
	Name string `json:"name"`
	// ModuleRaw is who is asked, and how.
	ModuleRaw json.RawMessage `json:"module" caddy:"namespace=gatehouse.introspectors inline_key=introspector"`
}

// unmarshalIntrospector reads one introspector.
func (a *App) unmarshalIntrospector(d *caddyfile.Dispenser) error {
	var declared Introspector
	if !d.Args(&declared.Name) || !d.NextArg() {
		return d.Err("introspector: expected a name and a module: engine, jwt or remote")
	}
	if strings.Contains(declared.Name, "://") {
		return d.Errf("introspector %s: a name is no URL: those are of services", declared.Name)
	}
	kind := d.Val()
	module, err := caddyfile.UnmarshalModule(d, "gatehouse.introspectors."+kind)
	if err != nil {
		return err
	}
	declared.ModuleRaw = caddyconfig.JSONModuleObject(module, "introspector", kind, nil)
	a.IntrospectorList = append(a.IntrospectorList, declared)
	return nil
}

// loadIntrospectors loads the guests. None opens anything yet.
func (a *App) loadIntrospectors(ctx caddy.Context) error {
	for i := range a.IntrospectorList {
		declared := &a.IntrospectorList[i]
		if declared.Name == "" || slices.ContainsFunc(a.guests, func(g *serving.Introspector) bool { return g.Name == declared.Name }) {
			return fmt.Errorf("introspector %q: the name is missing or there twice", declared.Name)
		}
		module, err := ctx.LoadModule(declared, "ModuleRaw")
		if err != nil {
			return fmt.Errorf("introspector %s: %w", declared.Name, err)
		}
		guest, ok := module.(serving.Guest)
		if !ok {
			return fmt.Errorf("introspector %s: %T is no introspector", declared.Name, module)
		}
		g := &serving.Introspector{Name: declared.Name, Guest: guest, Declaration: guest.Declare()}
		if g.Service != "" {
			if _, err := a.Declared(g.Service); err != nil {
				return fmt.Errorf("introspector %s: %w", g.Name, err)
			}
			g.Guest = nil
		}
		a.guests = append(a.guests, g)
	}
	return nil
}

// Introspectors is part of serving.App.
func (a *App) Introspectors() []string {
	names := make([]string, len(a.guests))
	for i, g := range a.guests {
		names[i] = g.Name
	}
	return names
}

// Introspector is part of serving.App.
func (a *App) Introspector(name string) (*serving.Introspector, error) {
	for _, g := range a.guests {
		if g.Name == name {
			if !slices.Contains(a.reserved, g) {
				a.reserved = append(a.reserved, g)
			}
			return g, nil
		}
	}
	service, err := a.Declared(name)
	if err != nil || name == "" {
		return nil, fmt.Errorf("there is no introspector %q: expected one of %s, or the issuer of a service", name, strings.Join(a.Introspectors(), ", "))
	}
	return a.EngineOf(service, serving.CacheSettings{}), nil
}

// EngineOf is part of serving.App.
func (a *App) EngineOf(service *model.Service, cache serving.CacheSettings) *serving.Introspector {
	i := &serving.Introspector{Name: service.Issuer, Declaration: serving.Declaration{
		Service: service.Issuer, Issuers: []string{service.Issuer}, Takes: serving.EngineTokens(service.Issuer), Cache: cache,
	}}
	a.reserved = append(a.reserved, i)
	return i
}

// authorities are the open introspectors that ask elsewhere, by what they are.
// They outlive reloads, with what they remember.
var authorities = caddy.NewUsagePool()

// authority is one of them, and the cache before it.
type authority struct {
	serving.Authority
	cache *introspect.Cache
}

// Destruct ends it: what feeds the cache first.
func (a *authority) Destruct() error {
	a.Close()
	a.cache.Close()
	return nil
}

// openAuthority opens a guest, or takes the one of the configuration before.
func (a *App) openAuthority(i *serving.Introspector) error {
	opener, ok := i.Guest.(serving.Opener)
	if !ok {
		return errors.New("it asks neither here nor elsewhere")
	}
	key := fmt.Sprintf("%s\n%+v", i.Key, i.Cache)
	value, _, err := authorities.LoadOrNew(key, func() (caddy.Destructor, error) {
		cache, err := introspect.NewCache(i.Options())
		if err != nil {
			return nil, err
		}
		opened, err := opener.Open(cache)
		if err != nil {
			cache.Close()
			return nil, err
		}
		return &authority{opened, cache}, nil
	})
	if err != nil {
		return err
	}
	a.held = append(a.held, func() { _, _ = authorities.Delete(key) })
	open := value.(*authority)
	i.Open = &serving.Open{Cache: open.cache, From: traced{open, i.Name}, Authority: open.Authority}
	return nil
}
