package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// Upstream changes a request that may go on so that it carries to the resource
// what it should: f is what is known of its token, c, and nil if it came without
// one. With a refusal, which the caller sends, it must not go on.
// Implementations MUST be safe for concurrent use.
type Upstream interface {
	Apply(r *http.Request, c introspect.Credentials, f *introspect.Facts) *introspect.Refusal
}

// Tokens gives the token that another is replaced by. An error that is a
// [*introspect.Refusal] decides on the answer to the client; any other is a 503.
// Neither quotes a token.
type Tokens interface {
	Token(ctx context.Context, token string, f *introspect.Facts) (string, error)
}

// Unchanged leaves the token where it is.
func Unchanged() Upstream { return unchanged{} }

// Nothing takes the token away, and with it credentials of any other scheme.
func Nothing() Upstream { return nothing{} }

// Replace puts another token in the place of the one that the client sent, as a
// bearer token in Authorization if header is empty, otherwise alone in a header
// of its own. Whatever the client sends under that header's name is taken away
// in every spelling, with a token and without one. The client's token and its
// DPoP proof go no further.
func Replace(tokens Tokens, header string) (Upstream, error) {
	u := &replaced{tokens: tokens}
	if header == "" || strings.EqualFold(header, "Authorization") {
		return u, nil
	}
	own, err := introspect.NewHeaders(introspect.Forward{Claim: "token", Header: header}) // it only strips here
	if err != nil {
		return nil, err
	}
	u.header, u.own = textproto.CanonicalMIMEHeaderKey(header), own
	return u, nil
}

// Handler applies u to the requests that come from g.Handler, whose next it is.
func Handler(u Upstream, g *introspect.Guard, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, refusal := introspect.ReadCredentials(r, g.MaxTokenLength)
		if refusal == nil {
			refusal = u.Apply(r, c, introspect.FromContext(r.Context()))
		}
		if refusal != nil {
			g.Refuse(w, refusal)
			return
		}
		next.ServeHTTP(w, r)
	})
}

type unchanged struct{}

func (unchanged) Apply(r *http.Request, _ introspect.Credentials, _ *introspect.Facts) *introspect.Refusal {
	keepConnected(r.Header)
	return nil
}

type nothing struct{}

func (nothing) Apply(r *http.Request, _ introspect.Credentials, _ *introspect.Facts) *introspect.Refusal {
	dropCredentials(r.Header)
	return nil
}

type replaced struct {
	tokens Tokens
	header string              // canonical; empty: Authorization
	own    *introspect.Headers // strips header; nil: Authorization
}

func (u *replaced) Apply(r *http.Request, c introspect.Credentials, f *introspect.Facts) *introspect.Refusal {
	u.own.StripRequest(r)
	// Credentials of another scheme are the resource's affair, unless they
	// stand where it looks for the gateway's word.
	if u.own == nil || c.Scheme != "" {
		dropCredentials(r.Header)
	}
	if f == nil || !f.Active {
		return nil
	}
	token, err := u.tokens.Token(r.Context(), c.Token, f)
	if err != nil {
		return refusal(err, c.Scheme)
	}
	if u.own == nil {
		r.Header["Authorization"] = []string{"Bearer " + token}
	} else {
		r.Header[u.header] = []string{token}
	}
	return nil
}

// refusal is the answer to a client whose token cannot be replaced, its own copy.
func refusal(err error, scheme string) *introspect.Refusal {
	if shared, ok := errors.AsType[*introspect.Refusal](err); ok {
		own := *shared
		own.Scheme = scheme
		return &own
	}
	return &introspect.Refusal{
		Status: http.StatusServiceUnavailable, Code: introspect.CodeTemporarilyUnavailable,
		Description: "The access token cannot be passed on at the moment. Try again later.",
		Reason:      introspect.ReasonUnavailable, RetryAfter: introspect.DefaultRetryAfter, Cause: err,
	}
}

// isCredential reports whether a header carries credentials to a resource. The
// names are letters only: case is all that their spellings differ in. In a
// trailer they are none (RFC 9110 §6.5.1).
func isCredential(name string) bool {
	return strings.EqualFold(name, "Authorization") || strings.EqualFold(name, introspect.SchemeDPoP)
}

func dropCredentials(h http.Header) {
	keepConnected(h)
	for name := range h {
		if isCredential(name) {
			delete(h, name)
		}
	}
}

// keepConnected takes credentials out of Connection, by which a client could
// have a proxy drop them on the way (CVE-2024-45410).
func keepConnected(h http.Header) {
	listed := func(name string) bool { return isCredential(textproto.TrimString(name)) }
	for name, values := range h {
		if !strings.EqualFold(name, "Connection") {
			continue
		}
		names := strings.Split(strings.Join(values, ","), ",")
		switch kept := slices.DeleteFunc(names, listed); len(kept) {
		case len(names):
		case 0:
			delete(h, name)
		default:
			h[name] = []string{strings.Join(kept, ",")}
		}
	}
}
