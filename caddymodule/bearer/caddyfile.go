package bearer

import (
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("gatehouse_bearer", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_bearer", httpcaddyfile.Before, "basic_auth")
}

func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
//
// Syntax:
//
//	gatehouse_bearer [<matcher>] {
//		issuer     <issuer>
//		scopes     <scope...>
//		any_scope  <scope...>
//		audience   <audience...>
//		realm      <realm>
//		resource   <url>
//		forward    <claim> <header>
//		optional
//		cache_size         <entries>
//		cache_ttl          <duration>
//		cache_negative_ttl <duration>
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("gatehouse_bearer: expected a block, not %q", d.Val())
	}
	for d.NextBlock(0) {
		if err := h.unmarshalOption(d, d.Val(), d.RemainingArgs()); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) unmarshalOption(d *caddyfile.Dispenser, name string, args []string) error {
	if n, ok := arguments[name]; ok && len(args) != n.count && (n.count >= 0 || len(args) == 0) {
		return d.Errf("%s: expected %s", name, n.text)
	}
	switch name {
	case "issuer":
		h.Issuer = args[0]
	case "scopes":
		h.Scopes = append(h.Scopes, args...)
	case "any_scope":
		h.AnyScope = append(h.AnyScope, args...)
	case "audience":
		h.Audience = append(h.Audience, args...)
	case "realm":
		h.Realm = args[0]
	case "resource":
		h.Resource = args[0]
	case "forward":
		h.Forward = append(h.Forward, introspect.Forward{Claim: args[0], Header: args[1]})
		if _, err := introspect.NewHeaders(h.Forward...); err != nil {
			return d.Errf("forward: %v", err)
		}
	case "optional":
		h.Optional = true
	case "cache_size":
		size, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || size < 1 {
			return d.Errf("cache_size: expected a number of entries, not %q", args[0])
		}
		h.CacheSize = size
	case "cache_ttl":
		return unmarshalDuration(d, name, args[0], &h.CacheTTL)
	case "cache_negative_ttl":
		return unmarshalDuration(d, name, args[0], &h.CacheNegativeTTL)
	default:
		return d.Errf("gatehouse_bearer: unknown option %q; expected issuer, scopes, any_scope, audience, realm, resource, forward, optional, cache_size, cache_ttl or cache_negative_ttl", name)
	}
	return nil
}

// arguments says how many arguments an option takes; -1 means one or more.
var arguments = map[string]struct {
	count int
	text  string
}{
	"issuer":             {1, "one issuer"},
	"scopes":             {-1, "at least one scope"},
	"any_scope":          {-1, "at least one scope"},
	"audience":           {-1, "at least one audience"},
	"realm":              {1, "one realm"},
	"resource":           {1, "one URL"},
	"forward":            {2, "a claim and a header"},
	"optional":           {0, "no arguments"},
	"cache_size":         {1, "one number"},
	"cache_ttl":          {1, "one duration"},
	"cache_negative_ttl": {1, "one duration"},
}

func unmarshalDuration(d *caddyfile.Dispenser, name, text string, to *caddy.Duration) error {
	duration, err := caddy.ParseDuration(text)
	if err != nil || duration <= 0 {
		return d.Errf("%s: expected a duration such as 30s, not %q", name, text)
	}
	*to = caddy.Duration(duration)
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
