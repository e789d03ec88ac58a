package introspectors

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// tokens says by their look which tokens an introspector is asked about.
type tokens struct {
	// Prefix is what its tokens start with, one of these. Default: depends on
	// the introspector.
	Prefix []string `json:"prefix,omitempty"`
	// Shape is what they look like: jwt or opaque. Default: both, or what the
	// introspector can read.
	Shape string `json:"shape,omitempty"`
}

func (t *tokens) check() error {
	switch t.Shape {
	case "", "jwt", "opaque":
	default:
		return fmt.Errorf("shape: expected jwt or opaque, not %q", t.Shape)
	}
	if slices.Contains(t.Prefix, "") {
		return errors.New("prefix: is empty")
	}
	return nil
}

// takes returns what the operator says, or otherwise what the introspector does.
func (t *tokens) takes(otherwise ...introspect.Candidate) []introspect.Candidate {
	if len(t.Prefix) == 0 && t.Shape == "" {
		return otherwise
	}
	return []introspect.Candidate{{Prefixes: t.Prefix, Shape: map[string]introspect.Shape{
		"jwt": introspect.JWTShape, "opaque": introspect.OpaqueShape,
	}[t.Shape]}}
}

// options reads the options of a block by their names.
type options map[string]func(args []string) error

// unmarshalBlock reads a block of an introspector's own options and those that
// all of them have.
func unmarshalBlock(d *caddyfile.Dispenser, module string, own options, t *tokens, cache *serving.CacheSettings) error {
	for d.NextBlock(0) {
		name, args := d.Val(), d.RemainingArgs()
		if known, err := cache.Unmarshal(d, name, args); known || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		switch {
		case own[name] != nil:
			if err := own[name](args); err != nil {
				return d.Errf("introspector %s: %s: %v", module, name, err)
			}
		case name == "prefix" && len(args) > 0:
			t.Prefix = append(t.Prefix, args...)
		case name == "shape" && len(args) == 1:
			t.Shape = args[0]
		case name == "prefix", name == "shape":
			return d.Errf("introspector %s: %s: wrong number of arguments", module, name)
		default:
			names := slices.Sorted(maps.Keys(own))
			return d.Errf("introspector %s: unknown option %q; expected %s", module, name,
				strings.Join(append(names, "prefix", "shape", "cache_size", "cache_ttl", "cache_negative_ttl"), ", "))
		}
	}
	return nil
}

// The readers of an option's arguments: one, several, none, a duration, a number.

func one(to *string) func([]string) error {
	return func(args []string) error {
		if len(args) != 1 {
			return errors.New("expected one argument")
		}
		*to = args[0]
		return nil
	}
}

func several(to *[]string) func([]string) error {
	return func(args []string) error {
		if len(args) == 0 {
			return errors.New("expected at least one argument")
		}
		*to = append(*to, args...)
		return nil
	}
}

func flag(to *bool) func([]string) error {
	return func(args []string) error {
		if len(args) != 0 {
			return errors.New("expected no arguments")
		}
		*to = true
		return nil
	}
}

func duration(to *caddy.Duration) func([]string) error {
	var text string
	return func(args []string) error {
		if err := one(&text)(args); err != nil {
			return err
		}
		value, err := caddy.ParseDuration(text)
		if err != nil || value <= 0 {
			return fmt.Errorf("expected a duration such as 30s, not %q", text)
		}
		*to = caddy.Duration(value)
		return nil
	}
}

func number(to *int) func([]string) error {
	var text string
	return func(args []string) error {
		if err := one(&text)(args); err != nil {
			return err
		}
		value, err := strconv.Atoi(text)
		if err != nil || value < 1 {
			return fmt.Errorf("expected a number above 0, not %q", text)
		}
		*to = value
		return nil
	}
}

// check puts what is wrong with a module's settings into one error.
func check(module string, errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("introspector %s: %w", module, err)
	}
	return nil
}
