package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coreos/go-oidc/v3/oidc"
)

// relyingParty is a client of the server's with a site of its own.
type relyingParty struct {
	site, as string

	mu   sync.Mutex
	got  map[string]url.Values // the last parameters by path
	seen map[string]int        // requests by path
}

// rpPage watches the session by the provider's iframe (OpenID Connect Session
// Management §3.1), and writes down what it hears.
var rpPage = template.Must(template.New("rp").Parse(`<!DOCTYPE html><html lang="en"><title>Client</title>
<h1>{{.Path}}</h1><p id="state">?</p>
<script>
const op = document.createElement("iframe"), as = {{.AS}}, message = {{.Message}}
addEventListener("message", (e) => { if (e.origin === as) document.getElementById("state").textContent = e.data })
// Not before it is there: a message to the empty page that a frame begins with is an error.
op.addEventListener("load", () => setInterval(() => op.contentWindow.postMessage(message, as), 100))
op.hidden = true
op.src = as + "/check_session"
document.body.append(op)
</script>`))

func startRelyingParty(t *testing.T) *relyingParty {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rp := &relyingParty{site: "http://localhost:" + fmt.Sprint(listener.Addr().(*net.TCPAddr).Port), got: map[string]url.Values{}, seen: map[string]int{}}
	server := &http.Server{Handler: rp}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return rp
}

// ServeHTTP notes what comes, and shows a page to browsers.
func (rp *relyingParty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	rp.mu.Lock()
	rp.seen[r.URL.Path]++
	if r.URL.Path != "/favicon.ico" {
		rp.got[r.URL.Path] = r.Form
	}
	state := rp.got["/callback"].Get("session_state")
	rp.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	switch r.URL.Path {
	case "/callback", "/out":
		_ = rpPage.Execute(w, map[string]string{"Path": r.URL.Path, "AS": rp.as, "Message": "rp " + state})
	default:
		w.WriteHeader(http.StatusOK)
	}
}

func (rp *relyingParty) last(t *testing.T, path string) (got url.Values) {
	t.Helper()
	wait(t, "a request for "+path, func() error {
		rp.mu.Lock()
		defer rp.mu.Unlock()
		if got = rp.got[path]; got == nil {
			return fmt.Errorf("none yet; there are %v", rp.seen)
		}
		return nil
	})
	return got
}

const rpClient = `client rp {
				client_secret rp-client-secret
				client_name "A client"
				redirect_uris %[1]s/callback
				post_logout_redirect_uris %[1]s/out
				frontchannel_logout_uri %[1]s/front
				frontchannel_logout_session_required
				backchannel_logout_uri %[1]s/back
				login_uri %[1]s/start
			}`

