package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Setting declares one property of a T, a Service or a Client. Everything that
// knows settings – Caddyfile, JSON configuration, discovery, reference page –
// reads this declaration.
type Setting[T any] struct {
	Property string // the name in the Web API: accessTokenDuration
	Tab      string // the page of the console where it is edited
	Label    string
	Help     string // one line
	Metadata string // the member of the discovery document that it feeds
	Type     string // how the value is written, for people
	Limits   string // the bounds, for people
	Required bool
	Secret   bool // never shown again

	parse func(args []string) (any, error)              // the Caddyfile's form
	apply func(*T, json.RawMessage) error               // validates, then sets
	value func(*T) any                                  // for discovery and the reference
	wire  func(json.RawMessage) (any, error)            // metadata of the specifications to a property's value; nil: they are the same
	block func(name string, args []string) (any, error) // an entry of a block, if it has one
}

// Name is the name in a Caddyfile: the snake_case of the property.
func (s *Setting[T]) Name() string { return snake(s.Property) }

// HasBlock reports whether the setting may be written as a block in a Caddyfile.
func (s *Setting[T]) HasBlock() bool { return s.block != nil }

// Parse turns a Caddyfile line's arguments into the property's JSON value.
func (s *Setting[T]) Parse(args []string) (json.RawMessage, error) {
	v, err := s.parse(args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	return json.Marshal(v)
}

// ParseEntry turns one line of a block into an element of the JSON value.
func (s *Setting[T]) ParseEntry(name string, args []string) (json.RawMessage, error) {
	v, err := s.block(name, args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	return json.Marshal(v)
}

// FromMetadata turns a member of a client's metadata (RFC 7591 §2), in the
// names of the specifications, into the property's JSON value.
func (s *Setting[T]) FromMetadata(value json.RawMessage) (json.RawMessage, error) {
	if s.wire == nil {
		return value, nil
	}
	v, err := s.wire(value)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// Apply sets the property from its JSON value, after checking its limits.
func (s *Setting[T]) Apply(t *T, value json.RawMessage) error {
	if err := s.apply(t, value); err != nil {
		return fmt.Errorf("%s: %w", s.Name(), err)
	}
	return nil
}

// Value returns what a T has for the property.
func (s *Setting[T]) Value(t *T) any { return s.value(t) }

// Settings are values by property name, as JSON configuration holds them.
type Settings map[string]json.RawMessage

// Find returns the setting of that name, as it is in a Caddyfile.
func Find[T any](catalogue []Setting[T], name string) (*Setting[T], bool) {
	for i := range catalogue {
		if catalogue[i].Name() == name {
			return &catalogue[i], true
		}
	}
	return nil, false
}

// Names lists the settings as they are written in a Caddyfile.
func Names[T any](catalogue []Setting[T]) []string {
	names := make([]string, len(catalogue))
	for i := range catalogue {
		names[i] = catalogue[i].Name()
	}
	return names
}

// ApplyAll sets every given property, in the catalogue's order. A property
// that no setting declares is an error.
func ApplyAll[T any](catalogue []Setting[T], t *T, values Settings) error {
	known := 0
	for i := range catalogue {
		s := &catalogue[i]
		value, ok := values[s.Property]
		if !ok {
			if s.Required {
				return fmt.Errorf("%s is required", s.Name())
			}
			continue
		}
		known++
		if err := s.Apply(t, value); err != nil {
			return err
		}
	}
	if known == len(values) {
		return nil
	}
	for property := range values {
		if !slices.ContainsFunc(catalogue, func(s Setting[T]) bool { return s.Property == property }) {
			return fmt.Errorf("unknown setting %q", property)
		}
	}
	return nil
}

// snake turns accessTokenDuration into access_token_duration.
func snake(property string) string {
	var b strings.Builder
	for i, r := range property {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// decode reads JSON strictly into v.
func decode(value json.RawMessage, v any) error {
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
