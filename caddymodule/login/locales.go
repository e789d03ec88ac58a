package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

const (
	localeFolder = "locales"
	localeSuffix = ".json"
	// customKeys begin the keys that whoever replaces templates may add.
	customKeys = "custom."
)

// english is the language whose texts are complete by definition.
var english = language.English.String()

// locales are the languages that there are.
type locales struct {
	all     []*locale // the first is for whom there is no better one
	matcher language.Matcher
}

func newLocales(all []*locale) *locales {
	tags := make([]language.Tag, len(all))
	for i, l := range all {
		tags[i] = l.tag
	}
	return &locales{all: all, matcher: language.NewMatcher(tags)}
}

// locales reads every language: the built-in files, and those of the folder,
// which add languages and replace texts.
func (s *source) locales() (*locales, error) {
	names, err := s.localeNames()
	if err != nil {
		return nil, err
	}
	base := &locale{tag: language.English, texts: map[string]message{}}
	if err := s.readLocale(base, nil); err != nil {
		return nil, err
	}
	all := []*locale{base}
	for _, name := range names {
		if name == english {
			continue
		}
		l := &locale{tag: language.Make(name), texts: map[string]message{}}
		if err := s.readLocale(l, base); err != nil {
			return nil, err
		}
		l.complete(base)
		all = append(all, l)
	}
	return newLocales(all), nil
}

// localeNames are the languages for which there is a file.
func (s *source) localeNames() ([]string, error) {
	entries, err := embedded.ReadDir(localeFolder)
	if err != nil {
		return nil, err
	}
	if s.folder != nil {
		own, err := fs.ReadDir(s.folder, localeFolder)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("templates %s: %w", s.name, err)
		}
		entries = append(entries, own...)
	}
	names := map[string]bool{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name, ok := strings.CutSuffix(e.Name(), localeSuffix)
		tag, err := language.Parse(name)
		if !ok || err != nil || tag.String() != name {
			return nil, fmt.Errorf("templates %s: %s/%s is not named for a language (RFC 5646), as %s/fr%s would be",
				s.name, localeFolder, e.Name(), localeFolder, localeSuffix)
		}
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// readLocale reads the built-in texts of a language, then the folder's. The
// keys must be those of base, which is nil for base itself.
func (s *source) readLocale(l, base *locale) error {
	file := localeFolder + "/" + l.tag.String() + localeSuffix
	builtIn, err := fs.ReadFile(embedded, file)
	if err == nil {
		err = l.add(builtIn, base)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", file, err)
	}
	if base == nil {
		base = l
	}
	own, err := s.fromFolder(file)
	if own == nil || err != nil {
		return err
	}
	if err := l.add(own, base); err != nil {
		return fmt.Errorf("templates %s: %s: %w", s.name, file, err)
	}
	return nil
}

// add takes the texts of a file. Their keys and arguments must be those of
// base, so that a template may rely on them in every language; a language
// that is its own base may have keys of its own besides.
func (l *locale) add(file []byte, base *locale) error {
	raw := map[string]json.RawMessage{}
	if err := json.Unmarshal(file, &raw); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		var m message
		if err := m.UnmarshalJSON(raw[key]); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if base != nil {
			want, known := base.texts[key]
			switch {
			case !known && (l != base || !strings.HasPrefix(key, customKeys)):
				return fmt.Errorf("%s is not the key of a text; a key of your own begins with %s and is in %s%s too",
					key, customKeys, english, localeSuffix)
			case known && !slices.Equal(m.arguments(), want.arguments()):
				return fmt.Errorf("%s has the arguments %q, and must have %q", key, m.arguments(), want.arguments())
			}
		}
		l.texts[key] = m
	}
	return nil
}

// complete takes from base what is missing.
func (l *locale) complete(base *locale) {
	for _, key := range slices.Sorted(maps.Keys(base.texts)) {
		if _, ok := l.texts[key]; !ok {
			l.texts[key] = base.texts[key]
			l.missing = append(l.missing, key)
		}
	}
}

// only leaves the languages that a service supports (ui_locales_supported), in
// its order. It leaves all when there are no texts for any.
func (l *locales) only(supported []string) *locales {
	var some []*locale
	for _, tag := range supported {
		if one := l.exactly(tag); one != nil && !slices.Contains(some, one) {
			some = append(some, one)
		}
	}
	if some == nil {
		return l
	}
	return newLocales(some)
}

// exactly returns the texts for a language or another region's variety of it,
// nil if there are none.
func (l *locales) exactly(name string) *locale {
	tag, err := language.Parse(name)
	if err != nil {
		return nil
	}
	if _, i, confidence := l.matcher.Match(tag); confidence >= language.High {
		return l.all[i]
	}
	return nil
}
