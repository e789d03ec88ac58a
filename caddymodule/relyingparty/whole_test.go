package relyingparty_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
	_ "github.com/gatehouse-auth/gatehouse/caddymodule/relyingparty"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// wholeConfig is a Gatehouse and a web application behind gatehouse_login, in
// one Caddy. The password is wonderland.
const wholeConfig = `{
	default_bind 127.0.0.1
	admin off
	storage file_system %[1]s/caddy
	log {
		output file %[1]s/log
	}
	gatehouse {
		storage sqlite %[1]s/g.db
		outbound {
			allow 127.0.0.0/8 ::1/128
		}
		service {
			issuer http://localhost:%[2]s
			supported_scopes openid profile email offline_access
			access_token_duration 4s
			client web {
				client_secret web-secret
				client_name "Web"
				redirect_uris http://localhost:%[3]s/.gatehouse/callback
				post_logout_redirect_uris http://localhost:%[3]s/bye
				backchannel_logout_uri http://localhost:%[3]s/.gatehouse/backchannel
				frontchannel_logout_uri http://localhost:%[3]s/.gatehouse/frontchannel
				frontchannel_logout_session_required
			}
			account alice {
				password_hash $argon2id$v=19$m=19456,t=2,p=1$YXkal6pvp5uvMZRQbEzY1A$bIhPaV/wQ3d+oOUqCC2uSzz2AbFN0RD+6s5uT2T8bJc
				email alice@example.com
			}
		}
	}
}
http://localhost:%[2]s {
	gatehouse_server
}
http://localhost:%[3]s {
	@app not path /bye
	gatehouse_login @app {
		issuer        http://localhost:%[2]s
		client_id     web
		client_secret web-secret
		origin        http://localhost:%[3]s
		scopes        openid email offline_access
		session       %[4]s
		after_logout  /bye
		userinfo
		forward       sub X-User
		pass_token
	}
	respond /bye goodbye
	respond "user={header.X-User} id={http.auth.user.id} email={http.auth.user.email} token={header.Authorization}"
}
`

// whole is a Caddy in this process, and somebody at a browser.
type whole struct {
	*testing.T
	as, app string
	client  *http.Client
}

func startWhole(t *testing.T, session string) *whole {
	t.Helper()
	as, app := fmt.Sprint(pgtest.FreePort(t)), fmt.Sprint(pgtest.FreePort(t))
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(fmt.Sprintf(wholeConfig, filepath.ToSlash(t.TempDir()), as, app, session)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	w := &whole{T: t, as: "http://localhost:" + as, app: "http://localhost:" + app}
	w.client = w.browser()
	return w
}

func (w *whole) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

type page struct {
	status int
	body   string
	url    *url.URL
}

func (w *whole) send(method, address string, form url.Values, mode string) *page {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		w.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Sec-Fetch-Mode", mode)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := w.client.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return &page{resp.StatusCode, string(body), resp.Request.URL}
}

func (w *whole) open(address string) *page {
	w.Helper()
	return w.send(http.MethodGet, address, nil, "navigate")
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form[^>]* action="([^"]*)"[^>]*>(.*?)</form>`)
	fieldPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// submit sends the first form of a page, with some fields filled in.
