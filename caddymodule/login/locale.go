package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// locale is a language that people can read the pages in: its texts, by key.
type locale struct {
	tag     language.Tag
	texts   map[string]message
	missing []string // keys whose text is English
}

// message is a text in the forms that go with a number (Unicode UTS #35 part 3
// §5). Most have one form, and no number.
type message map[plural.Form]phrase

// phrase is a text around its arguments.
type phrase []part

// part is some text, or the name of the argument that stands there.
type part struct{ text, argument string }

// countArgument is the number that chooses between the forms of a message.
const countArgument = "count"

var pluralForms = map[string]plural.Form{
	"zero": plural.Zero, "one": plural.One, "two": plural.Two, "few": plural.Few, "many": plural.Many, "other": plural.Other,
}

// UnmarshalJSON reads a text, or an object with a text for each form.
func (m *message) UnmarshalJSON(raw []byte) error {
	texts := map[string]string{}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		texts["other"] = text
	} else if json.Unmarshal(raw, &texts) != nil {
		return errors.New("expected a text, or an object with a text for each plural form")
	}
	*m = message{}
	for name, text := range texts {
		form, ok := pluralForms[name]
		if !ok {
			return fmt.Errorf("%q is none of the plural forms zero, one, two, few, many and other", name)
		}
		p, err := parsePhrase(text)
		if err != nil {
			return err
		}
		(*m)[form] = p
	}
	if (*m)[plural.Other] == nil {
		return errors.New(`the form "other" is missing`)
	}
	if len(*m) > 1 && !slices.Contains(m.arguments(), countArgument) {
		return fmt.Errorf("plural forms need the argument {%s}", countArgument)
	}
	return nil
}

// parsePhrase reads a text in which {name} stands for an argument.
func parsePhrase(text string) (phrase, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("the text is empty")
	}
	var p phrase
	for text != "" {
		before, rest, found := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return nil, errors.New("a } has no {")
		}
		if before != "" {
			p = append(p, part{text: before})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return nil, errors.New("a { does not begin an argument such as {client}")
		}
		p = append(p, part{argument: name})
		text = after
	}
	return p, nil
}

// arguments are the names of the arguments in all forms, sorted.
func (m message) arguments() []string {
	names := map[string]bool{}
	for _, p := range m {
		for _, piece := range p {
			if piece.argument != "" {
				names[piece.argument] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// form is the one that goes with the count, if there is one.
func (l *locale) form(m message, values map[string]string) phrase {
	if n, err := strconv.Atoi(values[countArgument]); err == nil && len(m) > 1 {
		if p := m[plural.Cardinal.MatchPlural(l.tag, n, 0, 0, 0, 0)]; p != nil {
			return p
		}
	}
	return m[plural.Other]
}

// compose puts arguments, which are name, value, …, into a text. The values
// are not looked at again, whatever is in them.
func (l *locale) compose(key string, arguments []any, text, value func(string) string) (string, error) {
	m, ok := l.texts[key]
	if !ok {
		return "", fmt.Errorf("there is no text %q", key)
	}
	values := map[string]string{}
	for i := 0; i+1 < len(arguments); i += 2 {
		values[fmt.Sprint(arguments[i])] = fmt.Sprint(arguments[i+1])
	}
	if names := slices.Sorted(maps.Keys(values)); len(arguments) != 2*len(names) || !slices.Equal(names, m.arguments()) {
		return "", fmt.Errorf("the text %q has the arguments %q, not %v", key, m.arguments(), arguments)
	}
	var b strings.Builder
	for _, piece := range l.form(m, values) {
		if piece.argument != "" {
			b.WriteString(value(values[piece.argument]))
		} else {
			b.WriteString(text(piece.text))
		}
	}
	return b.String(), nil
}

func asIs(s string) string { return s }

// isolated is a name from elsewhere amid a text: its direction is its own.
func isolated(s string) string { return "<bdi>" + html.EscapeString(s) + "</bdi>" }

// functions are what templates call.
func (l *locale) functions() template.FuncMap {
	return template.FuncMap{
		// text is a text; html/template escapes it for where it stands.
		"text": func(key string, arguments ...any) (string, error) {
			return l.compose(key, arguments, asIs, asIs)
		},
		// richText is a text with each argument in a bdi element, all escaped.
		"richText": func(key string, arguments ...any) (template.HTML, error) {
			s, err := l.compose(key, arguments, html.EscapeString, isolated)
			return template.HTML(s), err
		},
	}
}

// text is for our own code, whose keys and arguments a test holds.
func (l *locale) text(key string, arguments ...any) string {
	s, err := l.compose(key, arguments, asIs, asIs)
	if err != nil {
		return key
	}
	return s
}

// optional is the text of a key that need not be there, and has no arguments.
func (l *locale) optional(key string) string {
	if _, ok := l.texts[key]; !ok {
		return ""
	}
	return l.text(key)
}

// date is a day in words.
func (l *locale) date(t time.Time) string {
	return l.text("date.format", "day", t.Day(), "year", t.Year(), "month", l.text("date.month_"+strconv.Itoa(int(t.Month()))))
}

// rightToLeft are the scripts in use that are written so.
var rightToLeft = []string{"Adlm", "Arab", "Aran", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi"}

// dir is the value of the dir attribute.
func (l *locale) dir() string {
	if script, _ := l.tag.Script(); slices.Contains(rightToLeft, script.String()) {
		return "rtl"
	}
	return "ltr"
}
