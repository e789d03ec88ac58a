package relyingparty

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
)

// ID tokens that are not meant for this sign-in (OpenID Connect Core §3.1.3.7;
// threats 12 and 13): none begins a session, and the next good one does.
func TestIDTokens(t *testing.T) {
	s := newSite(t, options{"acr_values": []string{"gold", "silver"}, "max_age": "1h"})
	p := s.provider
	claim := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	without := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	now := s.clock.now().Unix()
	for name, change := range map[string]func(map[string]any){
		"good": func(map[string]any) {}, "good, other acr": claim("acr", "silver"), "good, azp": claim("azp", "web"),
		"good, two audiences": func(c map[string]any) { c["aud"], c["azp"] = []string{"web", "api"}, "web" },
		"another nonce":       claim("nonce", "another"), "no nonce": without("nonce"),
		"another audience": claim("aud", "other"), "no audience": without("aud"),
		"two audiences, no azp": claim("aud", []string{"web", "api"}), "another azp": claim("azp", "other"),
		"another issuer": claim("iss", "https://other.example.com"), "no issuer": without("iss"),
		"expired": claim("exp", now-1), "no exp": without("exp"), "no iat": without("iat"), "of tomorrow": claim("iat", now+86400),
		"no sub": without("sub"), "long sub": claim("sub", strings.Repeat("a", 256)), "another at_hash": claim("at_hash", "x"),
		"no acr": without("acr"), "another acr": claim("acr", "bronze"),
		"long ago": claim("auth_time", now-3600-61), "no auth_time": without("auth_time"),
	} {
		t.Run(name, func(t *testing.T) {
			p.told(func() { p.change = func(c map[string]any) { c["acr"] = "gold"; change(c) } })
			s.wantSignIn(t, strings.HasPrefix(name, "good"))
		})
	}
	p.told(func() { p.change = claim("acr", "gold") })
	for name, sign := range map[string]func(map[string]any) string{
		"none":             func(c map[string]any) string { return part(map[string]any{"alg": "none"}) + "." + part(c) + "." },
		"HMAC, public key": s.hmac,
		"another key": func(c map[string]any) string {
			return signed(t, c, jwa.ES256, otherKey(t), map[string]any{"kid": "k1"})
		},
		"another kid":       s.anotherKid,
		"embedded key":      func(c map[string]any) string { return s.embedded(c) },
		"unsigned":          func(c map[string]any) string { return part(c) },
		"empty":             func(map[string]any) string { return "" },
		"signature of half": func(c map[string]any) string { raw := signed(t, c, jwa.ES256, p.key, nil); return raw[:len(raw)-4] },
	} {
		t.Run(name, func(t *testing.T) {
			p.told(func() { p.sign = sign })
			s.wantSignIn(t, false)
		})
	}
	p.told(func() { p.sign = nil })
	s.wantSignIn(t, true)
}

// wantSignIn signs somebody in, or sees it refused with a page.
func (s *site) wantSignIn(t *testing.T, good bool) {
	t.Helper()
	b, before := s.browser(), s.asked()
	a := b.open("/")
	if good {
		a.want(t, http.StatusOK, "hello alice")
		return
	}
	a.want(t, http.StatusBadRequest, "<h1>You have not been signed in</h1>")
	for name := range b.cookies() {
		if strings.Contains(name, "-session") {
			t.Error("there is a session")
		}
	}
	if s.asked() != before {
		t.Error("the application was asked")
	}
}

func part(claims map[string]any) string {
	text, _ := json.Marshal(claims)
	return base64.RawURLEncoding.EncodeToString(text)
}

func otherKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// hmac signs with the provider's public key as everybody can read it.
func (s *site) hmac(c map[string]any) string {
	var public ecdsa.PublicKey
	key, err := s.provider.key.PublicKey()
	if err == nil {
		err = key.Raw(&public)
	}
	der, _ := x509.MarshalPKIXPublicKey(&public)
	if err != nil {
		s.t.Error(err)
	}
	return signed(s.t, c, jwa.HS256, der, map[string]any{"kid": "k1"})
}

// anotherKid signs with the provider's key under a name that it does not have.
func (s *site) anotherKid(c map[string]any) string {
	var raw ecdsa.PrivateKey
	if err := s.provider.key.Raw(&raw); err != nil {
		s.t.Error(err)
	}
	return signed(s.t, c, jwa.ES256, &raw, map[string]any{"kid": "k9"})
}

// embedded signs with a key that comes along in the header.
func (s *site) embedded(c map[string]any) string {
	key := otherKey(s.t)
	public := map[string]any{
		"kty": "EC", "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(key.X.FillBytes(make([]byte, 32))),
		"y": base64.RawURLEncoding.EncodeToString(key.Y.FillBytes(make([]byte, 32))),
	}
	header := part(map[string]any{"alg": "ES256", "kid": "k1", "jwk": public})
	whole := strings.Split(signed(s.t, c, jwa.ES256, key, nil), ".")
	return header + "." + whole[1] + "." + whole[2]
}