func (w *whole) submit(p *page, fields ...string) *page {
	w.Helper()
	match := formPattern.FindStringSubmatch(p.body)
	if match == nil {
		w.Fatalf("%s: %d: no form in %s", p.url, p.status, p.body)
	}
	form := url.Values{}
	for _, field := range fieldPattern.FindAllStringSubmatch(match[2], -1) {
		form.Set(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	action, err := p.url.Parse(html.UnescapeString(match[1]))
	if err != nil {
		w.Fatal(err)
	}
	return w.send(http.MethodPost, action.String(), form, "navigate")
}

// signIn opens a page of the application and goes through the provider's.
func (w *whole) signIn(path string) *page {
	w.Helper()
	p := w.open(w.app + path)
	for range 3 {
		switch {
		case strings.HasPrefix(p.url.String(), w.app):
			return p
		case p.url.Path == "/login":
			p = w.submit(p, "username", "alice", "password", "wonderland")
		case p.url.Path == "/consent":
			p = w.submit(p, "action", "allow")
		}
	}
	w.Fatalf("%s: %d %s", p.url, p.status, p.body)
	return nil
}

// fetch is a script's request to the application.
func (w *whole) fetch() *page {
	w.Helper()
	return w.send(http.MethodGet, w.app+"/", nil, "cors")
}

// await asks until the application answers so.
func (w *whole) await(what string, done func(*page) bool) *page {
	w.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		p := w.fetch()
		if done(p) {
			return p
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s: %d %s", what, p.status, p.body)
		}
	}
}

// A web application behind gatehouse_login with a Gatehouse in the same process,
// which nothing reaches but HTTP: signing in, calls, a refresh, signing out from
// the application, and signing out at the provider, which tells the application
// by the back channel; its front channel finds the browser's session, too.
func TestWithGatehouse(t *testing.T) {
	for _, session := range []string{"cookie", "server"} {
		t.Run(session, func(t *testing.T) {
			w := startWhole(t, session)
			if p := w.fetch(); p.status != 401 || !strings.Contains(p.body, "login_required") {
				t.Fatalf("%d %s", p.status, p.body)
			}
			p := w.signIn("/orders?page=2")
			if p.url.RequestURI() != "/orders?page=2" || !strings.HasPrefix(p.body, "user=alice id=alice email=alice@example.com token=Bearer ") {
				t.Fatalf("%s %s", p.url, p.body)
			}
			_, first, _ := strings.Cut(p.body, "token=")
			w.await("a refresh", func(p *page) bool {
				if p.status != 200 {
					t.Fatalf("%d %s", p.status, p.body)
				}
				return !strings.HasSuffix(p.body, first)
			})

			// The provider's page goes on by itself when its frames are loaded.
			if p := w.open(w.app + "/.gatehouse/logout"); p.url.Path != "/end_session" || !strings.Contains(p.body, `href="`+w.app+`/bye"`) {
				t.Errorf("%s %s", p.url, p.body)
			}
			if p := w.open(w.app + "/bye"); p.body != "goodbye" {
				t.Errorf("%d %s", p.status, p.body)
			}
			if p := w.fetch(); p.status != 401 {
				t.Errorf("signed out: %d %s", p.status, p.body)
			}
			if p := w.open(w.app + "/"); p.url.Path != "/login" {
				t.Errorf("signed out, and at the provider not: %s", p.url)
			}

			w.signIn("/")
			w.signOutAtProvider()
			w.await("the back channel", func(p *page) bool { return p.status == 401 })
		})
	}
}

// signOutAtProvider signs out on the provider's page, which loads no frames here.
func (w *whole) signOutAtProvider() {
	w.Helper()
	p := w.open(w.as + "/end_session")
	p = w.submit(p)
	if !strings.Contains(p.body, html.EscapeString(w.app+"/.gatehouse/frontchannel?iss=")) {
		w.Errorf("the front channel is not asked: %s", p.body)
	}
}

var frame = regexp.MustCompile(`<iframe[^>]* src="([^"]*)"`)

// The provider's sign-out page loads the application's front channel, which ends
// the session of the browser that loads it.
func TestFrontchannelWithGatehouse(t *testing.T) {
	w := startWhole(t, "cookie")
	w.signIn("/")
	p := w.submit(w.open(w.as + "/end_session"))
	match := frame.FindStringSubmatch(p.body)
	if match == nil {
		t.Fatalf("no frame: %s", p.body)
	}
	if p := w.open(html.UnescapeString(match[1])); p.status != 200 || !strings.Contains(p.body, "Signed out") {
		t.Errorf("%d %s", p.status, p.body)
	}
	var refused struct{ Error, Login string }
	if p := w.fetch(); p.status != 401 || json.Unmarshal([]byte(p.body), &refused) != nil || refused.Login != "/.gatehouse/login" {
		t.Errorf("%d %s", p.status, p.body)
	}
}
