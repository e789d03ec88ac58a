package introspect

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Candidate is one of several authorities, and the tokens that are its own. The
// zero values of Issuers, Prefixes and Shape ask for nothing.
type Candidate struct {
	// Issuers are the iss of its JWTs.
	Issuers []string
	// Prefixes are what its tokens start with.
	Prefixes []string
	// Shape is what its tokens look like.
	Shape Shape
	// Introspector is asked about them.
	Introspector Introspector
}

// Shape tells tokens apart by their look.
type Shape uint8

// The shapes of tokens.
const (
	AnyShape    Shape = iota
	JWTShape          // three parts between dots (RFC 7515 §7.1)
	OpaqueShape       // anything else
)

// Choose returns an introspector that asks the first candidate whose token it
// is, and nobody else, whatever that one says: trying one authority after
// another would show each of them the others' tokens and make one outage
// everybody's. A token of nobody is not active. What a token says about its
// issuer chooses who is asked, and proves nothing. It fails when a candidate
// stands behind one that takes all its tokens.
func Choose(candidates ...Candidate) (Introspector, error) {
	if len(candidates) == 0 {
		return nil, errors.New("there is no introspector to choose from")
	}
	c := &choice{candidates: candidates}
	for i := range candidates {
		c.peek = c.peek || len(candidates[i].Issuers) > 0
		for j := range i {
			if candidates[j].covers(&candidates[i]) {
				return nil, fmt.Errorf("nothing tells the tokens of introspector %d from those of %d before it: give them prefixes, shapes or issuers", i+1, j+1)
			}
		}
	}
	if len(candidates) == 1 && candidates[0].takesAll() {
		return candidates[0].Introspector, nil
	}
	if one := c.one(); one != nil {
		return &remembered{c, one}, nil
	}
	return c, nil
}

// one returns the cache that all candidates stand behind, if they do.
func (c *choice) one() *cached {
	one, _ := c.candidates[0].Introspector.(*cached)
	for i := range c.candidates {
		if other, _ := c.candidates[i].Introspector.(*cached); other != one {
			return nil
		}
	}
	return one
}

// remembered looks into the cache first when there is only one: whose token it
// is need not be found out again, which for a JWT costs more than all the rest.
type remembered struct {
	choice *choice
	only   *cached
}

// Introspect is part of [Introspector].
func (r *remembered) Introspect(ctx context.Context, token string) (*Facts, error) {
	d := r.only.cache.keys.digest(token)
	if facts := r.only.cache.lookup(&d); facts != nil {
		return facts, nil
	}
	if r.choice.find(token) == nil {
		return &Facts{}, nil
	}
	return r.only.cache.ask(ctx, d, token, r.only.from)
}

// covers reports whether every token of the other's would be taken for c's.
func (c *Candidate) covers(other *Candidate) bool {
	jwts := c.Shape != OpaqueShape && (len(c.Issuers) == 0 ||
		len(other.Issuers) > 0 && !slices.ContainsFunc(other.Issuers, func(i string) bool { return !slices.Contains(c.Issuers, i) }))
	opaque := c.Shape != JWTShape && len(c.Issuers) == 0
	prefixes := len(c.Prefixes) == 0 || len(other.Prefixes) > 0 && !slices.ContainsFunc(other.Prefixes, func(p string) bool {
		return !slices.ContainsFunc(c.Prefixes, func(own string) bool { return strings.HasPrefix(p, own) })
	})
	onlyJWTs := other.Shape == JWTShape || len(other.Issuers) > 0
	return prefixes && (jwts || other.Shape == OpaqueShape) && (opaque || onlyJWTs)
}

type choice struct {
	candidates []Candidate
	peek       bool // somebody is chosen by issuer
}

// Introspect is part of [Introspector].
func (c *choice) Introspect(ctx context.Context, token string) (*Facts, error) {
	if candidate := c.find(token); candidate != nil {
		return candidate.Introspector.Introspect(ctx, token)
	}
	return &Facts{}, nil
}

// find returns the candidate whose token it is, nil if it is nobody's.
func (c *choice) find(token string) *Candidate {
	shape, issuer := OpaqueShape, ""
	if strings.Count(token, ".") == 2 {
		shape = JWTShape
		if c.peek {
			issuer = peekIssuer(token)
		}
	}
	for i := range c.candidates {
		if candidate := &c.candidates[i]; candidate.takes(token, shape, issuer) {
			return candidate
		}
	}
	return nil
}

func (c *Candidate) takesAll() bool {
	return len(c.Issuers) == 0 && len(c.Prefixes) == 0 && c.Shape == AnyShape
}

func (c *Candidate) takes(token string, shape Shape, issuer string) bool {
	switch {
	case c.Shape != AnyShape && c.Shape != shape:
		return false
	case len(c.Prefixes) > 0 && !slices.ContainsFunc(c.Prefixes, func(p string) bool { return strings.HasPrefix(token, p) }):
		return false
	}
	return len(c.Issuers) == 0 || slices.Contains(c.Issuers, issuer)
}

// peekIssuer reads the iss of a JWT that nobody has verified; "" if it has none
// that can be read.
func peekIssuer(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	claims, err := parseObject(body)
	if err != nil {
		return ""
	}
	issuer, _ := claims["iss"].(string)
	return issuer
}
