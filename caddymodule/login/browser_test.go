package login

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// browser is a browser with cookies, that does not leave the server.
type browser struct {
	*env
	client http.Client
	jar    *cookiejar.Jar
}

func (e *env) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		e.t.Fatal(err)
	}
	b := &browser{env: e, jar: jar}
	b.client = http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), e.http.URL+"/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

// page is what a browser shows, or the redirect with which it left.
type page struct {
	status   int
	url      *url.URL
	header   http.Header
	body     string
	location *url.URL // set when the browser was sent to a client
}

func (b *browser) do(method, path string, form url.Values, header ...string) *page {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, b.http.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &page{status: resp.StatusCode, url: resp.Request.URL, header: resp.Header, body: string(text)}
	if l := resp.Header.Get("Location"); l != "" {
		if p.location, err = url.Parse(l); err != nil {
			b.t.Fatal(err)
		}
	}
	return p
}

func (b *browser) get(path string, header ...string) *page {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil, header...)
}

var (
	formPattern  = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	fieldPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// form returns the address and the hidden fields of the first form.
func (p *page) form(t *testing.T) (string, url.Values) {
	t.Helper()
	action := formPattern.FindStringSubmatch(p.body)
	if action == nil {
		t.Fatalf("status %d: there is no form in %s", p.status, p.body)
	}
	end := strings.Index(p.body, "</form>")
	values := url.Values{}
	for _, field := range fieldPattern.FindAllStringSubmatch(p.body[:end], -1) {
		values.Set(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	return html.UnescapeString(action[1]), values
}

// submit sends the first form of a page with some fields filled in.
func (b *browser) submit(p *page, fields ...string) *page {
	b.t.Helper()
	action, values := p.form(b.t)
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return b.do(http.MethodPost, action, values)
}

// authorize sends the browser to the authorization endpoint. Parameters are
// name, value, …; the rest has defaults.
func (b *browser) authorize(parameters ...string) *page {
	b.t.Helper()
	return b.get(authorizePath(parameters...))
}

func authorizePath(parameters ...string) string {
	challenge := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {"shop"}, "redirect_uri": {callback}, "scope": {"openid"}, "state": {"xyz"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(parameters); i += 2 {
		q.Set(parameters[i], parameters[i+1])
	}
	return "/authorize?" + q.Encode()
}

func (b *browser) signIn(p *page) *page {
	b.t.Helper()
	return b.submit(p, "username", b.user, "password", password)
}

// signedIn is a browser that has signed in and allowed the client.
func (e *env) signedIn() *browser {
	e.t.Helper()
	b := e.browser()
	b.wantCode(b.submit(b.signIn(b.authorize()), "action", "allow"))
	return b
}

func (p *page) want(t *testing.T, status int, path, text string) *page {
	t.Helper()
	if p.status != status || p.url.Path != path || !strings.Contains(p.body, text) {
		t.Fatalf("got status %d at %s, want %d at %s with %q; body: %s", p.status, p.url, status, path, text, p.body)
	}
	return p
}

// wantAnswer requires a redirect to the client, and returns its parameters.
func (b *browser) wantAnswer(p *page) url.Values {
	b.t.Helper()
	if p.status != http.StatusSeeOther || p.location == nil || !strings.HasPrefix(p.location.String(), callback+"?") {
		b.t.Fatalf("got status %d, location %v, body %s; want a redirect to the client", p.status, p.location, p.body)
	}
	if got := p.header.Get("Referrer-Policy") + ", " + p.header.Get("Cache-Control"); got != "no-referrer, no-store" {
		b.t.Errorf("headers of the redirect: %s", got)
	}
	return p.location.Query()
}

func (b *browser) wantCode(p *page) string {
	b.t.Helper()
	answer := b.wantAnswer(p)
	if answer.Get("code") == "" || answer.Get("state") != "xyz" {
		b.t.Fatalf("the client was sent %v, want a code", answer)
	}
	return answer.Get("code")
}

func (b *browser) wantError(p *page, code string) {
	b.t.Helper()
	if got := b.wantAnswer(p).Get("error"); got != code {
		b.t.Fatalf("the client was sent the error %q, want %q", got, code)
	}
}

// cookie returns the first cookie whose name contains part.
func (b *browser) cookie(part string) *http.Cookie {
	u, _ := url.Parse(b.http.URL)
	for _, c := range b.jar.Cookies(u) {
		if strings.Contains(c.Name, part) {
			return c
		}
	}
	return nil
}

// tokens redeems a code for tokens.
func (b *browser) tokens(code string) map[string]any {
	b.t.Helper()
	answer, err := b.engine.Token(context.Background(), b.service.ID, engine.TokenRequest{Parameters: url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {"shop"}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}.Encode()})
	if err != nil {
		b.t.Fatal(err)
	}
	var tokens map[string]any
	if err := json.Unmarshal([]byte(answer.ResponseContent), &tokens); err != nil || answer.Action != model.ActionOK {
		b.t.Fatalf("token: %s %s %v", answer.Action, answer.ResponseContent, err)
	}
	return tokens
}

// claims are those of an ID token.
func claims(t *testing.T, idToken any) map[string]any {
	t.Helper()
	text, _ := idToken.(string)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("%v is no ID token", idToken)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
