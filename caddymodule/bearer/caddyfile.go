package bearer

import (
	"strings"

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
//		introspectors <name...>
//		issuer     <issuer...>
//		scopes     <scope...>
//		any_scope  <scope...>
//		audience   <audience...>
//		client     <client_id...>
//		claim      <name> [<value...>]
//		acr        <value...>
//		max_age    <duration>
//		expression <CEL expression>
//		dpop {
//			origin     <origin>
//			nonce
//			algorithms <alg...>
//			max_age    <duration>
//		}
//		mtls {
//			client_cert_header
//		}
//		sender_constrained
//		realm      <realm>
//		resource   <url> {
//			name             <text>
//			documentation    <url>
//			policy           <url>
//			terms_of_service <url>
//			signed
//		}
//		forward    <claim> <header>
//		upstream   unchanged|nothing
//		upstream   jwt {
//			issuer   <text>
//			audience <text...>
//			lifetime <duration>
//			claims   <name...>|*
//			header   <name>
//		}
//		upstream   exchange <token endpoint> {
//			client_id            <client_id>
//			client_secret        <secret>
//			audience             <text...>
//			resource             <url...>
//			scope                <scope...>
//			requested_token_type <type>
//			header               <name>
//			trust                <file...>
//		}
//		optional
//		uncached
//		audit
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
		if err := h.unmarshalOption(d, d.Val()); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) unmarshalOption(d *caddyfile.Dispenser, name string) error {
	if name == "expression" {
		return h.unmarshalExpression(d)
	}
	args := d.RemainingArgs()
	if known, err := h.Policy.unmarshal(d, name, args); known {
		return err
	}
	if known, err := h.CacheSettings.Unmarshal(d, name, args); known {
		return err
	}
	if known, err := h.Sender.unmarshal(d, name, args); known {
		return err
	}
	if n, ok := arguments[name]; ok && len(args) != n.count && (n.count >= 0 || len(args) == 0) {
		return d.Errf("%s: expected %s", name, n.text)
	}
	switch name {
	case "introspectors":
		h.Introspectors = append(h.Introspectors, args...)
	case "realm":
		h.Realm = args[0]
	case "resource":
		return h.About.unmarshal(d, args)
	case "upstream":
		if h.Upstream != nil {
			return d.Err("upstream: is there twice")
		}
		h.Upstream = new(Upstream)
		return h.Upstream.unmarshal(d, args)
	case "forward":
		h.Forward = append(h.Forward, introspect.Forward{Claim: args[0], Header: args[1]})
		if _, err := introspect.NewHeaders(h.Forward...); err != nil {
			return d.Errf("forward: %v", err)
		}
	case "optional":
		h.Optional = true
	case "uncached":
		h.Uncached = true
	case "audit":
		h.Audit = true
	default:
		return d.Errf("gatehouse_bearer: unknown option %q; expected introspectors, %s, expression, dpop, mtls, sender_constrained, realm, resource, forward, upstream, optional, uncached, audit, cache_size, cache_ttl or cache_negative_ttl", name, policyOptions)
	}
	return nil
}

// arguments says how many arguments an option takes; -1 means one or more.
var arguments = map[string]struct {
	count int
	text  string
}{
	"introspectors": {-1, "at least one name"},
	"realm":         {1, "one realm"},
	"forward":       {2, "a claim and a header"},
	"optional":      {0, "no arguments"},
	"uncached":      {0, "no arguments"},
	"audit":         {0, "no arguments"},
}

// unmarshalExpression reads a CEL expression, whose quotation marks are its
// own, as Caddy's matcher does.
func (h *Handler) unmarshalExpression(d *caddyfile.Dispenser) error {
	if h.Expression != "" {
		return d.Err("expression: is there twice; join the two by &&")
	}
	if d.CountRemainingArgs() > 1 {
		h.Expression = strings.Join(d.RemainingArgsRaw(), " ")
		return nil
	}
	if !d.AllArgs(&h.Expression) {
		return d.Err("expression: expected a CEL expression")
	}
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
