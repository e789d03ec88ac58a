package login

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/language"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

func builtIn(t *testing.T) *locales {
	t.Helper()
	l, err := new(source).locales()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Every language has every text. That the arguments are the same is checked
// whenever a file is read.
func TestEveryLanguageIsComplete(t *testing.T) {
	all := builtIn(t).all
	for _, l := range all {
		if len(l.missing) > 0 {
			t.Errorf("%s: missing: %v", l.tag, l.missing)
		}
		for key, m := range l.texts {
			if diff := cmp.Diff(all[0].texts[key].arguments(), m.arguments()); diff != "" {
				t.Errorf("%s: %s: arguments (-en +%s):\n%s", l.tag, key, l.tag, diff)
			}
		}
	}
	if len(all) < 2 {
		t.Error("there is one language alone")
	}
}

func templateFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range slices.Concat(allPages, allLayouts) {
		content, err := embedded.ReadFile(templateRoot + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(content)
	}
	return files
}

// What people read is in the locales alone.
func TestTemplatesHaveNoWords(t *testing.T) {
	markup := regexp.MustCompile(`(?s)\{\{.*?\}\}|<(?:"[^"]*"|[^">])*>`)
	attribute := regexp.MustCompile(`\s(?:alt|title|placeholder|aria-label|aria-description|content)="[^"]*`)
	for name, content := range templateFiles(t) {
		if words := regexp.MustCompile(`\pL+`).FindAllString(markup.ReplaceAllString(content, ""), -1); words != nil {
			t.Errorf("%s: words outside a locale: %v", name, words)
		}
		for _, found := range attribute.FindAllString(content, -1) {
			if !strings.Contains(found, "{{") && !strings.Contains(found, "content=") {
				t.Errorf("%s: words outside a locale: %s", name, found)
			}
		}
	}
}

// Every text is used, and no other is asked for.
func TestEveryTextIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, content := range templateFiles(t) {
		for _, m := range regexp.MustCompile(`\{\{(?:text|richText) "([^"]+)"`).FindAllStringSubmatch(content, -1) {
			used[m[1]] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`(?:text|optional)\("([^"]+)"[,)]|common\(r, "([^"]+)"|backKey: "([^"]+)"`).FindAllStringSubmatch(string(content), -1) {
			used[m[1]+m[2]+m[3]] = true
		}
		for _, m := range regexp.MustCompile(`key(?:: | = )"([a-z_.]*[a-z])"`).FindAllStringSubmatch(string(content), -1) {
			used[m[1]+".title"], used[m[1]+".detail"] = true, true
		}
	}
	texts := builtIn(t).all[0].texts
	for key := range used {
		if texts[key] == nil {
			t.Errorf("%s is used, and there is no such text", key)
		}
	}
	// These are looked up by what comes at run time.
	families := regexp.MustCompile(`^(scope\.[a-z_]+|claim\.[a-z_]+|date\.month_([1-9]|1[0-2])|status\.(400|405|413|500|503)\.(title|detail))$`)
	for key := range texts {
		if !used[key] && !families.MatchString(key) {
			t.Errorf("%s is never used", key)
		}
	}
}

// The claims of OpenID Connect Core §5.1 and the scopes of §5.4 and §11 have words.
func TestStandardNamesHaveWords(t *testing.T) {
	claims := strings.Fields("sub name given_name family_name middle_name nickname preferred_username profile picture website email " +
		"email_verified gender birthdate zoneinfo locale phone_number phone_number_verified address updated_at")
	for _, l := range builtIn(t).all {
		for _, name := range claims {
			if l.optional("claim."+name) == "" {
				t.Errorf("%s: the claim %s", l.tag, name)
			}
		}
		for _, name := range strings.Fields("openid profile email address phone offline_access") {
			if l.optional("scope."+name) == "" {
				t.Errorf("%s: the scope %s", l.tag, name)
			}
		}
	}
	l := builtIn(t).all
	en, ja := l[0], l[slices.IndexFunc(l, func(l *locale) bool { return l.tag == language.Japanese })]
	names := []string{"email", "family_name#ja-Kana-JP", "favourite_tea", "name#", "in_language"}
	if diff := cmp.Diff([]string{"email address", "family name (ja-Kana-JP)", "favourite tea", "full name ()", "in language"}, claimNames(en, names)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"メールアドレス", "姓（ja-Kana-JP）", "favourite tea", "氏名（）", "in language"}, claimNames(ja, names)); diff != "" {
		t.Error(diff)
	}
	day := time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)
	if got := en.date(day) + ", " + ja.date(day); got != "9 March 2026, 2026年3月9日" {
		t.Error(got)
	}
}

