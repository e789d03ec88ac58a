package introspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bounds of the JSON that [ParseFacts] reads.
const (
	MaxFactsBytes = 64 << 10
	maxFactsDepth = 16
)

// ParseFacts reads facts from a JSON object: the answer of an introspection
// endpoint (RFC 7662 §2.2), or the claims of a JWT access token (RFC 9068
// §2.2), which have no active, so that whoever has verified them sets it.
//
// It fails on more than [MaxFactsBytes], on what is nested too deeply, on a
// name that is there twice, and on members of another type than the
// specification's: of two readers of one answer, none may see another token.
// Scopes may also stand in an array, or in scp. Members of Claims are JSON
// values, their numbers [json.Number].
func ParseFacts(body []byte) (*Facts, error) {
	claims, err := parseObject(body)
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	r := factsReader{claims: claims}
	f := &Facts{
		Active: r.boolean("active"),
		Issuer: r.text("iss"), Subject: r.text("sub"), ClientID: r.text("client_id"), TokenType: r.text("token_type"),
		Scopes: r.words("scope", " "), Audience: r.words("aud", ""),
		ExpiresAt: r.time("exp"), IssuedAt: r.time("iat"), AuthTime: r.time("auth_time"),
		Ref: r.ref("gatehouse"),
	}
	if notBefore := r.time("nbf"); notBefore != 0 {
		claims["nbf"] = json.Number(strconv.FormatInt(notBefore, 10)) // a claim like any other, now known to be a time
	}
	if scp := r.words("scp", " "); f.Scopes == nil {
		f.Scopes = scp
	}
	if len(claims) > 0 {
		f.Claims = claims
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	return f, nil
}

// factsReader takes members out of claims and keeps what was wrong with them.
type factsReader struct {
	claims map[string]any
	errs   []error
}

func (r *factsReader) take(name string) (any, bool) {
	v, ok := r.claims[name]
	delete(r.claims, name)
	return v, ok && v != nil
}

func (r *factsReader) fail(name, want string) {
	r.errs = append(r.errs, fmt.Errorf("%s is not %s", name, want))
}

func (r *factsReader) boolean(name string) bool {
	v, ok := r.take(name)
	b, is := v.(bool)
	if ok && !is {
		r.fail(name, "a boolean")
	}
	return b
}

func (r *factsReader) text(name string) string {
	v, ok := r.take(name)
	s, is := v.(string)
	if ok && !is {
		r.fail(name, "a string")
	}
	return s
}

// words reads a string, cut at the separator if there is one, or an array of strings.
func (r *factsReader) words(name, separator string) []string {
	v, ok := r.take(name)
	if !ok {
		return nil
	}
	switch v := v.(type) {
	case string:
		if separator == "" {
			return []string{v}
		}
		return strings.Fields(v)
	case []any:
		if words, ok := allStrings(v); ok {
			return words
		}
	}
	r.fail(name, "a string or an array of strings")
	return nil
}

// time reads a NumericDate (RFC 7519 §2), fractions of a second cut off. One
// that is there is never 0, which would mean that it is not.
func (r *factsReader) time(name string) int64 {
	v, ok := r.take(name)
	if !ok {
		return 0
	}
	number, _ := v.(json.Number)
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil || math.Abs(seconds) >= math.MaxInt64/2 {
		r.fail(name, "a time in seconds")
		return 0
	}
	return max(int64(seconds), 1)
}

// ref reads the names that a Gatehouse engine gives a gateway.
func (r *factsReader) ref(name string) Ref {
	v, ok := r.take(name)
	if !ok {
		return Ref{}
	}
	members, is := v.(map[string]any)
	if !is {
		r.fail(name, "an object")
		return Ref{}
	}
	id := func(member string) int64 {
		text, _ := members[member].(string)
		if text == "" {
			return 0
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			r.fail(name+"."+member, "an id")
		}
		return n
	}
	subject, _ := members["subject"].(string)
	return Ref{Service: id("service"), Token: id("token"), Grant: id("grant"), Client: id("client"), Subject: subject}
}
