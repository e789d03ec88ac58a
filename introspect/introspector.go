package introspect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Introspector tells what a token is. Implementations MUST be safe for
// concurrent use and MUST return when the context ends.
//
// Of a token that is unknown, expired or revoked it returns Facts whose Active
// is false, and no error. An error means that it could not find out. It vouches
// that the token is an access token: a refresh token or an ID token is not
// active here, whatever else it is good for. With no error, the facts are not
// nil, and nobody changes them any more.
//
// Those of this package are put together: a [Cache] over what asks, [Choose]
// over several authorities.
type Introspector interface {
	Introspect(ctx context.Context, token string) (*Facts, error)
}

// IntrospectorFunc makes a function an [Introspector].
type IntrospectorFunc func(ctx context.Context, token string) (*Facts, error)

// Introspect calls the function.
func (f IntrospectorFunc) Introspect(ctx context.Context, token string) (*Facts, error) {
	return f(ctx, token)
}

// ErrUnavailable is in every error of this package's lookups: nobody could be
// asked about the token, or no answer could be trusted. It says nothing about
// the token, so the answer to the client is 503, never 401 and never 200.
var ErrUnavailable = errors.New("token introspection is unavailable")

// unavailable wraps a cause in ErrUnavailable. A cause whose text quotes the
// token is replaced by its text with the token's digest in place of it, since
// tokens reach neither logs nor errors.
func unavailable(cause error, token string) error {
	text := cause.Error()
	clean := text
	for _, spelled := range [...]string{token, url.QueryEscape(token), url.PathEscape(token)} {
		if spelled != "" {
			clean = strings.ReplaceAll(clean, spelled, "token:"+Digest8(token))
		}
	}
	switch {
	case clean != text:
		cause = errors.New(clean)
	case errors.Is(cause, ErrUnavailable):
		return cause
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, cause)
}

// Digest8 names a token in logs: the first 8 hexadecimal characters of its
// SHA-256. It is too short to look a token up by and long enough to follow one.
func Digest8(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:4])
}
