package login

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

const (
	issuer   = "http://localhost:8080"
	callback = "https://client.example/cb"
	// loggedOut is where people go from signing out.
	loggedOut = "https://client.example/out"
	password  = "correct horse battery staple"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

var testPaths = Paths{Login: "/login", Consent: "/consent", Grants: "/grants", EndSession: "/end_session", CheckSession: "/check_session"}

// shared is what all tests use, since keys take half a second to make: an
// engine on a store of its own, with a clock that tests move.
type shared struct {
	store    *sqlite.Store
	engine   *engine.Engine
	service  *model.Service
	accounts atomic.Pointer[Accounts] // of the test that runs
	ahead    atomic.Int64             // of the clock, nanoseconds
	told     chan fetch.Request       // what clients were sent
}

// Get is part of engine.Fetcher.
func (*shared) Get(context.Context, string, ...string) (fetch.Document, error) {
	return fetch.Document{}, fetch.ErrForbidden
}

// Do is part of engine.Fetcher.
func (s *shared) Do(_ context.Context, r fetch.Request) (fetch.Response, error) {
	s.told <- r
	return fetch.Response{Status: http.StatusOK}, nil
}

func (s *shared) Active(ctx context.Context, _ model.ID, subject string) (bool, error) {
	return s.accounts.Load().Active(ctx, subject)
}

func (s *shared) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

var (
	folder string
	runs   atomic.Int64 // makes the names of users differ between runs of a test
)

var house = sync.OnceValues(func() (*shared, error) {
	h := &shared{told: make(chan fetch.Request, 1000)}
	var err error
	h.store, err = sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(folder, "store.db"), SweepInterval: -1})
	if err != nil {
		return nil, err
	}
	raw := func(v any) json.RawMessage { b, _ := json.Marshal(v); return b }
	service, err := model.NewService(model.Settings{
		"issuer": raw(issuer), "serviceName": raw("Example <ID>"),
		"supportedScopes": raw([]model.Scope{{Name: "openid"}, {Name: "profile"}, {Name: "email"}, {Name: "offline_access"},
			{Name: "orders:read", Description: "Read your orders"}, {Name: "orders:write"}}),
	})
	if err != nil {
		return nil, err
	}
	var clients []model.Client
	for alias, settings := range map[string]model.Settings{
		"shop": {"clientName": raw("The <b>Shop</b>"), "clientUri": raw("https://client.example/about"), "redirectUris": raw([]string{callback}),
			"postLogoutRedirectUris": raw([]string{loggedOut, loggedOut + "?a=b", "com.example.shop:/out"}), "loginUri": raw("https://client.example/in?from=as")},
		"framed": {"clientName": raw("Framed"), "redirectUris": raw([]string{callback}), "postLogoutRedirectUris": raw([]string{loggedOut, "com.example.framed:/out"}),
			"frontchannelLogoutUri": raw("https://framed.example/out?a=b"), "frontchannelLogoutSessionRequired": raw(true)},
		"framed2": {"redirectUris": raw([]string{callback}), "frontchannelLogoutUri": raw("https://Framed2.example:8443/out")},
		// Addresses that the catalogue accepts, and that mean something in a policy.
		"odd":  {"redirectUris": raw([]string{callback}), "frontchannelLogoutUri": raw("https://*/out")},
		"odd2": {"redirectUris": raw([]string{callback}), "frontchannelLogoutUri": raw("https://a;script-src'unsafe-inline'/out")},
		"told": {"redirectUris": raw([]string{callback}), "backchannelLogoutUri": raw("https://told.example/out")},
		"mail": {"redirectUris": raw([]string{callback, "com.example.mail:/cb"})},
	} {
		c, err := model.NewClient(alias, settings)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	h.engine, err = engine.New(context.Background(), engine.Options{
		Store: h.store, MasterKey: engine.MasterKey{1}, Subjects: h, Now: h.now, Fetch: h,
		Services: []engine.Declaration{{Service: service, Clients: clients}},
	})
	if err != nil {
		return nil, err
	}
	h.service, _ = h.engine.Service(issuer)
	return h, nil
})

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "gatehouse-login"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// cheapHash is a hash that takes no time to verify.
func cheapHash(password string) string {
	h := phc{memory: 64, time: 1, threads: 1, salt: []byte("saltsalt")}
	normal, err := normalPassword(password)
	if err != nil {
		panic(err)
	}
	h.key = argon2.IDKey(normal, h.salt, h.time, h.memory, h.threads, 32)
	return h.String()
}

// env is a server with accounts of its own, over the shared engine.
type env struct {
	*shared
	t      *testing.T
	server *Server
	http   *httptest.Server
	user   string   // the account that most tests use
	errs   chan any // what Begin and ServePage returned
}

func newEnv(t *testing.T, declared ...DeclaredAccount) *env {
	t.Helper()
	return newEnvOn(t, func(s store.Store) store.Store { return s }, declared...)
}

// newEnvOn is newEnv with something between the server and the store.
func newEnvOn(t *testing.T, wrap func(store.Store) store.Store, declared ...DeclaredAccount) *env {
	t.Helper()
	h, err := house()
	if err != nil {
		t.Fatal(err)
	}
	e := &env{shared: h, t: t, user: fmt.Sprintf("user-%d-%s", runs.Add(1), t.Name()), errs: make(chan any, 100)}
	h.ahead.Store(0)
	declared = append(declared, DeclaredAccount{
		Name: e.user, PasswordHash: cheapHash(password),
		Claims: map[string]json.RawMessage{"email": json.RawMessage(`"user@example.com"`)},
	})
	st := wrap(h.store)
	accounts, err := NewAccounts(st, h.service.ID, declared, NewGuard())
	if err != nil {
		t.Fatal(err)
	}
	accounts.now = h.now
	h.accounts.Store(accounts)
	e.server, err = New(Options{Engine: h.engine, Store: st, Service: h.service, Accounts: accounts, Paths: testPaths})
	if err != nil {
		t.Fatal(err)
	}
	e.http = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.http.Close)
	return e
}

// serve mounts the server as the front does.
func (e *env) serve(w http.ResponseWriter, r *http.Request) {
	var err error
	if r.URL.Path == "/authorize" {
		var a *engine.AuthorizationResponse
		a, err = e.engine.Authorization(r.Context(), e.service.ID, engine.AuthorizationRequest{Parameters: r.URL.RawQuery})
		switch {
		case err != nil:
		case a.Action == model.ActionInteraction || a.Action == model.ActionNoInteraction:
			err = e.server.Begin(w, r, a)
		case a.Action == model.ActionLocation:
			err = seeOther(w, a.ResponseContent)
		default:
			e.server.ErrorPage(w, r, http.StatusBadRequest, "Bad request", a.ResponseContent)
		}
	} else {
		var handled bool
		handled, err = e.server.ServePage(w, r)
		if !handled {
			http.NotFound(w, r)
		}
	}
	if err != nil {
		e.errs <- err
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (e *env) advance(d time.Duration) { e.ahead.Add(int64(d)) }

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
