package bearer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// Policy is what a route, or a matcher, asks of a token.
type Policy struct {
	// Issuers are those whose tokens are accepted.
	Issuers []string `json:"issuer,omitempty"`
	// Scopes must all have been granted to the token.
	Scopes []string `json:"scopes,omitempty"`
	// AnyScope names scopes of which the token needs one.
	AnyScope []string `json:"any_scope,omitempty"`
	// Audience names this API; the token must be meant for one of these.
	Audience []string `json:"audience,omitempty"`
	// Clients are those that may come here, by client_id.
	Clients []string `json:"client,omitempty"`
	// Claims must all hold. Of an array, one element suffices; a claim without
	// values must be there; dots lead into objects.
	Claims []introspect.ClaimRule `json:"claim,omitempty"`
	// ACR are the authentication contexts of which the user's must be one (RFC 9470).
	ACR []string `json:"acr,omitempty"`
	// MaxAge is how long ago the user may have authenticated at most (RFC 9470).
	MaxAge caddy.Duration `json:"max_age,omitempty"`
}

// compile returns the policy in the form that is judged.
func (p *Policy) compile() (introspect.Policy, error) {
	compiled := introspect.Policy{
		Issuers: p.Issuers, Scopes: p.Scopes, AnyScope: p.AnyScope, Audience: p.Audience,
		Clients: p.Clients, Claims: p.Claims, ACR: p.ACR, MaxAge: time.Duration(p.MaxAge),
	}
	for _, list := range [][]string{p.Issuers, p.Scopes, p.AnyScope, p.Audience, p.Clients, p.ACR} {
		if slices.Contains(list, "") {
			return compiled, errors.New("issuer, scopes, any_scope, audience, client and acr cannot hold an empty text")
		}
	}
	for _, rule := range p.Claims {
		if rule.Name == "" {
			return compiled, errors.New("claim: the name is missing")
		}
	}
	if p.MaxAge < 0 || p.MaxAge != 0 && time.Duration(p.MaxAge) < time.Second {
		return compiled, fmt.Errorf("max_age: %s is less than a second", time.Duration(p.MaxAge))
	}
	return compiled, nil
}

// policyOptions are the names of a policy's options.
const policyOptions = "issuer, scopes, any_scope, audience, client, claim, acr, max_age"

// unmarshal reads an option if it is one of a policy, and says whether it was.
func (p *Policy) unmarshal(d *caddyfile.Dispenser, name string, args []string) (bool, error) {
	lists := map[string]*[]string{
		"issuer": &p.Issuers, "scopes": &p.Scopes, "any_scope": &p.AnyScope,
		"audience": &p.Audience, "client": &p.Clients, "acr": &p.ACR,
	}
	list, isList := lists[name]
	switch {
	case isList && len(args) == 0:
		return true, d.Errf("%s: expected at least one value", name)
	case isList:
		*list = append(*list, args...)
	case name == "claim" && len(args) == 0:
		return true, d.Err("claim: expected a name, and values of which it must have one")
	case name == "claim":
		p.Claims = append(p.Claims, introspect.ClaimRule{Name: args[0], Values: args[1:]})
	case name == "max_age" && len(args) != 1:
		return true, d.Err("max_age: expected one duration")
	case name == "max_age":
		return true, serving.UnmarshalDuration(d, name, args[0], &p.MaxAge)
	default:
		return false, nil
	}
	return true, nil
}
