package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The constructors below make settings of one kind each. Catalogue entries
// add tab, label and help.

// text is a string property that check accepts.
func text[T any](property, limits string, field func(*T) *string, check func(string) error) Setting[T] {
	return Setting[T]{
		Property: property, Type: "text", Limits: limits,
		parse: oneArg,
		apply: func(t *T, raw json.RawMessage) error {
			var v string
			if decode(raw, &v) != nil {
				return errors.New("expected text")
			}
			if err := check(v); err != nil {
				return err
			}
			*field(t) = v
			return nil
		},
		value: func(t *T) any { return *field(t) },
	}
}

// url is a text property that holds an address.
func url[T any](property string, field func(*T) *string, rule URLRule) Setting[T] {
	s := text(property, rule.String(), field, func(v string) error { return CheckURL(v, rule) })
	s.Type = "URL"
	return s
}

// flag is a boolean property; in a Caddyfile the name alone means true.
func flag[T any](property string, field func(*T) *bool) Setting[T] {
	return Setting[T]{
		Property: property, Type: "true or false",
		parse: parseFlag,
		apply: func(t *T, raw json.RawMessage) error {
			if decode(raw, field(t)) != nil {
				return errors.New("expected true or false")
			}
			return nil
		},
		value: func(t *T) any { return *field(t) },
	}
}

// choice is a boolean property that may be left open.
func choice[T any](property string, field func(*T) **bool) Setting[T] {
	return Setting[T]{
		Property: property, Type: "true or false",
		parse: parseFlag,
		apply: func(t *T, raw json.RawMessage) error {
			var v bool
			if decode(raw, &v) != nil {
				return errors.New("expected true or false")
			}
			*field(t) = &v
			return nil
		},
		value: func(t *T) any {
			if v := *field(t); v != nil {
				return *v
			}
			return nil
		},
	}
}

func parseFlag(args []string) (any, error) {
	if len(args) == 0 {
		return true, nil
	}
	if len(args) == 1 {
		switch args[0] {
		case "true", "on":
			return true, nil
		case "false", "off":
			return false, nil
		}
	}
	return nil, errors.New("expected true or false")
}

// MaxDuration is the longest duration of anything, in seconds: 31.7 million years.
const MaxDuration = 999_999_999_999_999

// seconds is a duration property. A Caddyfile may write 3600 or 1h.
func seconds[T any](property string, smallest, largest int64, field func(*T) *int64) Setting[T] {
	return Setting[T]{
		Property: property, Type: "seconds, or a duration such as 10m",
		Limits: fmt.Sprintf("%d to %d", smallest, largest),
		parse: func(args []string) (any, error) {
			if len(args) != 1 {
				return nil, errors.New("expected one duration")
			}
			return parseSeconds(args[0])
		},
		apply: bounded(smallest, largest, "seconds", field),
		value: func(t *T) any { return *field(t) },
	}
}

func parseSeconds(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d%time.Second != 0 {
		return 0, fmt.Errorf("%q is neither whole seconds nor a duration such as 10m", text)
	}
	return int64(d / time.Second), nil
}

// number is a whole number.
func number[T any](property, unit string, smallest, largest int64, field func(*T) *int64) Setting[T] {
	return Setting[T]{
		Property: property, Type: "number", Limits: fmt.Sprintf("%d to %d %s", smallest, largest, unit),
		parse: func(args []string) (any, error) {
			if len(args) == 1 {
				if n, err := strconv.ParseInt(args[0], 10, 64); err == nil {
					return n, nil
				}
			}
			return nil, errors.New("expected one whole number")
		},
		apply: bounded(smallest, largest, unit, field),
		value: func(t *T) any { return *field(t) },
	}
}

func bounded[T any](smallest, largest int64, unit string, field func(*T) *int64) func(*T, json.RawMessage) error {
	return func(t *T, raw json.RawMessage) error {
		var v int64
		if decode(raw, &v) != nil || v < smallest || v > largest {
			return fmt.Errorf("expected %d to %d %s", smallest, largest, unit)
		}
		*field(t) = v
		return nil
	}
}

