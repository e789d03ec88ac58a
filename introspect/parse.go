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
	r := factsReader{facts: &Facts{}}
	err := readObject(body, &r.jsonReader, r.member)
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	if r.facts.Scopes == nil {
		r.facts.Scopes = r.scp
	}
	return r.facts, nil
}

// factsReader reads the members of an object into facts. It knows the usual
// ones by name, so that a token costs little beside its signature.
type factsReader struct {
	jsonReader
	facts *Facts
	seen  uint16   // a bit for each of known
	scp   []string // scopes, where the issuer calls them so
}

// known are the members that have a field.
var known = [...]string{
	"active", "iss", "sub", "client_id", "token_type", "scope", "scp", "aud", "exp", "iat", "auth_time", "gatehouse",
}

func (r *factsReader) member(name []byte) error {
	for i := range known {
		if string(name) == known[i] {
			if r.seen&(1<<i) != 0 {
				return errTwice
			}
			r.seen |= 1 << i
			if err := r.field(known[i]); err != nil {
				return fmt.Errorf("%s: %w", known[i], err)
			}
			return nil
		}
	}
	if _, twice := r.facts.Claims[string(name)]; twice {
		return errTwice
	}
	v, err := r.value(maxFactsDepth - 1)
	if err != nil {
		return err
	}
	if string(name) == "nbf" && v != nil { // a claim like any other, but surely a time
		seconds, err := toTime(v)
		if err != nil {
			return fmt.Errorf("nbf: %w", err)
		}
		v = json.Number(strconv.FormatInt(seconds, 10))
	}
	if r.facts.Claims == nil {
		r.facts.Claims = make(map[string]any)
	}
	r.facts.Claims[string(name)] = v
	return nil
}

// field reads the value of a known member; null is as good as none.
func (r *factsReader) field(name string) (err error) {
	if r.null() {
		return nil
	}
	f := r.facts
	switch name {
	case "active":
		f.Active, err = r.boolean()
	case "iss":
		f.Issuer, err = r.text()
	case "sub":
		f.Subject, err = r.text()
	case "client_id":
		f.ClientID, err = r.text()
	case "token_type":
		f.TokenType, err = r.text()
	case "scope":
		f.Scopes, err = r.words(strings.Fields)
	case "scp":
		r.scp, err = r.words(strings.Fields)
	case "aud":
		f.Audience, err = r.words(func(s string) []string { return []string{s} })
	case "exp":
		f.ExpiresAt, err = r.time()
	case "iat":
		f.IssuedAt, err = r.time()
	case "auth_time":
		f.AuthTime, err = r.time()
	case "gatehouse":
		f.Ref, err = r.ref()
	}
	return err
}

func (r *factsReader) boolean() (bool, error) {
	v, err := r.value(0)
	b, is := v.(bool)
	if err == nil && !is {
		err = errors.New("not a boolean")
	}
	return b, err
}

func (r *factsReader) text() (string, error) {
	if r.next() != '"' {
		return "", errors.New("not a string")
	}
	return r.string()
}

// words reads a string, cut up, or an array of strings.
func (r *factsReader) words(cut func(string) []string) ([]string, error) {
	if r.next() == '"' {
		s, err := r.string()
		return cut(s), err
	}
	v, err := r.value(1)
	if err != nil {
		return nil, err
	}
	if list, is := v.([]any); is {
		if words, ok := allStrings(list); ok {
			return words, nil
		}
	}
	return nil, errors.New("not a string or an array of strings")
}

// time reads a NumericDate (RFC 7519 §2), fractions of a second cut off. One
// that is there is never 0, which would mean that it is not.
func (r *factsReader) time() (int64, error) {
	v, err := r.value(0)
	if err != nil {
		return 0, err
	}
	return toTime(v)
}

func toTime(v any) (int64, error) {
	number, _ := v.(json.Number)
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil || math.Abs(seconds) >= math.MaxInt64/2 {
		return 0, errors.New("not a time in seconds")
	}
	return max(int64(seconds), 1), nil
}

// ref reads the names that a Gatehouse engine gives a gateway.
func (r *factsReader) ref() (ref Ref, err error) {
	v, err := r.value(1)
	if err != nil {
		return ref, err
	}
	members, is := v.(map[string]any)
	if !is {
		return ref, errors.New("not an object")
	}
	for member, to := range map[string]*int64{"service": &ref.Service, "token": &ref.Token, "grant": &ref.Grant, "client": &ref.Client} {
		text, _ := members[member].(string)
		if text == "" {
			continue
		}
		if *to, err = strconv.ParseInt(text, 10, 64); err != nil {
			return ref, fmt.Errorf("%s is not an id", member)
		}
	}
	ref.Subject, _ = members["subject"].(string)
	return ref, nil
}
