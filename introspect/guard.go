package introspect

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Guard checks the bearer tokens of requests to one resource. Its parts are set
// before use and not changed after; it is then safe for concurrent use.
type Guard struct {
	// Introspector says what a token is. Without one every token is answered
	// with 503.
	Introspector Introspector
	// Cache remembers what the introspector said; guards may share one if they
	// share the introspector. Nil asks the introspector every time.
	Cache *Cache
	// Policy is what the resource asks of a token.
	Policy Policy
	// Challenge is what refusals say about the resource.
	Challenge Challenge
	// Headers are the identity headers that [Guard.Handler] sets; nil sets none.
	Headers *Headers
	// Optional lets requests without bearer credentials pass, without facts.
	// Credentials that are given must still be good.
	Optional bool
	// MaxTokenLength bounds a token, in bytes; 0 means [DefaultMaxTokenLength].
	MaxTokenLength int
	// RetryAfter is sent with a 503; 0 means [DefaultRetryAfter].
	RetryAfter time.Duration
	// Confirm decides on a token that is bound to its sender (cnf; RFC 9449,
	// RFC 8705) or whose type is not Bearer: nil means that the request proves
	// what it must. An error that is a [*Refusal] is sent as it is, any other
	// as 401 invalid_token. Without Confirm such tokens are refused, since a
	// stolen one would otherwise be worth as much as a bearer token.
	Confirm func(*http.Request, *Facts) error
}

// Authorize decides on a request; from is asked about a token that the cache
// does not know. Without a refusal the request may go on, and the facts are
// those of its token, or nil if the guard is optional and there is none. A
// refusal has yet to be sent, by [Guard.Refuse].
func (g *Guard) Authorize(r *http.Request, from Introspector) (*Facts, *Refusal) {
	token, refusal := BearerToken(r, g.MaxTokenLength)
	switch {
	case refusal != nil:
		return nil, refusal
	case token == "" && g.Optional:
		return nil, nil
	case token == "":
		return nil, noCredentials(g.Policy.challengeScope())
	}
	facts, err := g.facts(r.Context(), token, from)
	if err != nil {
		return nil, engineDown(err, g.RetryAfter)
	}
	if refusal := g.Policy.Judge(facts); refusal != nil {
		return nil, refusal
	}
	if facts.senderConstrained() {
		if refusal := g.confirm(r, facts); refusal != nil {
			return nil, refusal
		}
	}
	return facts, nil
}

func (g *Guard) facts(ctx context.Context, token string, from Introspector) (*Facts, error) {
	if from == nil {
		return nil, unavailable(errors.New("there is no introspector"), token)
	}
	if g.Cache != nil {
		return g.Cache.Introspect(ctx, token, from)
	}
	facts, err := from.Introspect(ctx, token)
	if err != nil {
		return nil, unavailable(err, token)
	}
	return &facts, nil
}

func (g *Guard) confirm(r *http.Request, f *Facts) *Refusal {
	const description = "The access token is bound to its sender, and the request does not prove possession."
	if g.Confirm == nil {
		return invalidToken(description)
	}
	err := g.Confirm(r, f)
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok && refusal != nil {
		return refusal
	}
	refusal := invalidToken(description)
	refusal.Cause = err
	return refusal
}

// Refuse sends a refusal with this guard's challenge.
func (g *Guard) Refuse(w http.ResponseWriter, r *Refusal) { Refuse(w, g.Challenge, r) }

// Handler lets through to next what the guard authorizes. Before anything else,
// and on every path and method, it takes away the identity headers that the
// client sent; next finds those of the token, and its facts by [FromContext].
func (g *Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.Headers.StripRequest(r)
		facts, refusal := g.Authorize(r, g.Introspector)
		if refusal != nil {
			g.Refuse(w, refusal)
			return
		}
		if facts != nil {
			g.Headers.Set(r.Header, facts)
			r = r.WithContext(NewContext(r.Context(), facts))
		}
		next.ServeHTTP(w, r)
	})
}

type factsKey struct{}

// NewContext returns a context that carries a token's facts.
func NewContext(ctx context.Context, f *Facts) context.Context {
	return context.WithValue(ctx, factsKey{}, f)
}

// FromContext returns the facts about the request's token, or nil if it came
// without one.
func FromContext(ctx context.Context) *Facts {
	f, _ := ctx.Value(factsKey{}).(*Facts)
	return f
}
