package introspect

import (
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
)

// Facts is what one introspection says about a token (RFC 7662 §2.2). It holds
// no judgement: that is [Policy]'s, on every request.
//
// Facts are shared by all requests that carry the token. Nobody changes them,
// nor what they refer to, once an [Introspector] has returned them.
//
// [ParseFacts] reads them from JSON.
type Facts struct {
	// Active is false for a token that is unknown, expired or revoked; the
	// other members then mean nothing.
	Active bool

	Issuer    string   // iss
	Subject   string   // sub; empty for a client's own token
	ClientID  string   // client_id
	TokenType string   // token_type: "Bearer", "DPoP"
	Scopes    []string // scope
	Audience  []string // aud

	ExpiresAt int64 // exp, Unix seconds; 0 means that the engine names no end
	IssuedAt  int64 // iat, Unix seconds
	AuthTime  int64 // auth_time, Unix seconds

	// Ref is what revocations call the token.
	Ref Ref

	// Claims holds whatever else was said, by name. The members above are
	// read from their fields only, never from here.
	Claims map[string]any

	derived atomic.Pointer[[]any] // what each [Derivation] has made, newest first; the list is immutable
}

// Equal reports whether two facts say the same. What was derived from them does
// not count.
func (f *Facts) Equal(g *Facts) bool {
	if f == nil || g == nil {
		return f == g
	}
	return f.Active == g.Active && f.Issuer == g.Issuer && f.Subject == g.Subject && f.ClientID == g.ClientID &&
		f.TokenType == g.TokenType && slices.Equal(f.Scopes, g.Scopes) && slices.Equal(f.Audience, g.Audience) &&
		f.ExpiresAt == g.ExpiresAt && f.IssuedAt == g.IssuedAt && f.AuthTime == g.AuthTime &&
		f.Ref == g.Ref && reflect.DeepEqual(f.Claims, g.Claims)
}

// Ref holds an engine's own names for a token and what it hangs on, by which a
// [Revocation] names what it ends; 0 and "" where the engine has none. They are
// no claims and are never forwarded.
type Ref struct {
	Service, Token, Grant, Client int64
	Subject                       string
}

// Claim returns a claim by its name in RFC 7662 and OpenID Connect, for
// forwarding and placeholders. scope is one space-separated string, aud a
// []string, times are int64 in Unix seconds. A claim without a value is absent.
func (f *Facts) Claim(name string) (any, bool) {
	switch name {
	case "active":
		return f.Active, true
	case "iss":
		return text(f.Issuer)
	case "sub":
		return text(f.Subject)
	case "client_id":
		return text(f.ClientID)
	case "token_type":
		return text(f.TokenType)
	case "scope":
		return text(strings.Join(f.Scopes, " "))
	case "aud":
		return f.Audience, len(f.Audience) > 0
	case "exp":
		return f.ExpiresAt, f.ExpiresAt != 0
	case "iat":
		return f.IssuedAt, f.IssuedAt != 0
	case "auth_time":
		return f.AuthTime, f.AuthTime != 0
	}
	v := f.Claims[name]
	return v, v != nil
}

func text(s string) (any, bool) {
	if s == "" {
		return nil, false
	}
	return s, true
}

// HasScope reports whether the token was granted the scope; scopes are
// case-sensitive (RFC 6749 §3.3).
func (f *Facts) HasScope(scope string) bool { return slices.Contains(f.Scopes, scope) }

// expired reports whether exp has come: a token is refused on that second
// already (RFC 7519 §4.1.4).
func (f *Facts) expired(unix int64) bool { return f.ExpiresAt != 0 && unix >= f.ExpiresAt }

// SenderConstrained reports whether the token is more than a bearer token, so
// that whoever presents it must prove something: it is bound to a key (cnf,
// RFC 7800 §3.1), or of another type (RFC 9449 §5: "DPoP").
func (f *Facts) SenderConstrained() bool {
	if f.TokenType != "" && !strings.EqualFold(f.TokenType, "Bearer") {
		return true
	}
	return f.Claims["cnf"] != nil
}