// Answers that are another provider's (RFC 9207 §2.4), doubled (threat 8), or
// errors (RFC 6749 §4.1.2.1): a page with a link, no session, no other try by
// itself, and nothing of the provider's text (threat 33).
func TestAnswers(t *testing.T) {
	s := newSite(t, nil)
	p := s.provider
	const script = `<script>alert(1)</script>`
	failure := func(code string) func(url.Values) {
		return func(a url.Values) {
			a.Del("code")
			a.Set("error", code)
			a.Set("error_description", script)
			a.Set("error_uri", "javascript:alert(1)")
		}
	}
	for name, c := range map[string]struct {
		change func(url.Values)
		status int
		title  string
	}{
		"another issuer":          {func(a url.Values) { a.Set("iss", "https://other.example.com") }, 400, "You have not been signed in"},
		"no issuer":               {func(a url.Values) { a.Del("iss") }, 400, "You have not been signed in"},
		"error of another issuer": {func(a url.Values) { failure("access_denied")(a); a.Del("iss") }, 400, "You have not been signed in"},
		"no code":                 {func(a url.Values) { a.Del("code") }, 400, "You have not been signed in"},
		"another code":            {func(a url.Values) { a.Set("code", script) }, 400, "You have not been signed in"},
		"two codes":               {func(a url.Values) { a.Add("code", "x") }, 400, "This address is not complete"},
		"two states":              {func(a url.Values) { a.Add("state", "x") }, 400, "This address is not complete"},
		"much":                    {func(a url.Values) { a.Set("x", strings.Repeat("x", maxAnswerQuery)) }, 400, "This address is not complete"},
		"another state":           {func(a url.Values) { a.Set("state", script) }, 400, "This sign-in is over"},
		"no state":                {func(a url.Values) { a.Del("state") }, 400, "This sign-in is over"},
		"denied":                  {failure("access_denied"), 403, "You have not been signed in"},
		"login required":          {failure("login_required"), 403, "You are not signed in"},
		"down":                    {failure("temporarily_unavailable"), 503, "Signing in is not possible at the moment"},
		"script as error":         {failure(script), 400, "You have not been signed in"},
	} {
		t.Run(name, func(t *testing.T) {
			p.told(func() { p.answer = c.change })
			before := p.count("/authorize")
			a := s.browser().open("/orders").want(t, c.status, "<h1>"+c.title+"</h1>")
			if p.count("/authorize") != before+1 || !strings.Contains(a.body, `href="/.gatehouse/login?return=`) || strings.Contains(a.body, "alert(1)") {
				t.Errorf("%d requests, %s", p.count("/authorize")-before, a.body)
			}
			policy := a.header.Get("Content-Security-Policy")
			for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
				if !strings.Contains(policy, directive) {
					t.Errorf("the policy %q has no %s", policy, directive)
				}
			}
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%v", a.header)
			}
		})
	}
	p.told(func() { p.answer = nil })
	s.wantSignIn(t, true)
	for _, line := range s.logs.All() {
		if text, _ := json.Marshal(line.ContextMap()); strings.Contains(string(text), "alert(1)") {
			t.Errorf("the log has the provider's text: %s", text)
		}
	}
}

// Pages escape what comes from the request (threat 33), and their style is what
// the policy allows.
func TestPagesEscape(t *testing.T) {
	s := newSite(t, nil)
	s.provider.told(func() { s.provider.answer = func(a url.Values) { a.Del("code"); a.Set("error", "access_denied") } })
	a := s.browser().open(`/.gatehouse/login?return=` + url.QueryEscape(`/"><script>alert(1)</script>`))
	if strings.Contains(a.body, "<script") || !strings.Contains(a.body, "return=%2F%22%3E%3Cscript") {
		t.Errorf("%s", a.body)
	}
	_, rest, _ := strings.Cut(a.body, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	if style != pageCSS || style == "" {
		t.Error("the style is not the one of the policy")
	}
}

// Claims of the userinfo endpoint are added to those of the ID token, and change
// none (OpenID Connect Core §5.3.2).
func TestUserInfo(t *testing.T) {
	s := newSite(t, options{"userinfo": true, "forward": []map[string]string{
		{"Claim": "nickname", "Header": "X-Nick"}, {"Claim": "email", "Header": "X-Email"}, {"Claim": "client_id", "Header": "X-Client"}, {"Claim": "big", "Header": "X-Big"},
	}})
	s.signedIn()
	h := s.received()
	if h.Get("X-Nick") != "Al" || h.Get("X-Email") != "alice@example.com" || h.Get("X-Client") != "web" || h.Get("X-Big") != "9007199254740993" {
		t.Errorf("%v", h)
	}
	s.provider.told(func() {
		s.provider.instead["/userinfo"] = func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, map[string]any{"sub": "mallory"}) }
	})
	s.wantSignIn(t, false)
}
