// Package introspectors holds the authorities on access tokens that a gateway
// can ask: the engine of this process, an introspection endpoint, and the keys
// of an issuer of JWTs. They are modules in the namespace
// gatehouse.introspectors.
package introspectors

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
)

func init() {
	caddy.RegisterModule(new(Engine))
}

// Engine asks the engine of this process about the tokens of one service.
type Engine struct {
	// Issuer names the service.
	Issuer string `json:"issuer"`
	tokens
	serving.CacheSettings
}

// CaddyModule returns the Caddy module information.
func (*Engine) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.introspectors.engine", New: func() caddy.Module { return new(Engine) }}
}

// Provision checks the settings.
func (e *Engine) Provision(caddy.Context) error {
	return check("engine", e.Check(), e.tokens.check())
}

// UnmarshalCaddyfile reads the rest of the line of an introspector.
//
// Syntax:
//
//	introspector <name> engine <issuer> {
//		prefix <prefix...>
//		shape  jwt|opaque
//		cache_size         <entries>
//		cache_ttl          <duration>
//		cache_negative_ttl <duration>
//	}
func (e *Engine) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&e.Issuer) {
		return d.Err("introspector engine: expected the issuer of a service")
	}
	return unmarshalBlock(d, "engine", options{}, &e.tokens, &e.CacheSettings)
}

// Declare is part of serving.Guest. The engine takes its own opaque tokens and
// the JWTs of its issuer, unless prefix or shape say otherwise.
func (e *Engine) Declare() serving.Declaration {
	return serving.Declaration{
		Service: e.Issuer, Issuers: []string{e.Issuer},
		Takes: e.takes(serving.EngineTokens(e.Issuer)...), Cache: e.CacheSettings,
	}
}

// Interface guards
var (
	_ serving.Guest         = (*Engine)(nil)
	_ caddy.Provisioner     = (*Engine)(nil)
	_ caddyfile.Unmarshaler = (*Engine)(nil)
)
