package login

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/caddymodule/errorlog"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

func TestHeadersOfEveryPage(t *testing.T) {
	b := newEnv(t).browser()
	login := b.authorize()
	pages := map[string]*page{"sign in": login, "consent": b.signIn(login), "grants": b.get("/grants"), "sign out": b.get("/end_session"), "error": b.get("/consent")}
	for name, p := range pages {
		csp := p.header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: %s is not in the policy %s", name, part, csp)
			}
		}
		leaves := name == "sign in" || name == "consent"
		if strings.Contains(csp, "form-action 'self'") == leaves || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %s", name, csp)
		}
		for header, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8",
			"Content-Language": "en", "Vary": "Accept-Language"} {
			if got := p.header.Get(header); got != want {
				t.Errorf("%s: %s: %s, want %s", name, header, got, want)
			}
		}
		for what, pattern := range map[string]string{
			"one h1": `^[^\x00]*<h1>[^\x00]*</h1>[^\x00]*$`, "a language": `<html lang="en" dir="ltr">`, "a title": `<title>[^<]+ · Example &lt;ID&gt;</title>`,
			"a viewport": `name="viewport"`,
		} {
			if !regexp.MustCompile(pattern).MatchString(p.body) || strings.Count(p.body, "<h1") != 1 {
				t.Errorf("%s: there is not %s", name, what)
			}
		}
		if regexp.MustCompile(`<script|<style| style=| on[a-z]+=|http-equiv`).MatchString(p.body) {
			t.Errorf("%s: something that the policy forbids: %s", name, p.body)
		}
	}
	// Whoever asks for a page without a client ends here.
	if csp := b.browser().get("/grants").header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self'") {
		t.Errorf("a sign-in without a client: policy %s", csp)
	}
}

func TestStylesheet(t *testing.T) {
	b := newEnv(t).browser()
	href := regexp.MustCompile(`<link rel="stylesheet" href="([^"]*)">`).FindStringSubmatch(b.get("/end_session").body)
	p := b.get(href[1])
	if p.status != 200 || p.header.Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(p.header.Get("Cache-Control"), "immutable") ||
		!strings.Contains(p.body, "prefers-color-scheme") {
		t.Errorf("%d %v", p.status, p.header)
	}
	if got := b.get("/login/style.css?v=old").header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("another version: Cache-Control: %s", got)
	}
}

func TestTemplateFolder(t *testing.T) {
	write := func(files map[string]string) string {
		dir := t.TempDir()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	for name, test := range map[string]struct{ folder, want string }{
		"missing":       {"/does/not/exist", "no such file"},
		"misspelt":      {write(map[string]string{"sign-in.html": ""}), "sign-in.html is not a file that is used here; those are consent.html"},
		"syntax":        {write(map[string]string{"signin.html": "{{define"}), "signin.html"},
		"unknown field": {write(map[string]string{"signin.html": `{{define "main"}}{{.Nmae}}{{end}}`}), "Nmae"},
		"no main":       {write(map[string]string{"grants.html": `x`}), `"main"`},
		"context":       {write(map[string]string{"consent.html": `{{define "main"}}<a href={{.Account}}{{end}}`}), "in attribute name"},
		"not utf-8":     {write(map[string]string{"style.css": "\xff"}), "style.css"},
		"empty":         {write(nil), ""},
		"hidden":        {write(map[string]string{".gitignore": "x"}), ""},
	} {
		_, err := loadPages(test.folder)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	p, err := loadPages(write(map[string]string{"message.html": `{{define "main"}}<h1>Oh: {{.Title}}</h1>{{end}}`, "style.css": "body{}"}))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.template(pageMessage, &look{locale: p.locales.all[0]}).Execute(&b, messageView{common: common{Title: "no"}}); err != nil || !strings.Contains(b.String(), "<h1>Oh: no</h1>") || string(p.style) != "body{}" {
		t.Errorf("%v %s", err, b.String())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	e := newEnv(t)
	good := Options{Engine: e.engine, Store: e.store, Service: e.service, Accounts: e.server.accounts, Paths: testPaths}
	for name, change := range map[string]func(*Options){
		"is needed":   func(o *Options) { o.Accounts = nil },
		"too short":   func(o *Options) { o.SessionDuration = -1 },
		"login page":  func(o *Options) { o.Paths.Login = "login" },
		"same path":   func(o *Options) { o.Paths.Grants = "/login" },
		"consent":     func(o *Options) { o.Paths.Consent = "/consent?x" },
		"end session": func(o *Options) { o.Paths.EndSession = "//evil" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCookieNames(t *testing.T) {
	names := map[string]string{}
	for issuer, want := range map[string]struct {
		prefix, path, authorize string
		secure                  bool
	}{
		"http://localhost:8080":     {"gatehouse-", "/", "/authorize", false},
		"http://localhost:8081":     {"gatehouse-", "/", "/authorize", false},
		"https://id.example":        {"__Host-gatehouse-", "/", "/authorize", true},
		"https://id.example/tenant": {"__Secure-gatehouse-", "/tenant", "/tenant/authorize", true},
		"https://id.example/other":  {"__Host-gatehouse-", "/", "/elsewhere/authorize", true},
	} {
		u, _ := url.Parse(issuer)
		p := testPaths
		for _, path := range []*string{&p.Login, &p.Consent, &p.Grants, &p.EndSession, &p.CheckSession} {
			*path = u.Path + *path
		}
		c := newCookieNames(u, &model.Service{Issuer: issuer, AuthorizationEndpoint: u.Scheme + "://" + u.Host + want.authorize}, p)
		if !strings.HasPrefix(c.session, want.prefix) || c.path != want.path || c.secure != want.secure {
			t.Errorf("%s: %+v", issuer, c)
		}
		if other := names[c.session]; other != "" {
			t.Errorf("%s has the cookie of %s", issuer, other)
		}
		names[c.session] = issuer
		w := httptest.NewRecorder()
		c.setSession(w, "x")
		got := w.Result().Cookies()[0]
		if !got.HttpOnly || got.Secure != want.secure || got.SameSite != http.SameSiteLaxMode || got.Path != want.path || got.Domain != "" {
			t.Errorf("%s: %s", issuer, got)
		}
	}
}

// Passwords, cookies, codes and tickets are in no log line.
func TestThreat34NoSecretsInLogs(t *testing.T) {
	e := newEnv(t)
	var lines bytes.Buffer
	e.server.log = errorlog.New(zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&lines), zap.DebugLevel)))
	b := e.browser()
	login := b.authorize()
	b.submit(login, "username", "typed-"+password, "password", "typed-wrong").want(t, 422, "/login", "")
	code := b.wantCode(b.submit(b.signIn(login), "action", "allow"))
	log := lines.String()
	if !strings.Contains(log, `"signed in"`) || !strings.Contains(log, `"sign-in failed"`) {
		t.Errorf("what happened is not in the log: %s", log)
	}
	for _, secret := range []string{password, "typed", code, b.cookie("-session").Value, "gt_", "gl_", "gs_", "gc_"} {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log: %s", secret, log)
		}
	}
}
