package introspect

import (
	"slices"
	"strings"
)

// Policy is what a resource asks of a token. It is judged on every request
// against the token's facts and never cached, so that a change of policy holds
// from the next request on, and two resources may share a cache. The zero
// Policy asks for an active token only.
type Policy struct {
	// Scopes must all have been granted.
	Scopes []string
	// AnyScope names scopes of which one suffices; empty asks for none.
	AnyScope []string
	// Audience names this resource; the token's aud must hold one of these
	// (RFC 9068 §4). Empty accepts any.
	Audience []string
}

// Judge returns nil when the facts satisfy the policy, otherwise the refusal:
// 401 invalid_token for a token that is not active or not meant for this
// resource, 403 insufficient_scope for one that may do too little.
func (p *Policy) Judge(f *Facts) *Refusal {
	if f == nil || !f.Active {
		return invalidToken("The access token is unknown, expired or revoked.")
	}
	if len(p.Audience) > 0 && !slices.ContainsFunc(p.Audience, func(a string) bool { return slices.Contains(f.Audience, a) }) {
		return invalidToken("The access token is not meant for this resource.")
	}
	for _, scope := range p.Scopes {
		if !f.HasScope(scope) {
			return insufficientScope(p.challengeScope())
		}
	}
	if len(p.AnyScope) > 0 && !slices.ContainsFunc(p.AnyScope, f.HasScope) {
		return insufficientScope(p.challengeScope())
	}
	return nil
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
