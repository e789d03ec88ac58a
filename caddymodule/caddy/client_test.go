package main_test

import (
	"crypto/rand"
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
	"time"
)

// reply is an answer that has been read.
type reply struct {
	status int
	header http.Header
	body   string
	url    *url.URL // of the request that was answered
}

// json is the body as an object.
func (r *reply) json(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(r.body), &object); err != nil {
		t.Fatalf("status %d, body %q: %v", r.status, r.body, err)
	}
	return object
}

func (r *reply) text(t *testing.T, member string) string {
	t.Helper()
	text, _ := r.json(t)[member].(string)
	return text
}

func (r *reply) want(t *testing.T, status int) *reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("%s: status %d, want %d; body %s; challenge %q", r.url, r.status, status, r.body, r.header.Get("WWW-Authenticate"))
	}
	return r
}

// plain follows no redirect and keeps no cookie.
var plain = &http.Client{
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// try sends a request. Headers are name, value, ….
func try(client *http.Client, method, address, body string, headers ...string) (*reply, error) {
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return &reply{resp.StatusCode, resp.Header, string(text), resp.Request.URL}, err
}

func send(t *testing.T, method, address, body string, headers ...string) *reply {
	t.Helper()
	r, err := try(plain, method, address, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t *testing.T, address string, headers ...string) *reply {
	t.Helper()
	return send(t, http.MethodGet, address, "", headers...)
}

// form is parameters as a form: name, value, ….
func form(pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values.Encode()
}

func basic(client, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(client)+":"+url.QueryEscape(secret)))
}

// post sends a form to an endpoint as a client with a secret; without one, as
// a public client.
func (s *server) post(path, client, secret string, pairs ...string) *reply {
	s.t.Helper()
	if secret == "" {
		return send(s.t, http.MethodPost, s.as+path, form(append(pairs, "client_id", client)...))
	}
	return send(s.t, http.MethodPost, s.as+path, form(pairs...), "Authorization", basic(client, secret))
}

// serviceToken is a token of demo-service.
func (s *server) serviceToken(scope string) string {
	s.t.Helper()
	return s.post("/token", demo, demoSecret, "grant_type", "client_credentials", "scope", scope).
		want(s.t, http.StatusOK).text(s.t, "access_token")
}

// call is a request to the API with a token.
func (s *server) call(token string) *reply {
	s.t.Helper()
	return get(s.t, s.api+"/orders", "Authorization", "Bearer "+token)
}

// revoke ends a token of a client.
func (s *server) revoke(client, secret, token string) {
	s.t.Helper()
	s.post("/revoke", client, secret, "token", token).want(s.t, http.StatusOK)
}

// person is somebody at a browser without JavaScript.
type person struct {
	*server
	t      *testing.T
	client *http.Client
	left   *url.URL // the redirect with which the browser left the server
}

func (s *server) person(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{server: s, t: t}
	p.client = &http.Client{Jar: jar, Timeout: patience, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), s.as+"/") {
			return nil
		}
		p.left = r.URL
		return http.ErrUseLastResponse
	}}
	return p
}

func (p *person) open(address string) *reply {
	p.t.Helper()
	r, err := try(p.client, http.MethodGet, address, "")
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)">(.*?)</form>`)
	fieldPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// submit sends the first form of a page, with some fields filled in.
func (p *person) submit(page *reply, fields ...string) *reply {
	p.t.Helper()
	match := formPattern.FindStringSubmatch(page.body)
	if match == nil {
		p.t.Fatalf("%s: status %d: no form in %s", page.url, page.status, page.body)
	}
	values := url.Values{}
	for _, field := range fieldPattern.FindAllStringSubmatch(match[2], -1) {
		values.Set(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	action, err := page.url.Parse(html.UnescapeString(match[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := try(p.client, http.MethodPost, action.String(), values.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// answer is what the server sent to the client, by way of the browser.
func (p *person) answer() url.Values {
	p.t.Helper()
	if p.left == nil {
		p.t.Fatal("the browser was not sent to the client")
	}
	answer := p.left.Query()
	p.left = nil
	return answer
}

// request is an authorization request as a client makes it.
type request struct {
	url.Values
	verifier string
}

func newRequest(client, redirect, scope string) *request {
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	return &request{url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirect}, "scope": {scope},
		"state": {rand.Text()}, "nonce": {rand.Text()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}, verifier}
}

// authorize goes through the pages as far as they ask, and returns the answer.
func (p *person) authorize(r *request, name, password string) url.Values {
	p.t.Helper()
	page := p.open(p.as + "/authorize?" + r.Encode())
	if page.url.Path == "/login" {
		page = p.submit(page, "username", name, "password", password)
	}
	if page.url.Path == "/consent" {
		p.submit(page, "action", "allow")
	}
	return p.answer()
}

// code is the code that a request is answered with.
func (p *person) code(r *request, name, password string) string {
	p.t.Helper()
	answer := p.authorize(r, name, password)
	if answer.Get("code") == "" || answer.Get("state") != r.Get("state") || answer.Get("iss") != p.as {
		p.t.Fatalf("the answer is %v", answer)
	}
	return answer.Get("code")
}

// redeem changes a code for tokens.
func (s *server) redeem(r *request, secret, code string) *reply {
	s.t.Helper()
	return s.post("/token", r.Get("client_id"), secret, "grant_type", "authorization_code",
		"code", code, "redirect_uri", r.Get("redirect_uri"), "code_verifier", r.verifier)
}

// signIn gets tokens for alice at the client web.
func (p *person) signIn(scope string) map[string]any {
	p.t.Helper()
	r := newRequest(web, p.app+"/callback", scope)
	return p.redeem(r, webSecret, p.code(r, alice, wonder)).want(p.t, http.StatusOK).json(p.t)
}

// awaitStatus waits until the API answers a token with a status.
func (s *server) awaitStatus(limit time.Duration, token string, status int) {
	s.t.Helper()
	within(s.t, limit, "the gateway", func() error {
		if r := s.call(token); r.status != status {
			return &unexpected{r.status, status}
		}
		return nil
	})
}

type unexpected struct{ got, want int }

func (e *unexpected) Error() string {
	return "status " + http.StatusText(e.got) + ", want " + http.StatusText(e.want)
}