func TestComposingTexts(t *testing.T) {
	l := &locale{tag: language.Make("de"), texts: map[string]message{}}
	err := l.add([]byte(`{"plain": "Tag", "two": "{a} und {b}, {a}", "number": {"one": "{count} Tag", "other": "{count} Tage"}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key       string
		arguments []any
		want      string // empty: an error
	}{
		{"plain", nil, "Tag"},
		{"two", []any{"b", "{a}", "a", `<i>"`}, `<i>" und {a}, <i>"`},
		{"number", []any{"count", 1}, "1 Tag"},
		{"number", []any{"count", 0}, "0 Tage"},
		{"number", []any{"count", 21}, "21 Tage"},
		{"number", []any{"count", "some"}, "some Tage"},
		{"missing", nil, ""},
		{"plain", []any{"a", "b"}, ""},
		{"two", []any{"a", "b"}, ""},
		{"two", []any{"a", "b", "b"}, ""},
		{"two", []any{"a", "b", "a", "c", "b", "d"}, ""},
	} {
		got, err := l.compose(c.key, c.arguments, asIs, asIs)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s %v: %q, %v; want %q", c.key, c.arguments, got, err, c.want)
		}
	}
	if got := l.text("missing"); got != "missing" {
		t.Errorf("our own code gets %q for a text that is missing", got)
	}
}

