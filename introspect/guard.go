package introspect

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Guard checks the access tokens of requests to one resource. Its parts are set
// before use and not changed after; it is then safe for concurrent use.
type Guard struct {
	// Introspector says what a token is: usually a [Cache] over what asks.
	// Without one every token is answered with 503.
	Introspector Introspector
	// Policy is what the resource asks of a token.
	Policy Policy
	// Challenge is what refusals say about the resource.
	Challenge Challenge
	// Headers are the identity headers that [Guard.Handler] sets; nil sets none.
	Headers *Headers
	// Optional lets requests without an access token pass, without facts. One
	// that is given must still be good.
	Optional bool
	// MaxTokenLength bounds a token, in bytes; 0 means [DefaultMaxTokenLength].
	MaxTokenLength int
	// RetryAfter is sent with a 503; 0 means [DefaultRetryAfter].
	RetryAfter time.Duration
	// Confirm decides whether the sender of a request may use an active token,
	// bound to a key or certificate (cnf, RFC 7800 §3.1) or not: nil means that
	// it proves what it must. An error that is a [*Refusal] is sent as it is,
	// any other as 401 invalid_token. Without Confirm only plain bearer tokens
	// are accepted, since a stolen one that is bound would otherwise be worth
	// as much.
	Confirm func(*http.Request, Credentials, *Facts) error
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Authorize decides on a request. Without a refusal the request may go on, and
// the facts are those of its token, or nil if the guard is optional and there
// is none. A refusal has yet to be sent, by [Guard.Refuse]; the facts then are
// those of a token that is good but not enough, or nil.
func (g *Guard) Authorize(r *http.Request) (*Facts, *Refusal) {
	credentials, refusal := ReadCredentials(r, g.MaxTokenLength)
	switch {
	case refusal != nil:
		return nil, refusal
	case credentials.Scheme == "" && g.Optional:
		return nil, nil
	case credentials.Scheme == "", credentials.Scheme == SchemeDPoP && g.Confirm == nil:
		return nil, noCredentials(g.Policy.challengeScope())
	}
	facts, err := g.introspect(r.Context(), credentials.Token)
	if err != nil {
		return nil, engineDown(err, g.RetryAfter)
	}
	if !facts.Active {
		facts = nil
	} else if refusal := g.confirm(r, credentials, facts); refusal != nil {
		return facts, refusal
	}
	refusal = g.Policy.Judge(facts, g.now())
	if refusal != nil {
		refusal.Scheme = credentials.Scheme
	}
	return facts, refusal
}

func (g *Guard) now() time.Time {
	if g.Now == nil {
		return time.Now()
	}
	return g.Now()
}

func (g *Guard) introspect(ctx context.Context, token string) (*Facts, error) {
	if g.Introspector == nil {
		return nil, unavailable(errors.New("there is no introspector"), token)
	}
	facts, err := g.Introspector.Introspect(ctx, token)
	switch {
	case err != nil:
		return nil, unavailable(err, token)
	case facts == nil:
		return nil, unavailable(errNoAnswer, token)
	}
	return facts, nil
}

func (g *Guard) confirm(r *http.Request, c Credentials, f *Facts) *Refusal {
	const description = "The access token is bound to its sender, and the request does not prove possession."
	if g.Confirm == nil {
		if f.SenderConstrained() {
			return invalidToken(ReasonProof, description)
		}
		return nil
	}
	err := g.Confirm(r, c, f)
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok && refusal != nil {
		return refusal
	}
	refusal := invalidToken(ReasonProof, description)
	refusal.Cause, refusal.Scheme = err, c.Scheme
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
		facts, refusal := g.Authorize(r)
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
