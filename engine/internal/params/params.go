// Package params reads the parameters of a protocol request: the text of a
// query or of an application/x-www-form-urlencoded body.
package params

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
)

const (
	// MaxCount bounds the number of parameters.
	MaxCount = 64
	// MaxValue bounds one value, in bytes after decoding.
	MaxValue = 16 << 10
)

// multiple is the one parameter that may be there more than once (RFC 8707 §2).
const multiple = "resource"

// Values are the parameters of one request.
type Values struct {
	pairs []pair
	// repeated are the names that were there more than once.
	repeated []string
}

type pair struct{ name, value string }

// Parse reads the text of a query or a form, of at most that many bytes. A parameter that is there twice
// is refused (RFC 6749 §3.1, §3.2; CVE-2026-9689); one without a value counts
// as absent (the same sections). Unknown parameters are kept, and ignored by
// whoever does not ask for them. What was read comes back with the error, for
// an authorization endpoint that wants to tell the client.
func Parse(text string, most int64) (Values, *oautherr.Error) {
	var v Values
	if int64(len(text)) > most {
		return v, refuse("the request is too long")
	}
	for count := 0; text != ""; {
		var item string
		item, text, _ = strings.Cut(text, "&")
		if item == "" {
			continue
		}
		if count++; count > MaxCount {
			return v, refuse("there are too many parameters")
		}
		name, value, err := decode(item)
		if err != nil {
			return v, err
		}
		if v.named(name) && name != multiple {
			v.repeated = append(v.repeated, name)
			continue
		}
		if v.pairs == nil {
			v.pairs = make([]pair, 0, 8)
		}
		v.pairs = append(v.pairs, pair{name, value})
	}
	if len(v.repeated) > 0 {
		return v, oautherr.Newf(oautherr.InvalidRequest, "the parameter %s is there more than once", printable(v.repeated[0]))
	}
	return v, nil
}

func decode(item string) (name, value string, _ *oautherr.Error) {
	name, value, _ = strings.Cut(item, "=")
	name, nameErr := url.QueryUnescape(name)
	value, valueErr := url.QueryUnescape(value)
	switch {
	case nameErr != nil || valueErr != nil:
		return "", "", refuse("a parameter is not percent-encoded correctly")
	case !utf8.ValidString(name) || !utf8.ValidString(value):
		return "", "", refuse("a parameter is not UTF-8")
	case strings.IndexByte(value, 0) >= 0:
		return "", "", refuse("a parameter contains a NUL character")
	case len(value) > MaxValue:
		return "", "", oautherr.Newf(oautherr.InvalidRequest, "the parameter %s is too long", printable(name))
	}
	return name, value, nil
}

// SetAll puts values in place of those of the same name.
func (v *Values) SetAll(name string, values []string) {
	v.pairs = slices.DeleteFunc(v.pairs, func(p pair) bool { return p.name == name })
	for _, value := range values {
		v.pairs = append(v.pairs, pair{name, value})
	}
}

// Has reports whether the parameter is there: one without a value is not.
func (v Values) Has(name string) bool { return v.Get(name) != "" }

func (v Values) named(name string) bool {
	return slices.ContainsFunc(v.pairs, func(p pair) bool { return p.name == name })
}

// Repeated reports whether the parameter was there more than once.
func (v Values) Repeated(name string) bool {
	return slices.Contains(v.repeated, name)
}

// Get returns a parameter's value, empty when it is absent or has none.
func (v Values) Get(name string) string {
	for _, p := range v.pairs {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// All returns the values of the one parameter that may be repeated, each once.
func (v Values) All(name string) []string {
	var list []string
	for _, p := range v.pairs {
		if p.name == name && p.value != "" && !slices.Contains(list, p.value) {
			list = append(list, p.value)
		}
	}
	return list
}

// Only drops every parameter but those that keep accepts.
func (v *Values) Only(keep func(name string) bool) {
	v.pairs = slices.DeleteFunc(v.pairs, func(p pair) bool { return !keep(p.name) })
}

// List splits a space-separated parameter, each member once, in order.
func (v Values) List(name string) []string { return Split(v.Get(name)) }

// Split splits a space-separated list, each member once, in order.
func Split(text string) []string {
	var list []string
	seen := make(map[string]struct{})
	for _, member := range strings.Split(text, " ") {
		if _, ok := seen[member]; ok || member == "" {
			continue
		}
		seen[member] = struct{}{}
		list = append(list, member)
	}
	return list
}

func refuse(description string) *oautherr.Error {
	return oautherr.New(oautherr.InvalidRequest, description)
}

// printable shortens a name for an error description.
func printable(name string) string {
	if len(name) > 40 {
		name = name[:40] + "..."
	}
	return oautherr.Text(name)
}
