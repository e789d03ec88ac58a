package login

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// OpenID Connect Session Management §3: the state that clients compare is that
// of the sign-in, and changes with it.
func TestCheckSession(t *testing.T) {
	other := fmt.Sprintf("other-%d", runs.Add(1))
	e := newEnv(t, DeclaredAccount{Name: other, PasswordHash: cheapHash(password)})
	b := e.browser()
	fits := func(p *page) bool {
		value, until, _ := strings.Cut(b.cookie("-state").Value, ".")
		sum, salt, _ := strings.Cut(p.location.Query().Get("session_state"), ".")
		want := sha256.Sum256([]byte("shop https://client.example " + value + " " + salt))
		return until > fmt.Sprint(e.now().Unix()) && sum == hex.EncodeToString(want[:])
	}
	p := b.authorize()
	if b.cookie("-state") != nil {
		t.Error("there is a state before anybody has signed in")
	}
	first := b.submit(b.signIn(p), "action", "allow")
	if !fits(first) {
		t.Errorf("%s is not the state of %s", b.cookie("-state"), first.location)
	}
	again := b.signIn(b.authorize("prompt", "login"))
	if !fits(again) || fits(first) {
		t.Error("another sign-in of the same user is another state")
	}
	u, _ := url.Parse(e.http.URL)
	for _, lost := range []*http.Cookie{{MaxAge: -1}, {Value: "old"}} {
		lost.Name, lost.Path = e.server.cookies.state, "/"
		b.jar.SetCookies(u, []*http.Cookie{lost})
		if p := b.authorize("prompt", "none"); !fits(p) || !fits(again) {
			t.Error("the state does not come back")
		}
	}
	if got := b.authorize("prompt", "none").header.Values("Set-Cookie"); len(got) > 0 {
		t.Errorf("a state that is right is set again: %s", got)
	}
	bobs := b.submit(b.authorize("prompt", "login"), "username", other, "password", password)
	if bobs = b.submit(bobs, "action", "allow"); !fits(bobs) || fits(again) {
		t.Error("another user's state is another")
	}
	b.submit(b.get("/end_session"))
	if fits(bobs) || b.cookie("-state").Value != signedOutState {
		t.Errorf("after signing out: %s", b.cookie("-state"))
	}
	// A session that ends by itself.
	last := b.signIn(b.authorize())
	e.advance(13 * time.Hour)
	b.authorize("prompt", "none")
	if fits(last) {
		t.Error("the state outlives the session")
	}
}

// Session Management §3.3: the cookie is there for scripts, in frames of other
// sites too, and says nothing.
func TestStateCookie(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://id.example":    "; Path=/; Secure; SameSite=None",
		"http://localhost:8080": "; Path=/; SameSite=Lax",
	} {
		u, _ := url.Parse(issuer)
		c := newCookieNames(u, &model.Service{Issuer: issuer, AuthorizationEndpoint: issuer + "/authorize"}, testPaths)
		w := httptest.NewRecorder()
		now := &session{Session: model.Session{ExpiresAt: 42}}
		now.secret[0] = 7
		now.Hash = now.secret.Hash()
		c.setState(w, httptest.NewRequest(http.MethodGet, "/", nil), now)
		got := w.Header().Get("Set-Cookie")
		if !strings.HasSuffix(got, ".42"+want) || strings.Contains(got, hex.EncodeToString(now.Hash[:4])) {
			t.Errorf("%s: %s", issuer, got)
		}
	}
}

func TestCheckSessionPage(t *testing.T) {
	e := newEnv(t)
	b := e.browser()
	p := b.get("/check_session").want(t, 200, "/check_session", e.server.cookies.state+"=")
	script := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindStringSubmatch(p.body)
	sum := sha256.Sum256([]byte(script[1]))
	policy := directives(p.header.Get("Content-Security-Policy"))
	if policy["script-src"] != "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'" || policy["default-src"] != "'none'" {
		t.Errorf("%v", policy)
	}
	if _, limited := policy["frame-ancestors"]; limited || p.header.Get("X-Frame-Options") != "" {
		t.Error("clients cannot have it in a frame")
	}
	if strings.Contains(script[1], "postMessage(say, \"*\")") || !strings.Contains(script[1], "postMessage(say, e.origin)") {
		t.Error("whoever asks is not the one who is answered")
	}
	if p := b.do(http.MethodPost, "/check_session", nil); p.status != 405 {
		t.Errorf("POST: %d", p.status)
	}
}
