package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// list is a property with a list of structures, written as a block in a
// Caddyfile. check also names what must not be there twice.
func list[T, E any](property, kind, limits string, most int, field func(*T) *[]E,
	block func(name string, args []string) (any, error), check func(*E) (key string, err error)) Setting[T] {
	return Setting[T]{
		Property: property, Type: kind, Limits: fmt.Sprintf("at most %d; %s", most, limits),
		parse: func(args []string) (any, error) {
			entries := make([]any, 0, len(args))
			for _, arg := range args {
				entry, err := block(arg, nil)
				if err != nil {
					return nil, err
				}
				entries = append(entries, entry)
			}
			return entries, nil
		},
		block: block,
		apply: func(t *T, raw json.RawMessage) error {
			var entries []E
			if decode(raw, &entries) != nil {
				return errors.New("expected a " + kind)
			}
			if len(entries) > most {
				return fmt.Errorf("expected at most %d entries", most)
			}
			seen := map[string]bool{}
			for i := range entries {
				key, err := check(&entries[i])
				if err != nil {
					return fmt.Errorf("%q: %w", key, err)
				}
				if seen[key] {
					return fmt.Errorf("%q is there twice", key)
				}
				seen[key] = true
			}
			*field(t) = entries
			return nil
		},
		value: func(t *T) any { return *field(t) },
	}
}

// scopes is the property with the scopes of a service. A Caddyfile lists
// names, or a block of names, each with what is to be said of it.
func scopes[T any](property string, field func(*T) *[]Scope) Setting[T] {
	s := list(property, "list of scopes, or a block of scopes with descriptions",
		"each name "+scopeLimits+"; descriptions "+descriptionLimits, maxScopes, field, scopeEntry, checkScopeEntry)
	s.value = func(t *T) any {
		names := []string{}
		for _, scope := range *field(t) {
			names = append(names, scope.Name)
		}
		return names
	}
	return s
}

// scopeEntry reads a line of a block:
//
//	<name> [<description>] [default] [#<language>=<description>] [<attribute>=<value>]
func scopeEntry(name string, args []string) (any, error) {
	scope := Scope{Name: name}
	for len(args) > 0 && scope.option(args[len(args)-1]) {
		args = args[:len(args)-1]
	}
	scope.Description = strings.Join(args, " ")
	slices.Reverse(scope.Descriptions)
	slices.Reverse(scope.Attributes)
	return scope, nil
}

func (s *Scope) option(arg string) bool {
	key, value, found := strings.Cut(arg, "=")
	switch {
	case arg == "default":
		s.Default = true
	case found && strings.HasPrefix(key, "#"):
		s.Descriptions = append(s.Descriptions, Tagged{Tag: key[1:], Value: value})
	case found && key != "" && !strings.Contains(key, " "):
		s.Attributes = append(s.Attributes, Pair{Key: key, Value: value})
	default:
		return false
	}
	return true
}

func checkScopeEntry(s *Scope) (string, error) {
	if err := checkScope(s.Name); err != nil {
		return s.Name, err
	}
	if err := checkText(s.Description, maxDescription); err != nil {
		return s.Name, fmt.Errorf("description: %w", err)
	}
	for _, d := range s.Descriptions {
		if err := checkTagged(d, func(v string) error { return checkText(v, maxDescription) }); err != nil {
			return s.Name, fmt.Errorf("description: %w", err)
		}
	}
	if len(s.Attributes) > maxAttributes {
		return s.Name, fmt.Errorf("more than %d attributes", maxAttributes)
	}
	for _, a := range s.Attributes {
		if err := checkAttribute(a); err != nil {
			return s.Name, err
		}
	}
	return s.Name, nil
}

// checkAttribute accepts a scope's attribute; a duration must be one.
func checkAttribute(a Pair) error {
	if err := checkName(a.Key); err != nil {
		return fmt.Errorf("attribute: %w", err)
	}
	if len(a.Value) > maxASCII {
		return fmt.Errorf("attribute %s: longer than %d bytes", a.Key, maxASCII)
	}
	if strings.HasSuffix(a.Key, ".duration") {
		if _, err := attributeSeconds(a.Value); err != nil {
			return fmt.Errorf("attribute %s: %w", a.Key, err)
		}
	}
	return nil
}

// taggeds is a property with one text in several languages: the language
// beside the text that the property without an s has.
func taggeds[T any](property, limits string, field func(*T) *[]Tagged, check func(string) error) Setting[T] {
	return list(property, "block of languages with their texts", "each "+limits, maxTags, field,
		func(tag string, args []string) (any, error) {
			if len(args) != 1 {
				return nil, errors.New("expected a language and its text")
			}
			return Tagged{Tag: tag, Value: args[0]}, nil
		},
		func(t *Tagged) (string, error) { return t.Tag, checkTagged(*t, check) })
}

func checkTagged(t Tagged, check func(string) error) error {
	if err := checkLanguage(t.Tag); err != nil {
		return err
	}
	return check(t.Value)
}

// document is a JSON object that is given as itself or as text, and kept as text.
func document[T any](property, limits string, field func(*T) *string, check func(string) error) Setting[T] {
	s := text(property, limits, field, check)
	s.Type = "JSON"
	apply := s.apply
	s.apply = func(t *T, raw json.RawMessage) error {
		if len(raw) > 0 && raw[0] == '{' {
			raw, _ = json.Marshal(string(raw)) // a string can always be written
		}
		return apply(t, raw)
	}
	s.wire = func(raw json.RawMessage) (any, error) {
		if len(raw) == 0 || raw[0] != '{' {
			return nil, errors.New("expected a JSON object")
		}
		return string(raw), nil
	}
	return s
}

// scopeWords is a list of scopes that metadata has as one text (RFC 7591 §2).
func scopeWords[T any](property string, field func(*T) *[]string) Setting[T] {
	s := texts(property, scopeLimits, maxScopes, field, checkScope)
	s.wire = func(raw json.RawMessage) (any, error) {
		var v string
		if decode(raw, &v) != nil {
			return nil, errors.New("expected scopes with spaces between them")
		}
		return append([]string{}, strings.Fields(v)...), nil
	}
	return s
}

// responseTypeSet is enums for response types, whose members may come in any order.
func responseTypeSet[T any](property string, field func(*T) *[]ResponseType) Setting[T] {
	s := enums(property, responseTypes, field)
	inOrder := func(args []string) []string {
		for i, arg := range args {
			if t, ok := ParseResponseType(arg); ok {
				args[i] = string(t)
			}
		}
		return args
	}
	parse := s.parse
	s.parse = func(args []string) (any, error) { return parse(inOrder(slices.Clone(args))) }
	s.wire = func(raw json.RawMessage) (any, error) {
		var v []string
		if decode(raw, &v) != nil {
			return nil, errors.New("expected a list of " + wireNames(responseTypes))
		}
		return allToAPI(responseTypes, inOrder(v))
	}
	return s
}