// TestLogoutInBrowser: Chromium signs in with form_post, watches its session in
// the provider's iframe, and signs out from the client: the front channel loads
// the client's page, the back channel brings a logout token, and the iframe
// notices (Form Post Response Mode §2; Session Management §3; RP-Initiated
// Logout §2; Front-Channel Logout §3; Back-Channel Logout §2.4).
func TestLogoutInBrowser(t *testing.T) {
	rp := startRelyingParty(t)
	s := startOwn(t, caddyfile(t, "clients", fmt.Sprintf(rpClient, rp.site), "gatehouse", "outbound {\n\t\t\tallow 127.0.0.0/8 ::1/128\n\t\t}"))
	rp.as = s.as
	b := newTab(t, s)
	r := newRequest("rp", rp.site+"/callback", "openid orders:read")
	r.Set("response_mode", "form_post")
	b.do("opening", chromedp.Navigate(s.as+"/authorize?"+r.Encode()))
	b.signIn(alice, wonder)
	b.see(s.as+"/consent", "Allow A client?")
	b.click(`button[value=allow]`)
	b.see(rp.site+"/callback", "unchanged")
	answer := rp.last(t, "/callback")
	if answer.Get("state") != r.Get("state") || answer.Get("iss") != s.as {
		t.Fatalf("the client got %v", answer)
	}
	tokens := s.redeem(r, "rp-client-secret", answer.Get("code")).want(t, http.StatusOK)
	access, idToken := tokens.text(t, "access_token"), tokens.text(t, "id_token")
	s.call(access).want(t, http.StatusOK)
	keys := oidc.NewRemoteKeySet(context.Background(), s.as+"/jwks")
	sid := claimsOf(t, keys, idToken)["sid"]

	b.do("the grants", chromedp.Navigate(s.as+"/grants"))
	b.see(s.as+"/grants", "A client")
	if start := evaluate[string](b, `document.querySelector("a[href^='`+rp.site+`']")?.href ?? ""`); !strings.HasPrefix(start, rp.site+"/start?iss="+url.QueryEscape(s.as)) {
		t.Errorf("third-party initiated login (OpenID Connect Core §4): %q", start)
	}

	b.do("signing out", chromedp.Navigate(s.as+"/end_session?"+url.Values{
		"id_token_hint": {idToken}, "post_logout_redirect_uri": {rp.site + "/out"}, "state": {"goodbye"},
	}.Encode()))
	b.see(rp.site+"/out?state=goodbye", "changed")
	if front := rp.last(t, "/front"); front.Get("iss") != s.as || front.Get("sid") != sid {
		t.Errorf("the front channel got %v, want the session %v", front, sid)
	}
	logout := claimsOf(t, keys, rp.last(t, "/back").Get("logout_token"))
	events, _ := logout["events"].(map[string]any)
	if _, ok := events["http://schemas.openid.net/event/backchannel-logout"]; !ok || logout["sid"] != sid || logout["sub"] != alice || logout["aud"] != "rp" || logout["nonce"] != nil {
		t.Errorf("the logout token has %v", logout)
	}
	s.awaitStatus(patience, access, http.StatusUnauthorized)

	// A link from elsewhere must not sign anybody out: the user is asked.
	b.do("signing in again", chromedp.Navigate(s.as+"/grants"))
	b.signIn(alice, wonder)
	b.see(s.as+"/grants", "A client")
	b.do("a bare link", chromedp.Navigate(s.as+"/end_session"))
	b.see(s.as+"/end_session", "Sign out?")
	b.do("still signed in", chromedp.Navigate(s.as+"/grants"))
	b.see(s.as+"/grants", "A client")
	b.do("a bare link", chromedp.Navigate(s.as+"/end_session"))
	b.click("#sign-out")
	b.see(s.as+"/end_session", "You are signed out")
}

// claimsOf verifies a JWT's signature and returns its claims.
func claimsOf(t *testing.T, keys oidc.KeySet, token string) map[string]any {
	t.Helper()
	payload, err := keys.VerifySignature(context.Background(), token)
	if err != nil {
		t.Fatalf("%q: %v", token, err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestPagesInLanguagesAndDisplays: ui_locales, Accept-Language and display
// change the pages, which stay usable for everybody (OpenID Connect Core §3.1.2.1).
func TestPagesInLanguagesAndDisplays(t *testing.T) {
	s := startOwn(t, caddyfile(t))
	for _, c := range []struct{ locales, display, title string }{
		{"ja", "page", "ログイン"}, {"fr ja en", "popup", "ログイン"}, {"en", "popup", "Sign in"}, {"ja", "touch", "ログイン"}, {"en", "touch", "Sign in"}, {"", "", "Sign in"},
	} {
		t.Run(c.locales+" "+c.display, func(t *testing.T) {
			b := newTab(t, s)
			r := newRequest(web, s.app+"/callback", "openid profile email orders:read")
			r.Set("ui_locales", c.locales)
			r.Set("display", c.display)
			name := strings.ReplaceAll(c.locales, " ", "-") + "-" + c.display
			b.do("opening", chromedp.Navigate(s.as+"/authorize?"+r.Encode()))
			b.see(s.as+"/login", c.title)
			b.inspect("sign-in-" + name)
			b.do("signing in", chromedp.SetValue(chromedp.CSS("#username"), alice),
				chromedp.SendKeys(chromedp.CSS("#password"), wonder), chromedp.Click(chromedp.CSS("button.primary")))
			b.see(s.as+"/consent", "Web")
			b.inspect("consent-" + name)
		})
	}
}
