package relyingparty

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// backchannel sends a logout token as a provider does.
func (b *browser) backchannel(token string) *answer {
	b.site.t.Helper()
	return b.do(http.MethodPost, "/.gatehouse/backchannel", url.Values{"logout_token": {token}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// gone sees that a browser's session has ended.
func (b *browser) gone(t *testing.T) {
	t.Helper()
	b.fetch("/").want(t, http.StatusUnauthorized, "login_required")
}

// Signing out (OpenID Connect RP-Initiated Logout §2): the session is over, also
// for who has copied its cookie; its tokens are revoked (RFC 7009); the provider
// is told whose sign-out it is and where to go on.
func TestLogout(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		b := s.signedIn()
		stolen := s.browser()
		stolen.put(b.cookies())
		stolen.fetch("/").want(t, http.StatusOK, "hello")
		end := b.open("/.gatehouse/logout").want(t, http.StatusOK, "id_token_hint")
		q := end.url.Query()
		if end.url.Path != "/end_session" || q.Get("client_id") != "web" || q.Get("post_logout_redirect_uri") != s.http.URL+"/" ||
			strings.Count(q.Get("id_token_hint"), ".") != 2 {
			t.Errorf("%s", end.url)
		}
		if revoked := s.provider.revokedTokens(); len(revoked) != 2 || !strings.HasPrefix(revoked[0], "refresh-") || !strings.HasPrefix(revoked[1], "access-") {
			t.Errorf("revoked: %v", revoked)
		}
		b.gone(t)
		stolen.gone(t)
		b.step("/.gatehouse/logout").want(t, http.StatusSeeOther, "")
		b.open("/").want(t, http.StatusOK, "hello alice")
	})
}

// Other sites cannot sign people out (RP-Initiated Logout §6): they get a page
// that asks, whose form does.
func TestLogoutIsMeant(t *testing.T) {
	s := newSite(t, nil)
	b := s.signedIn()
	for _, c := range []struct {
		method string
		header []string
		out    bool
	}{
		{"GET", []string{"Sec-Fetch-Site", "cross-site"}, false},
		{"GET", []string{"Sec-Fetch-Site", "same-site"}, false},
		{"POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", s.http.URL}, false},
		{"GET", nil, false},
		{"GET", []string{"Origin", "https://app.example.com"}, false},
		{"GET", []string{"Sec-Fetch-Site", "same-origin", "Sec-Purpose", "prefetch;prerender"}, false},
		{"HEAD", []string{"Sec-Fetch-Site", "same-origin"}, false},
		{"POST", []string{"Origin", s.http.URL}, true},
		{"POST", []string{"Sec-Fetch-Site", "same-origin"}, true},
		{"GET", []string{"Sec-Fetch-Site", "same-origin"}, true},
		{"GET", []string{"Sec-Fetch-Site", "none"}, true},
	} {
		a := b.do(c.method, "/.gatehouse/logout", "", c.header...)
		if out := a.url.Path == "/end_session"; out != c.out || !out && c.method != "HEAD" && !strings.Contains(a.body, `<form method="post" action="/.gatehouse/logout">`) {
			t.Errorf("%s %v: %s %s", c.method, c.header, a.url, a.body)
		}
		if c.out {
			b.gone(t)
			b = s.signedIn()
		}
		b.fetch("/").want(t, http.StatusOK, "hello")
	}
	b.do(http.MethodDelete, "/.gatehouse/logout", "").want(t, http.StatusMethodNotAllowed, "")
}

// A provider without a sign-out, or that cannot be asked: the session ends all
// the same, and the page says what has not.
func TestLogoutWithoutProvider(t *testing.T) {
	s := newSite(t, nil)
	s.provider.told(func() { s.provider.metadata = map[string]any{"end_session_endpoint": "", "revocation_endpoint": ""} })
	b := s.signedIn()
	b.open("/.gatehouse/logout").want(t, http.StatusOK, "You are signed out")
	b.gone(t)

	s = newSite(t, nil)
	b = s.signedIn()
	s.provider.told(func() { s.provider.instead["/revoke"] = down["500"] })
	b.open("/.gatehouse/logout").want(t, http.StatusOK, "id_token_hint")
	b.gone(t)
}

// Logout tokens (OpenID Connect Back-Channel Logout §2.6) that are not to be
// believed end nothing; the answer is not to be kept (§2.8).
func TestBackchannelRefusals(t *testing.T) {
	s := newSite(t, nil)
	b := s.signedIn()
	p, now := s.provider, s.clock.now().Unix()
	event := func(value any) map[string]any {
		return map[string]any{"sid": "session-1", "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": value}}
	}
	tokens := map[string]string{
		"neither sub nor sid": p.logoutToken("logout+jwt", nil),
		"a nonce":             p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "nonce": "x"}),
		"no events":           p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "events": nil}),
		"another event":       p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "events": map[string]any{"other": map[string]any{}}}),
		"no object":           p.logoutToken("logout+jwt", event("x")),
		"null":                p.logoutToken("logout+jwt", event(nil)),
		"no jti":              p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "jti": nil}),
		"no iat":              p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "iat": nil}),
		"of tomorrow":         p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "iat": now + 86400, "exp": now + 86500}),
		"no exp":              p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "exp": nil}),
		"expired":             p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "exp": now - 1}),
		"another audience":    p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "aud": "other"}),
		"another issuer":      p.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "iss": "https://other.example.com"}),
		"an access token":     p.logoutToken("at+jwt", map[string]any{"sid": "session-1"}),
		"unsigned":            part(map[string]any{"alg": "none"}) + "." + part(event(map[string]any{})) + ".",
		"empty":               "",
		"endless":             strings.Repeat("x", maxLogoutToken),
	}
	p.told(func() { tokens["an ID token"] = p.idToken(map[string]any{"nonce": "x"}) })
	for name, token := range tokens {
		if a := b.backchannel(token); a.status != 400 || a.header.Get("Cache-Control") != "no-store" || !strings.Contains(a.body, "invalid_request") {
			t.Errorf("%s: %d %v %s", name, a.status, a.header, a.body)
		}
	}
	good := url.Values{"logout_token": {p.logoutToken("logout+jwt", map[string]any{"sid": "session-1"})}}.Encode()
	b.do(http.MethodPost, "/.gatehouse/backchannel", good).want(t, 400, "")
	b.do(http.MethodPost, "/.gatehouse/backchannel", good+"&"+good, "Content-Type", "application/x-www-form-urlencoded").want(t, 400, "")
	b.do(http.MethodGet, "/.gatehouse/backchannel?"+good, "").want(t, http.StatusMethodNotAllowed, "")
	b.fetch("/").want(t, http.StatusOK, "hello alice")
}