// A folder's locales/xx.json adds a language, or replaces texts.
func TestLocaleFolder(t *testing.T) {
	load := func(files map[string]string) (*pages, error) {
		dir := t.TempDir()
		for name, content := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return loadPages(dir)
	}
	for name, c := range map[string]struct{ file, content, want string }{
		"empty":            {"locales/fr.json", `{}`, ""},
		"a text":           {"locales/fr.json", `{"signin.title": "Connexion"}`, ""},
		"region":           {"locales/pt-BR.json", `{"signin.title": "Entrar"}`, ""},
		"hidden":           {"locales/.keep", ``, ""},
		"of its own":       {"locales/en.json", `{"custom.tea": "There is tea for {guest}."}`, ""},
		"unknown key":      {"locales/fr.json", `{"signin.titel": "x"}`, "locales/fr.json: signin.titel is not the key of a text"},
		"unknown own key":  {"locales/fr.json", `{"custom.tea": "x"}`, "a key of your own begins with custom. and is in en.json too"},
		"unknown in en":    {"locales/en.json", `{"tea": "x"}`, "tea is not the key"},
		"argument missing": {"locales/ja.json", `{"signin.client": "x"}`, `signin.client has the arguments [], and must have ["client"]`},
		"argument unknown": {"locales/en.json", `{"signin.title": "{service}"}`, `signin.title has the arguments ["service"], and must have []`},
		"not closed":       {"locales/fr.json", `{"signin.title": "x {"}`, "does not begin an argument"},
		"not an argument":  {"locales/fr.json", `{"signin.title": "x {0}"}`, "does not begin an argument"},
		"not opened":       {"locales/fr.json", `{"signin.title": "x }"}`, "a } has no {"},
		"blank":            {"locales/fr.json", `{"signin.title": " "}`, "the text is empty"},
		"null":             {"locales/fr.json", `{"signin.title": null}`, "the text is empty"},
		"a number":         {"locales/fr.json", `{"signin.title": 1}`, "expected a text"},
		"plural form":      {"locales/fr.json", `{"signin.throttled": {"some": "x"}}`, `"some" is none of the plural forms`},
		"no other":         {"locales/fr.json", `{"signin.throttled": {"one": "{count}"}}`, `"other" is missing`},
		"no count":         {"locales/fr.json", `{"signin.title": {"one": "x", "other": "y"}}`, "plural forms need the argument {count}"},
		"syntax":           {"locales/fr.json", `{`, "locales/fr.json: unexpected end"},
		"not utf-8":        {"locales/fr.json", "{\"signin.title\": \"\xff\"}", "not UTF-8"},
		"no language":      {"locales/french.json", `{}`, "locales/french.json is not named for a language (RFC 5646)"},
		"spelling":         {"locales/pt-br.json", `{}`, "locales/pt-br.json is not named"},
		"another type":     {"locales/fr.toml", ``, "locales/fr.toml is not named"},
		"not a folder":     {"locales", ``, "locales"},
	} {
		_, err := load(map[string]string{c.file: c.content})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	_, err := load(map[string]string{"signin.html": `{{define "main"}}{{text "custom.tea"}}{{end}}`})
	if err == nil || !strings.Contains(err.Error(), `there is no text "custom.tea"`) {
		t.Errorf("a template with a text that there is not: %v", err)
	}
	p, err := load(map[string]string{
		"locales/he.json": `{"signin.title": "כניסה"}`, "locales/en.json": `{"custom.tea": "Tea", "signin.cancel": "No, thanks"}`,
		"signin.html": `{{define "main"}}{{text "signin.title"}}, {{text "custom.tea"}}, {{text "signin.cancel"}}{{end}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	he := p.locales.choose([]language.Tag{language.Hebrew})
	var b strings.Builder
	view := signInView{common: common{Lang: he.tag.String(), Dir: he.dir(), Display: displayPage}}
	if err := p.template(pageSignIn, &look{locale: he}).Execute(&b, view); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<html lang="he" dir="rtl">`, "כניסה, Tea, No, thanks"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is not in %s", want, b.String())
		}
	}
	if !slices.Contains(he.missing, "signin.password") || slices.Contains(he.missing, "signin.title") {
		t.Errorf("missing: %v", he.missing)
	}
}

// What is told to clients in ui_locales_supported must be true.
func TestSupportedLanguagesHaveTexts(t *testing.T) {
	if err := CheckTemplates("", "ja", "en-GB"); err != nil {
		t.Error(err)
	}
	for _, tag := range []string{"fr", "x y"} {
		if err := CheckTemplates("", "ja", tag); err == nil || !strings.Contains(err.Error(), "locales/"+tag+".json") {
			t.Errorf("%s: %v", tag, err)
		}
	}
}

// client_name#ja and the like (OpenID Connect Registration §2.1).
func TestNamesInTheLanguageOfThePage(t *testing.T) {
	for _, c := range []struct{ page, tagged, want string }{
		{"ja", "", "default"},
		{"ja", "fr=fr ja=ja", "ja"},
		{"en", "fr=fr ja=ja", "default"},
		{"en", "en-GB=gb en=en", "en"},
		{"en", "en-GB=gb", "gb"},
		{"en-GB", "en=en", "en"},
		{"ja", "ja-Kana-JP=kana ja-Hani-JP=hani", "kana"},
		{"ja", "ja-Kana-JP=kana ja-JP=jp", "jp"},
		{"zh-Hant", "zh-CN=cn zh-TW=tw", "tw"},
		{"ja", "not+a+tag=x xx=y JA=ja", "ja"},
		{"ja", "ja=", "default"},
	} {
		var tagged []model.Tagged
		for _, pair := range strings.Fields(c.tagged) {
			tag, value, _ := strings.Cut(pair, "=")
			tagged = append(tagged, model.Tagged{Tag: tag, Value: value})
		}
		if got := inLanguage(&locale{tag: language.Make(c.page)}, "default", tagged); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.page, c.tagged, got, c.want)
		}
	}
}
