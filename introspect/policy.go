package introspect

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Policy is what a resource asks of a token. It is judged on every request
// against the token's facts and never cached, so that a change of policy holds
// from the next request on, and resources may share a cache. The zero Policy
// asks for an active token only.
type Policy struct {
	// Issuers are those whose tokens are accepted. Empty accepts any that the
	// introspector vouches for.
	Issuers []string
	// Audience names this resource; the token's aud must hold one of these
	// (RFC 9068 §4). Empty accepts any.
	Audience []string

	// ACR names authentication contexts of which the user's must be one, and
	// MaxAge is how long ago the user may have authenticated at most (RFC
	// 9470). Empty and 0 ask for nothing; a token that does not say fails.
	ACR    []string
	MaxAge time.Duration

	// Scopes must all have been granted.
	Scopes []string
	// AnyScope names scopes of which one suffices; empty asks for none.
	AnyScope []string
	// Clients are those that may come here, by client_id. Empty admits all.
	Clients []string
	// Claims must all hold.
	Claims []ClaimRule
}

// ClaimRule asks for a claim with one of the values; of an array, one element
// suffices. Numbers and booleans are compared as JSON writes them. Without
// values the claim must be there. A name with dots that no claim has leads into
// objects: realm_access.roles.
type ClaimRule struct {
	Name   string
	Values []string
}

// Judge returns nil when the facts satisfy the policy at a time, otherwise the
// refusal: 401 invalid_token for a token that is not active or not meant for
// this resource, 401 insufficient_user_authentication when its user should
// authenticate again or otherwise, 403 insufficient_scope for one that may do
// too little.
func (p *Policy) Judge(f *Facts, now time.Time) *Refusal {
	switch {
	case f == nil || !f.Active:
		return invalidToken(ReasonNotActive, "The access token is unknown, expired or revoked.")
	case len(p.Issuers) > 0 && !slices.Contains(p.Issuers, f.Issuer):
		return invalidToken(ReasonIssuer, "The access token's issuer is not accepted here.")
	case len(p.Audience) > 0 && !slices.ContainsFunc(p.Audience, func(a string) bool { return slices.Contains(f.Audience, a) }):
		return invalidToken(ReasonAudience, "The access token is not meant for this resource.")
	case !p.authenticated(f, now):
		return moreAuthentication(p.ACR, p.MaxAge)
	case slices.ContainsFunc(p.Scopes, func(s string) bool { return !f.HasScope(s) }),
		len(p.AnyScope) > 0 && !slices.ContainsFunc(p.AnyScope, f.HasScope):
		return insufficientScope(p.challengeScope())
	case len(p.Clients) > 0 && !slices.Contains(p.Clients, f.ClientID):
		return forbidden(ReasonClient, "The client may not come here.")
	}
	for i := range p.Claims {
		if !p.Claims[i].holds(f) {
			return forbidden(ReasonClaim, "The access token does not say what this request needs.")
		}
	}
	return nil
}

// authenticated holds the user's authentication against ACR and MaxAge.
func (p *Policy) authenticated(f *Facts, now time.Time) bool {
	if len(p.ACR) > 0 {
		if acr, _ := f.Claims["acr"].(string); acr == "" || !slices.Contains(p.ACR, acr) {
			return false
		}
	}
	return p.MaxAge <= 0 || f.AuthTime != 0 && now.Unix()-f.AuthTime <= int64(p.MaxAge/time.Second)
}

func (c *ClaimRule) holds(f *Facts) bool {
	value, ok := f.Claim(c.Name)
	if !ok && strings.Contains(c.Name, ".") {
		value, ok = descend(f.Claims, c.Name)
	}
	if !ok || len(c.Values) == 0 {
		return ok
	}
	switch value := value.(type) {
	case []string:
		return slices.ContainsFunc(value, func(s string) bool { return slices.Contains(c.Values, s) })
	case []any:
		return slices.ContainsFunc(value, c.names)
	}
	return c.names(value)
}

// names reports whether a string, number or boolean is one of the values.
func (c *ClaimRule) names(value any) bool {
	switch v := value.(type) {
	case string:
		return slices.Contains(c.Values, v)
	case bool, int64, float64, json.Number:
		return slices.Contains(c.Values, HeaderValue(v))
	}
	return false
}

// descend follows a dotted name into objects.
func descend(object map[string]any, name string) (any, bool) {
	for {
		first, rest, more := strings.Cut(name, ".")
		value, ok := object[first]
		if !ok || !more {
			return value, ok && value != nil
		}
		if object, ok = value.(map[string]any); !ok {
			return nil, false
		}
		name = rest
	}
}

// challengeScope is the scope that suffices (RFC 6750 §3): all of Scopes and,
// where one of several will do, the first, so that a client which asks for what
// it is told asks for no more than it needs.
func (p *Policy) challengeScope() string {
	scopes := p.Scopes
	if len(p.AnyScope) > 0 && !slices.ContainsFunc(p.AnyScope, func(s string) bool { return slices.Contains(scopes, s) }) {
		scopes = append(slices.Clone(scopes), p.AnyScope[0])
	}
	return strings.Join(scopes, " ")
}