// enum is a property with one value of an enumeration.
func enum[T any, E ~string](property string, values []EnumValue, field func(*T) *E) Setting[T] {
	return Setting[T]{
		Property: property, Type: "one of " + wireNames(values),
		parse: func(args []string) (any, error) {
			if len(args) != 1 {
				return nil, fmt.Errorf("expected one of %s", wireNames(values))
			}
			return toAPI(values, args[0])
		},
		wire: func(raw json.RawMessage) (any, error) {
			var v string
			if decode(raw, &v) != nil {
				return nil, fmt.Errorf("expected one of %s", wireNames(values))
			}
			return toAPI(values, v)
		},
		apply: func(t *T, raw json.RawMessage) error {
			var v string
			if decode(raw, &v) != nil {
				return fmt.Errorf("expected one of %s", apiNames(values))
			}
			wire, err := toWire(values, v)
			*field(t) = E(wire)
			return err
		},
		value: func(t *T) any { return string(*field(t)) },
	}
}

// enums is a property with a set of an enumeration's values.
func enums[T any, E ~string](property string, values []EnumValue, field func(*T) *[]E) Setting[T] {
	return Setting[T]{
		Property: property, Type: "any of " + wireNames(values),
		parse: func(args []string) (any, error) {
			if len(args) == 0 {
				return nil, fmt.Errorf("expected any of %s", wireNames(values))
			}
			return allToAPI(values, args)
		},
		wire: func(raw json.RawMessage) (any, error) {
			var list []string
			if decode(raw, &list) != nil {
				return nil, fmt.Errorf("expected a list of %s", wireNames(values))
			}
			return allToAPI(values, list)
		},
		apply: func(t *T, raw json.RawMessage) error {
			var list []string
			if decode(raw, &list) != nil {
				return fmt.Errorf("expected a list of %s", apiNames(values))
			}
			set := make([]E, 0, len(list))
			for _, v := range list {
				wire, err := toWire(values, v)
				if err != nil {
					return err
				}
				if !slices.Contains(set, E(wire)) {
					set = append(set, E(wire))
				}
			}
			*field(t) = set
			return nil
		},
		value: func(t *T) any { return *field(t) },
	}
}

// texts is a property with a list of strings that check accepts.
func texts[T any](property, limits string, most int, field func(*T) *[]string, check func(string) error) Setting[T] {
	return Setting[T]{
		Property: property, Type: "list of text", Limits: fmt.Sprintf("at most %d; each %s", most, limits),
		parse: func(args []string) (any, error) {
			if len(args) == 0 {
				return nil, errors.New("expected at least one value")
			}
			return args, nil
		},
		apply: func(t *T, raw json.RawMessage) error {
			list := []string{}
			if decode(raw, &list) != nil || list == nil {
				return errors.New("expected a list of text")
			}
			if len(list) > most {
				return fmt.Errorf("expected at most %d values", most)
			}
			for _, v := range list {
				if err := check(v); err != nil {
					return fmt.Errorf("%q: %w", v, err)
				}
			}
			*field(t) = list
			return nil
		},
		value: func(t *T) any { return *field(t) },
	}
}

func oneArg(args []string) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("expected one value")
	}
	return args[0], nil
}

func allToAPI(values []EnumValue, wire []string) ([]string, error) {
	list := make([]string, 0, len(wire))
	for _, w := range wire {
		v, err := toAPI(values, w)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func toAPI(values []EnumValue, wire string) (string, error) {
	for _, v := range values {
		if v.Wire == wire {
			return v.API, nil
		}
	}
	return "", fmt.Errorf("%q is not one of %s", wire, wireNames(values))
}

func toWire(values []EnumValue, api string) (string, error) {
	for _, v := range values {
		if v.API == api {
			return v.Wire, nil
		}
	}
	return "", fmt.Errorf("%q is not one of %s", api, apiNames(values))
}

func wireNames(values []EnumValue) string {
	return names(values, func(v EnumValue) string { return v.Wire })
}

func apiNames(values []EnumValue) string {
	return names(values, func(v EnumValue) string { return v.API })
}

func names(values []EnumValue, name func(EnumValue) string) string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = name(v)
	}
	return strings.Join(list, ", ")
}
