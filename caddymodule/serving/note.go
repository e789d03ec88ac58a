package serving

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// The prefixes of the placeholders that a request's facts give.
const (
	userPrefix  = "http.auth.user." // values as text, in the form of introspect.HeaderValue
	tokenPrefix = "gatehouse.token."
)

// factsVar is the request variable that holds the facts.
const factsVar = "gatehouse.facts"

// Note makes the facts about a request's token known to the rest of the
// request: to matchers, and as placeholders. {http.auth.user.NAME} is a claim
// as text, {gatehouse.token.NAME} the claim itself, for CEL expressions. Nil
// says that there is no token; every claim is then known to be absent.
func Note(r *http.Request, facts *introspect.Facts) {
	ctx := r.Context()
	caddyhttp.SetVar(ctx, factsVar, facts)
	repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	repl.Map(func(key string) (any, bool) {
		if name, ok := strings.CutPrefix(key, userPrefix); ok {
			return userClaim(facts, name), true
		}
		if name, ok := strings.CutPrefix(key, tokenPrefix); ok {
			return tokenClaim(facts, name), true
		}
		return nil, false
	})
}

// Facts returns what was noted of a request's token, nil if there is none.
func Facts(ctx context.Context) *introspect.Facts {
	facts, _ := caddyhttp.GetVar(ctx, factsVar).(*introspect.Facts)
	return facts
}

func userClaim(facts *introspect.Facts, name string) string {
	if facts == nil {
		return ""
	}
	if name == "id" {
		// A client acting for itself is no user: it must not pass for the user
		// of the same name (RFC 9068 §5).
		name = "sub"
	}
	value, _ := facts.Claim(name)
	return introspect.HeaderValue(value)
}

func tokenClaim(facts *introspect.Facts, name string) any {
	if facts == nil {
		return nil
	}
	if name == "scope" {
		return facts.Scopes // CEL has no words
	}
	value, _ := facts.Claim(name)
	return native(value)
}

// native turns JSON's numbers into what CEL counts with.
func native(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, _ := v.Float64()
		return n
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = native(v[i])
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for name := range v {
			object[name] = native(v[name])
		}
		return object
	}
	return value
}
