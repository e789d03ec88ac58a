package remote

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	mediaTypeJSON   = "application/json"
	mediaTypeSigned = "application/token-introspection+jwt" // RFC 9701 §4
	typSigned       = "token-introspection+jwt"             // RFC 9701 §5
)

// Verifier checks the signature of a JWS in compact form against the keys of
// the issuer, with an algorithm that it permits, and returns the payload and
// the typ of the header. It checks no claims. An error that wraps
// [introspect.ErrUnavailable] says that the keys are not to be had.
// Implementations MUST be safe for concurrent use and MUST return when the
// context ends.
type Verifier interface {
	Verify(ctx context.Context, compact []byte) (payload []byte, typ string, err error)
}

// SignedAnswers makes answers be asked for, and taken, in the form of RFC 9701
// alone. Encrypted ones are not read.
type SignedAnswers struct {
	// Verifier has the issuer's keys; nil means answers in JSON.
	Verifier Verifier
	// Audience is who we are in aud; empty means the client id.
	Audience string
}

func (s *SignedAnswers) check(o Options) error {
	switch {
	case s.Verifier == nil:
		return nil
	case o.Issuer == "":
		return errors.New("signed answers need an issuer")
	case s.Audience == "" && o.Authentication.ClientID == "":
		return errors.New("signed answers need an audience or a client id")
	}
	return nil
}

func (i *Introspector) mediaType() string {
	if i.options.Signed.Verifier != nil {
		return mediaTypeSigned
	}
	return mediaTypeJSON
}

// open checks a signed answer (RFC 9701 §5) and returns what it says about the
// token. iat must be close to now: an answer from before a revocation must not
// come back. exp and the other claims of the answer itself mean nothing.
func (i *Introspector) open(ctx context.Context, compact []byte) ([]byte, *failure) {
	payload, typ, err := i.options.Signed.Verifier.Verify(ctx, compact)
	if err != nil {
		f := useless("the signature of the answer is not valid")
		if errors.Is(err, introspect.ErrUnavailable) {
			f = useless("the issuer's keys, to verify the answer with, are not to be had")
		}
		f.cause = err
		return nil, f
	}
	// RFC 7515 §4.1.9: the prefix may be left out.
	if strings.TrimPrefix(strings.ToLower(typ), "application/") != typSigned {
		return nil, useless("the answer is signed as something else: its typ is not %s", typSigned)
	}
	claims, err := introspect.ParseFacts(payload)
	if err != nil {
		return nil, useless("the claims of the signed answer cannot be read: %s", err)
	}
	audience := i.options.Signed.Audience
	if audience == "" {
		audience = i.options.Authentication.ClientID
	}
	now, skew := i.options.Now().Unix(), int64(i.options.Skew.Seconds())
	switch {
	case claims.Issuer != i.options.Issuer:
		return nil, useless("the iss of the signed answer is another issuer")
	case !slices.Contains(claims.Audience, audience):
		return nil, useless("the aud of the signed answer is somebody else")
	case claims.IssuedAt < now-skew, claims.IssuedAt > now+skew:
		return nil, useless("the iat of the signed answer is more than %s from now", i.options.Skew)
	}
	// ParseFacts has refused names that are there twice.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		return nil, useless("the claims of the signed answer cannot be read")
	}
	return members["token_introspection"], nil
}
