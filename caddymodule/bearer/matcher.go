package bearer

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

func init() {
	caddy.RegisterModule(new(Matcher))
}

// Matcher matches requests by the facts about their token, which an earlier
// gatehouse_bearer or gatehouse_login has found. A request without such facts
// does not match: it authorizes nothing, and opens nothing when it is negated
// before either has run.
type Matcher struct {
	Policy

	compiled introspect.Policy
}

// CaddyModule returns the Caddy module information.
func (*Matcher) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.gatehouse_token", New: func() caddy.Module { return new(Matcher) }}
}

// Provision compiles the policy.
func (m *Matcher) Provision(caddy.Context) (err error) {
	m.compiled, err = m.compile()
	return err
}

// UnmarshalCaddyfile reads the matcher.
//
// Syntax:
//
//	gatehouse_token {
//		issuer    <issuer...>
//		scopes    <scope...>
//		any_scope <scope...>
//		audience  <audience...>
//		client    <client_id...>
//		claim     <name> [<value...>]
//		acr       <value...>
//		max_age   <duration>
//	}
func (m *Matcher) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		if d.NextArg() {
			return d.Errf("gatehouse_token: expected a block, not %q", d.Val())
		}
		for d.NextBlock(0) {
			name := d.Val()
			known, err := m.unmarshal(d, name, d.RemainingArgs())
			if err != nil {
				return err
			}
			if !known {
				return d.Errf("gatehouse_token: unknown option %q; expected %s", name, policyOptions)
			}
		}
	}
	return nil
}

// MatchWithError is part of caddyhttp.RequestMatcherWithError.
func (m *Matcher) MatchWithError(r *http.Request) (bool, error) {
	return m.compiled.Judge(serving.Facts(r.Context()), time.Now()) == nil, nil
}

// Match is part of caddyhttp.RequestMatcher.
func (m *Matcher) Match(r *http.Request) bool {
	matches, _ := m.MatchWithError(r)
	return matches
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*Matcher)(nil)
	_ caddyfile.Unmarshaler             = (*Matcher)(nil)
	_ caddyhttp.RequestMatcherWithError = (*Matcher)(nil)
)
