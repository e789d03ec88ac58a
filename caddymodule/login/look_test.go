package login

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/language"
)

// inLanguages is a server that has some languages, all in English words.
func inLanguages(tags ...string) *Server {
	var all []*locale
	for _, tag := range tags {
		all = append(all, &locale{tag: language.Make(tag)})
	}
	return &Server{locales: newLocales(all)}
}

// ui_locales, then Accept-Language, then what the service has first (OpenID
// Connect Core §3.1.2.1, RFC 9110 §12.5.4, RFC 4647).
func TestLanguageIsChosen(t *testing.T) {
	long := strings.Repeat("x-a,", maxAcceptLanguage/4)
	for _, c := range []struct{ has, ui, accept, want string }{
		{"en ja", "", "", "en"},
		{"ja en", "", "", "ja"},
		{"en ja", "ja", "", "ja"},
		{"en ja", "", "ja", "ja"},
		{"en ja", "", "ja-JP,ja;q=0.9,en-US;q=0.8,en;q=0.7", "ja"},
		{"en ja", "", "en-US,en;q=0.9,ja;q=0.8", "en"},
		{"en ja", "", "en;q=0.5, ja;q=0.9", "ja"},
		{"en ja", "", "JA", "ja"},
		{"en ja", "en", "ja", "en"},
		{"en ja", "fr", "ja", "ja"},
		{"en ja", "fr ja", "en", "ja"},
		{"en ja", "en-GB ja", "", "en"},
		{"en ja", "ja-JP", "en", "ja"},
		{"en ja", "ja-Hira-JP", "en", "ja"},
		{"en ja", "und mul zxx", "ja", "ja"},
		{"en ja", "not+a+tag 123456789 ja", "", "ja"},
		{"ja en", "fr", "de,*;q=0.1", "ja"},
		{"ja en", "", "*", "ja"},
		{"ja en", "", "en;q=0", "ja"},
		{"en ja", "", "ja;q=x, ,;;,=,ja", "ja"},
		{"en ja", "", "xx-unknown, ja;q=0.1", "ja"},
		{"en ja", "", "fr;q=NaN, ja", "ja"},
		{"en ja", "", long + "ja", "en"},
		{"en ja", "", strings.Repeat("fr,", maxPreferences) + "ja", "en"},
		{"en de", "", "de-AT", "de"},
		{"en de-AT de", "", "de-AT", "de-AT"},
		{"en zh-Hans zh-Hant", "zh-TW", "", "zh-Hant"},
		{"en zh-Hans zh-Hant", "zh-HK", "", "zh-Hant"},
		{"en zh-Hans", "zh-TW", "", "zh-Hans"},
		{"en zh-Hans ja", "zh-TW ja", "", "ja"},
		{"en pt-BR", "pt-PT", "", "pt-BR"},
		{"en no", "nb", "", "no"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if c.accept != "" {
			r.Header.Set("Accept-Language", c.accept)
		}
		got := inLanguages(strings.Fields(c.has)...).lookFor(r, &state{UILocales: boundedTags(strings.Fields(c.ui))})
		if got.locale.tag.String() != c.want {
			t.Errorf("of %s, ui_locales=%s and Accept-Language: %.60s get %s, want %s", c.has, c.ui, c.accept, got.locale.tag, c.want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Accept-Language"] = []string{"fr", "ja"} // one list (RFC 9110 §5.3)
	if got := inLanguages("en", "ja").look(r).locale.tag; got != language.Japanese {
		t.Errorf("two headers: %s", got)
	}
}

func TestLanguagesOfTheService(t *testing.T) {
	all := inLanguages("en", "de", "ja").locales
	for _, c := range []struct{ supported, accept, want string }{
		{"", "ja", "ja"},
		{"ja en", "de", "ja"},
		{"ja en", "en-US", "en"},
		{"en-GB", "ja", "en"},
		{"fr", "ja", "ja"}, // no texts, which is found at the start
		{"fr de", "ja", "de"},
		{"not+a+tag de de-AT", "ja", "de"},
	} {
		if got := all.only(strings.Fields(c.supported)).choose(parseTags([]string{c.accept})).tag.String(); got != c.want {
			t.Errorf("supported %q, asked for %s: %s, want %s", c.supported, c.accept, got, c.want)
		}
	}
}

func TestKeptLanguagesAreBounded(t *testing.T) {
	many := strings.Fields(strings.Repeat("ja ", 100))
	if got := len(boundedTags(many)); got != maxPreferences {
		t.Errorf("%d languages are kept", got)
	}
	if got := boundedTags([]string{"x-" + strings.Repeat("a-", 20) + "a", "ja"}); len(got) != 1 || got[0] != "ja" {
		t.Errorf("kept: %v", got)
	}
}

// wantLook requires a page in a language.
func (p *page) wantLook(t *testing.T, lang, dir, body string) {
	t.Helper()
	for _, text := range []string{`<html lang="` + lang + `" dir="` + dir + `">`, body} {
		if !strings.Contains(p.body, text) {
			t.Errorf("%s: %s is not on the page: %s", p.url, text, p.body)
		}
	}
	if got := p.header.Get("Content-Language"); got != lang {
		t.Errorf("%s: Content-Language: %s", p.url, got)
	}
	if got := p.header.Values("Vary"); len(got) != 1 || got[0] != "Accept-Language" {
		t.Errorf("%s: Vary: %v", p.url, got)
	}
}

// What the client asked for holds for every page until it has its answer,
// whatever the browser prefers.
func TestLanguageStaysThroughAnInteraction(t *testing.T) {
	b := newEnv(t).browser()
	english := []string{"Accept-Language", "en"}
	login := b.authorize("ui_locales", "fr ja", "scope", "openid email orders:read", "claims", `{"id_token":{"email":null}}`)
	login.wantLook(t, "ja", "ltr", "<h1>ログイン</h1>")
	login = b.get(login.url.RequestURI(), english...)
	login.wantLook(t, "ja", "ltr", "<bdi>The &lt;b&gt;Shop&lt;/b&gt;</bdi> に進むには、ログインしてください。")
	action, form := login.form(t)
	form.Set("username", b.user)
	form.Set("password", "wrong")
	b.do(http.MethodPost, action, form, english...).want(t, 422, "/login", "ユーザー名またはパスワードが正しくありません。")
	form.Set("csrf", "wrong")
	b.do(http.MethodPost, action, form, english...).want(t, 403, "/login", "もう一度表示する").wantLook(t, "ja", "ltr", "古くなっています")
	consent := b.signIn(login).want(t, 200, "/consent", "許可する")
	consent.wantLook(t, "ja", "ltr", "<title>The &lt;b&gt;Shop&lt;/b&gt; にアクセスを許可しますか")
	for _, text := range []string{"メールアドレスの閲覧", "<li>メールアドレス</li>", "Read your orders", "許可しない"} {
		if !strings.Contains(consent.body, text) {
			t.Errorf("the consent page does not show %s", text)
		}
	}
	again := b.submit(consent, "action", "switch")
	again.wantLook(t, "ja", "ltr", "現在 <bdi>"+template.HTMLEscapeString(b.user)+"</bdi> として")
	b.wantCode(b.submit(b.signIn(again), "action", "allow"))
	// The next page is nobody's but the browser's.
	b.get("/grants", english...).wantLook(t, "en", "ltr", "Applications with access")
	b.get("/grants", "Accept-Language", "ja").wantLook(t, "ja", "ltr", b.now().UTC().Format("2006年1月2日に許可"))
	b.get("/end_session", "Accept-Language", "ja").wantLook(t, "ja", "ltr", "ログアウトしますか")
}

func TestUnknownDisplayIsAPage(t *testing.T) {
	for _, display := range []string{"", "fax", "Popup", `"><script>`} {
		if got := inLanguages("en").lookFor(httptest.NewRequest(http.MethodGet, "/", nil), &state{Display: display}).display; got != displayPage {
			t.Errorf("display=%s: %s", display, got)
		}
	}
}

func TestServiceWithoutEnglish(t *testing.T) {
	e := newEnv(t)
	e.server.locales = e.server.pages.locales.only([]string{"ja"})
	e.browser().get("/end_session", "Accept-Language", "en").wantLook(t, "ja", "ltr", "ログインしていません")
}

// People read errors in their language, and the engine's words are marked as
// English. What failed inside is not told.
func TestErrorPages(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct {
		lang          string
		status        int
		detail        string
		want, wantNot string
	}{
		{"ja", 400, "The parameter scope is odd.", `<h1>このリクエストには応答できません</h1>`, "Bad"},
		{"ja", 400, "The parameter scope is odd.", `<span lang="en" dir="ltr">The parameter scope is odd.</span>`, "Bad"},
		{"en", 400, "The parameter scope is odd.", `<span lang="en" dir="ltr">The parameter scope is odd.</span>`, "Bad"},
		{"en", 400, "", "<h1>This request cannot be answered</h1>", "Technical"},
		{"en", 405, "this endpoint accepts GET", "<h1>This address cannot do that</h1>", "Bad"},
		{"ja", 503, "the disk at 10.0.0.1 is full", "<h1>サービスが混み合っています</h1>", "disk"},
		{"ja", 500, "the disk at 10.0.0.1 is full", "<h1>エラーが発生しました</h1>", "disk"},
		{"ja", 418, "short", `<span lang="en" dir="ltr">Bad: short</span>`, "status."},
		{"ja", 418, "", `<span lang="en" dir="ltr">Bad</span>`, "status."},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Language", c.lang)
		e.server.ErrorPage(w, r, c.status, "Bad", c.detail)
		if body := w.Body.String(); w.Code != c.status || !strings.Contains(body, c.want) || strings.Contains(body, c.wantNot) ||
			!strings.Contains(body, `<html lang="`+c.lang+`"`) {
			t.Errorf("%s %d %q: %d, want %s and not %s: %s", c.lang, c.status, c.detail, w.Code, c.want, c.wantNot, body)
		}
	}
	b := e.browser()
	b.get("/login?interaction=1", "Accept-Language", "ja").want(t, 400, "/login", "このページは無効になりました")
	b.do(http.MethodPut, "/grants", nil, "Accept-Language", "ja").want(t, 405, "/grants", "この操作はできません")
}

// Threat 33 in texts: neither a locale nor a name in it becomes markup, and a
// name is not taken for an argument.
func TestThreat33LocalesEscape(t *testing.T) {
	const script = `"><script>alert(1)</script>`
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "locales"), 0o700); err != nil {
		t.Fatal(err)
	}
	texts := `{"signin.title": "\"><script>alert(1)</script>", "signin.client": "\"><script>alert(1)</script>{client}", "signin.submit": "'onclick='x"}`
	if err := os.WriteFile(filepath.Join(dir, "locales", "fr.json"), []byte(texts), 0o600); err != nil {
		t.Fatal(err)
	}
	template := `{{define "main"}}<h1 title="{{text "signin.title"}}">{{text "signin.title"}}</h1><p title="{{richText "signin.client" "client" .Client.Name}}">` +
		`{{richText "signin.client" "client" .Client.Name}}</p><p title='{{text "signin.submit"}}'>{{end}}`
	template = strings.ReplaceAll(template, ".Client.Name", ".Name")
	if err := os.WriteFile(filepath.Join(dir, pageSignIn), []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := loadPages(dir)
	if err != nil {
		t.Fatal(err)
	}
	l := &look{locale: p.locales.choose([]language.Tag{language.French})}
	var b strings.Builder
	if err := p.template(pageSignIn, l).Execute(&b, signInView{Name: script + "{client}"}); err != nil {
		t.Fatal(err)
	}
	if body := b.String(); strings.Contains(body, "<script") || strings.Contains(body, "'onclick") || !strings.Contains(body, "{client}</bdi>") {
		t.Error(body)
	}
	// The languages that a request asks for are on no page.
	e := newEnv(t)
	login := e.browser().authorize("ui_locales", "x-evil ja-x-evil")
	if strings.Contains(login.body, "evil") || strings.Contains(login.header.Get("Content-Language"), "evil") {
		t.Errorf("%v %s", login.header, login.body)
	}
}

// display changes the page, and stays through an interaction (OpenID Connect
// Core §3.1.2.1).
func TestDisplay(t *testing.T) {
	for display, want := range map[string]string{"": "page", "page": "page", "popup": "popup", "touch": "touch", "wap": ""} {
		b := newEnv(t).browser()
		login := b.authorize("display", display, "scope", "openid email", "claims", `{"id_token":{"email":null}}`)
		consent := b.signIn(login).want(t, 200, "/consent", "Allow")
		for _, p := range []*page{login, consent, b.submit(consent, "csrf", "wrong").want(t, 403, "/consent", "Show it again")} {
			if want != "" {
				if !strings.Contains(p.body, `<body class="`+want+`">`) || !strings.Contains(p.body, `rel="stylesheet"`) {
					t.Errorf("display=%s: %s", display, p.body)
				}
				continue
			}
			// A feature phone knows neither styles nor HTML 5's elements.
			if found := regexp.MustCompile(`<link|<style|style=|<header|<main|<details|<summary`).FindString(p.body); found != "" {
				t.Errorf("display=%s: %s is on the page: %s", display, found, p.body)
			}
		}
		if !strings.Contains(consent.body, "email address") {
			t.Errorf("display=%s: the claims are not shown: %s", display, consent.body)
		}
		b.wantCode(b.submit(consent, "action", "allow"))
		if p := b.get("/grants"); !strings.Contains(p.body, `<body class="page">`) {
			t.Errorf("the display outlives its interaction: %s", p.body)
		}
	}
}

// A page has the same form, labels and heading whatever its look is.
func TestEveryLookHasTheSameForms(t *testing.T) {
	p, err := loadPages("")
	if err != nil {
		t.Fatal(err)
	}
	skeleton := regexp.MustCompile(`<(?:form|input|button|label|h1)[^>]*>`)
	for _, page := range allPages {
		for i := range samples(page, p.locales.all[0]) {
			var first string
			for _, l := range p.locales.all {
				for _, display := range []string{displayPage, displayPopup, displayTouch, displayWAP} {
					var b strings.Builder
					if err := p.template(page, &look{locale: l, display: display}).Execute(&b, samples(page, l)[i]); err != nil {
						t.Fatal(err)
					}
					got := strings.Join(skeleton.FindAllString(b.String(), -1), "\n")
					if first == "" {
						first = got
					}
					if got != first {
						t.Errorf("%s in %s, display=%s: %s\nwant %s", page, l.tag, display, got, first)
					}
				}
			}
		}
	}
}

// The look is kept in the store, not in the browser.
func TestLookIsInTheStore(t *testing.T) {
	e := newEnv(t)
	b := e.browser()
	login := b.authorize("ui_locales", "ja")
	b.get(login.url.RequestURI()+"&ui_locales=en&display=wap").wantLook(t, "ja", "ltr", `<body class="page">`)
}
