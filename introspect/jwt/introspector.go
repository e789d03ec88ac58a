package jwt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// Introspector says what the JWT access tokens of one issuer are. It remembers
// none: that is for an [introspect.Cache] in front. It is safe for concurrent
// use.
type Introspector struct {
	options Options
	keys    *KeySet
}

// New returns an introspector, which its owner closes. It fails on options that
// make no sense, and opens and fetches nothing.
func New(options Options) (*Introspector, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("JWT introspection: %w", err)
	}
	keys, err := NewKeySet(o.Source)
	if err != nil {
		return nil, err
	}
	o.Source = keys.source
	return &Introspector{options: o, keys: keys}, nil
}

// Introspect is part of [introspect.Introspector]. A token that is malformed,
// another issuer's or meant for somebody else, of another type, not valid now,
// or not signed with one of the issuer's keys, is not active. Every error wraps
// [introspect.ErrUnavailable] and means that the keys could not be had; no
// error's text has any of the token in it.
//
// The client is client_id (RFC 9068 §2.2), and where issuers name it otherwise,
// the first of azp, cid and appid.
func (i *Introspector) Introspect(ctx context.Context, token string) (*introspect.Facts, error) {
	facts, err := i.verify(ctx, token)
	if errors.Is(err, ErrInvalid) {
		return &introspect.Facts{}, nil
	}
	return facts, err
}

// verify goes through RFC 9068 §4. The signature comes before the claims: they
// are read only if the issuer wrote them.
func (i *Introspector) verify(ctx context.Context, token string) (*introspect.Facts, error) {
	t, err := parse(token, i.options.MaxToken, &i.keys.headers)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(i.options.Types, t.typ) {
		return nil, fmt.Errorf("%w: type", ErrInvalid)
	}
	if err := i.keys.verify(ctx, t); err != nil {
		return nil, err
	}
	facts, err := introspect.ParseFacts(t.payload)
	if err != nil {
		return nil, fmt.Errorf("%w: claims", ErrInvalid)
	}
	complete(facts)
	if err := i.judge(facts, t.typ); err != nil {
		return nil, err
	}
	return facts, nil
}

// Status tells how it is with the issuer's keys.
func (i *Introspector) Status() Status { return i.keys.Status() }

// Close ends a fetch under way and waits for it. Later ones do not begin:
// tokens that need one are unavailable, the others as before.
func (i *Introspector) Close() { i.keys.Close() }

var _ introspect.Introspector = (*Introspector)(nil)