// Back-channel logout ends what it names: one session, or all of a person's
// (§2.7), of both kinds, on every node and after a reload. The same token again
// (its jti) ends nothing that began since.
func TestBackchannel(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		first, second := s.signedIn(), s.signedIn()
		s.provider.told(func() { s.provider.subject = "bob" })
		bob := s.browser()
		bob.open("/").want(t, 200, "hello bob")
		s.provider.told(func() { s.provider.subject = "alice" })
		token := s.provider.logoutToken("logout+jwt", map[string]any{"sid": "session-1", "sub": "alice"})
		if a := bob.backchannel(token).want(t, 200, ""); a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", a.header)
		}
		first.gone(t)
		second.fetch("/").want(t, 200, "hello alice")
		all := s.provider.logoutToken("", map[string]any{"sub": "alice"})
		bob.backchannel(all).want(t, 200, "")
		second.gone(t)
		bob.fetch("/").want(t, 200, "hello bob")

		s.clock.move(2 * time.Second)
		first.open("/").want(t, 200, "hello alice")
		for _, again := range []string{token, all} {
			bob.backchannel(again).want(t, 200, "")
		}
		first.fetch("/").want(t, 200, "hello alice")

		there := s.node().browser()
		there.put(first.cookies())
		there.fetch("/").want(t, 200, "hello alice")
		bob.backchannel(s.provider.logoutToken("logout+jwt", map[string]any{"sub": "alice"})).want(t, 200, "")
		s.clock.move(endedLasts + sessionLasts)
		there.gone(t)
		s.load(options{"session": s.handler.Load().Session})
		first.gone(t)
	})
}

// Front-channel logout (OpenID Connect Front-Channel Logout §2) ends the session
// of the browser, if it is the one that is named, and no other.
func TestFrontchannel(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		b := s.signedIn()
		frame := func(q url.Values) *answer {
			return b.do(http.MethodGet, "/.gatehouse/frontchannel?"+q.Encode(), "", "Sec-Fetch-Dest", "iframe")
		}
		iss := s.provider.http.URL
		frame(url.Values{}).want(t, 400, "")
		frame(url.Values{"iss": {"https://other.example.com"}, "sid": {"session-1"}}).want(t, 400, "")
		frame(url.Values{"iss": {iss}}).want(t, 400, "")
		frame(url.Values{"iss": {iss}, "sid": {strings.Repeat("x", maxSID+1)}}).want(t, 400, "")
		frame(url.Values{"iss": {iss}, "sid": {"session-2"}}).want(t, 200, "Signed out")
		b.fetch("/").want(t, 200, "hello alice")
		if a := frame(url.Values{"iss": {iss}, "sid": {"session-1"}}).want(t, 200, "Signed out"); a.header.Get("X-Frame-Options") != "" ||
			strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors") || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", a.header)
		}
		b.gone(t)
	})
}

// The list of ended sessions is bounded: what is too much ends more, not less.
func TestEndedListIsBounded(t *testing.T) {
	e := newSite(t, nil).handler.Load().shared.ended
	const more = 3
	var names listing
	for i := range int64(maxEnded + more) {
		names = append(names, e.folder+"/abc/"+endedKey("sub", strconv.FormatInt(i, 10))+"-"+strconv.FormatInt(i, 36))
	}
	list, err := e.list(t.Context(), names)
	if err != nil || len(list.at) != maxEnded || list.floor != more {
		t.Fatalf("%d entries, floor %d, %v", len(list.at), list.floor, err)
	}
	for _, i := range []int64{0, 1, more - 1, more, more + 1, maxEnded, maxEnded + more - 1} {
		s := &session{ID: "x", Subject: strconv.FormatInt(i, 10), SignedIn: i}
		if ended, err := e.has(t.Context(), names, s); !ended || err != nil {
			t.Errorf("a session that ended at %d goes on: %v", i, err)
		}
	}
	if ended, err := e.has(t.Context(), names, &session{ID: "x", Subject: "x", SignedIn: more}); ended || err != nil {
		t.Errorf("a session that has not ended: %v, %v", ended, err)
	}
}

// listing is a storage in which there are these names.
type listing []string

func (l listing) List(context.Context, string, bool) ([]string, error) { return l, nil }
