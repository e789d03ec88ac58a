package login

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	maxAcceptLanguage = 1 << 10 // bytes
	maxPreferences    = 16      // languages that are looked at
	maxLanguageTag    = 35      // bytes (RFC 5646 §4.4.1)
)

// The values of display (OpenID Connect Core §3.1.2.1).
const (
	displayPage  = "page"
	displayPopup = "popup"
	displayTouch = "touch"
	displayWAP   = "wap"
)

// look is how the pages of a request are shown: in which language, and for
// what kind of window.
type look struct {
	locale  *locale
	display string
}

type lookKey struct{}

// withLook attaches a look to a request, which is that of the request itself
// until its interaction is known (wear).
func (s *Server) withLook(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), lookKey{}, s.lookFor(r, nil)))
}

// look returns the look of a request.
func (s *Server) look(r *http.Request) *look {
	if known, ok := r.Context().Value(lookKey{}).(*look); ok {
		return known
	}
	return s.lookFor(r, nil)
}

// wear gives a request the look of its interaction.
func (s *Server) wear(r *http.Request, st *state) { *s.look(r) = *s.lookFor(r, st) }

// lookFor: what the client asked for comes before what the browser is set to.
func (s *Server) lookFor(r *http.Request, st *state) *look {
	l := &look{display: displayPage}
	var asked []language.Tag
	if st != nil {
		asked = parseTags(st.UILocales)
		if slices.Contains([]string{displayPopup, displayTouch, displayWAP}, st.Display) {
			l.display = st.Display
		}
	}
	l.locale = s.locales.choose(asked, acceptLanguage(r.Header))
	return l
}

// boundedTags are the languages of a request that are kept.
func boundedTags(tags []string) []string {
	var kept []string
	for _, tag := range tags {
		if len(tag) <= maxLanguageTag && len(kept) < maxPreferences {
			kept = append(kept, tag)
		}
	}
	return kept
}

// parseTags reads ui_locales. Languages that nobody knows are left out.
func parseTags(names []string) []language.Tag {
	var tags []language.Tag
	for _, name := range names {
		if tag, err := language.Parse(name); err == nil {
			tags = append(tags, tag)
		}
	}
	return tags
}

// acceptLanguage reads the header of that name (RFC 9110 §12.5.4), the best
// language first. Entries that make no sense are left out.
func acceptLanguage(h http.Header) []language.Tag {
	text := strings.Join(h.Values("Accept-Language"), ",")
	if len(text) > maxAcceptLanguage {
		return nil
	}
	type weighted struct {
		tag    language.Tag
		weight float32
	}
	var list []weighted
	for entry := range strings.SplitSeq(text, ",") {
		tags, weights, err := language.ParseAcceptLanguage(entry)
		if err == nil && len(tags) == 1 && len(list) < maxPreferences {
			list = append(list, weighted{tags[0], weights[0]})
		}
	}
	slices.SortStableFunc(list, func(a, b weighted) int { return cmp.Compare(b.weight, a.weight) })
	tags := make([]language.Tag, len(list))
	for i, w := range list {
		tags[i] = w.tag
	}
	return tags
}

// choose returns the language for a reader with preferences, of which the
// earlier lists, and the earlier languages in a list, come first.
func (l *locales) choose(preferences ...[]language.Tag) *locale {
	for _, tags := range preferences {
		if i, ok := l.match(tags); ok {
			return l.all[i]
		}
	}
	return l.all[0]
}

// match looks for a language that is wanted, then for one that its reader can
// make out, then for the same language in another script, since that is what
// shortening the tag leads to (RFC 4647 §3.4).
func (l *locales) match(tags []language.Tag) (int, bool) {
	for _, least := range []language.Confidence{language.High, language.Low} {
		for _, tag := range tags {
			if _, i, confidence := l.matcher.Match(tag); confidence >= least {
				return i, true
			}
		}
	}
	for _, tag := range tags {
		if base, certain := tag.Base(); certain == language.Exact {
			if _, i, confidence := l.matcher.Match(language.Make(base.String())); confidence >= language.High {
				return i, true
			}
		}
	}
	return 0, false
}

// inLanguage returns the text for a language among those that have a tag, such
// as client_name#ja (OpenID Connect Registration §2.1), or the one without.
func inLanguage(l *locale, untagged string, tagged []model.Tagged) string {
	var values []string
	var tags []language.Tag
	for _, t := range tagged {
		if tag, err := language.Parse(t.Tag); err == nil && t.Value != "" {
			values, tags = append(values, t.Value), append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return untagged
	}
	if _, i, confidence := language.NewMatcher(tags).Match(l.tag); confidence >= language.High {
		return values[i]
	}
	// ja-Kana-JP is not what the matcher takes for ja, and yet better than nothing.
	base, _ := l.tag.Base()
	for i, tag := range tags {
		if same, _ := tag.Base(); same == base {
			return values[i]
		}
	}
	return untagged
}
