package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	issuer   = "https://as.example.com"
	redirect = "https://app.example.com/cb"
	verifier = "a-verifier-of-at-least-forty-three-characters-for-pkce"
	// longSecret is long enough for every HMAC (RFC 7518 §3.2).
	longSecret = "a-client-secret-of-more-than-sixty-four-characters-which-HS512-asks-for"
)

// house is an engine on a store of its own, with a clock that tests move.
type house struct {
	testing.TB
	engine  *engine.Engine
	store   store.Store
	service *model.Service
	users   *users
	web     *web
	options engine.Options
	*watch
}

// watch is an engine's clock, and what it has reported.
type watch struct {
	mu     sync.Mutex
	now    time.Time
	events []model.Event
}

// users is a user directory: everyone but those who were disabled.
type users struct{ disabled sync.Map }

func (u *users) Active(_ context.Context, _ model.ID, subject string) (bool, error) {
	_, disabled := u.disabled.Load(subject)
	return !disabled, nil
}

// open makes an engine with the usual clients; settings override the service's.
func open(t testing.TB, settings model.Settings) *house {
	t.Helper()
	return openWith(t, settings, nil)
}

// openWith is open with more clients, or other ones of the same names.
func openWith(t testing.TB, settings model.Settings, clients map[string]model.Settings) *house {
	t.Helper()
	return openOn(t, newStore(t), declareWith(t, issuer, settings, clients))
}

func openOn(t testing.TB, st store.Store, services ...engine.Declaration) *house {
	t.Helper()
	h := &house{TB: t, store: st, users: new(users), web: newWeb(), watch: &watch{now: time.Now().Truncate(time.Second)}}
	h.options = engine.Options{
		Store: st, MasterKey: masterKey, Services: services,
		Subjects: h.users, Now: h.clock, Observe: h.observe, Fetch: h.web,
	}
	e, err := engine.New(t.Context(), h.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	h.engine = e
	h.service, _ = e.Service(services[0].Service.Issuer)
	return h
}

func declare(t testing.TB, issuer string, settings model.Settings) engine.Declaration {
	t.Helper()
	return declareWith(t, issuer, settings, nil)
}

// declareWith declares a service with the usual clients and others, none by nil.
func declareWith(t testing.TB, issuer string, settings model.Settings, clients map[string]model.Settings) engine.Declaration {
	t.Helper()
	all := model.Settings{
		"issuer":          raw(issuer),
		"supportedScopes": raw([]model.Scope{{Name: "openid"}, {Name: "profile"}, {Name: "email"}, {Name: "offline_access"}, {Name: "orders:read"}, {Name: "orders:write"}}),
	}
	for property, value := range settings {
		all[property] = value
	}
	service, err := model.NewService(all)
	if err != nil {
		t.Fatal(err)
	}
	d := engine.Declaration{Service: service}
	declared := map[string]model.Settings{
		"spa":     {"redirectUris": raw([]string{redirect})},
		"spa2":    {"redirectUris": raw([]string{redirect})},
		"web":     {"redirectUris": raw([]string{redirect}), "clientSecret": raw("web-secret")},
		"web2":    {"redirectUris": raw([]string{redirect}), "clientSecret": raw("web2-secret")},
		"service": {"clientSecret": raw("service-secret"), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"})},
		"post": {"clientSecret": raw("post-secret"), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"}),
			"tokenAuthMethod": raw("CLIENT_SECRET_POST"), "requestableScopes": raw([]string{"orders:read"})},
		"es":    {"redirectUris": raw([]string{redirect}), "clientSecret": raw("es-secret"), "idTokenSignAlg": raw("ES256")},
		"eddsa": {"redirectUris": raw([]string{redirect}), "clientSecret": raw("ed-secret"), "idTokenSignAlg": raw("EdDSA")},
	}
	for alias, settings := range clients {
		declared[alias] = settings
	}
	for alias, settings := range declared {
		d.Clients = append(d.Clients, newClient(t, alias, settings))
	}
	return d
}

// newClient makes a client; without redirect_uris and grants it has the usual
// redirect address.
func newClient(t testing.TB, alias string, settings model.Settings) model.Client {
	t.Helper()
	all := model.Settings{}
	if settings["grantTypes"] == nil {
		all["redirectUris"] = raw([]string{redirect})
	}
	for property, value := range settings {
		all[property] = value
	}
	client, err := model.NewClient(alias, all)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// on is the house with another test to report to.
func (h *house) on(t testing.TB) *house {
	other := *h
	other.TB = t
	return &other
}

func (w *watch) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watch) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *watch) observe(e model.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *watch) seen(kind model.EventKind) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// sweep removes every row that has expired.
func (h *house) sweep() {
	h.Helper()
	for {
		removed, err := h.store.Sweep(h.Context(), h.clock(), 1000)
		if err != nil {
			h.Fatal(err)
		}
		if removed == 0 {
			return
		}
	}
}

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is an authorization request that is in order; pairs change it, and
// an empty value takes a parameter away.
func request(client string, pairs ...string) string {
	v := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirect},
		"scope": {"openid profile orders:read offline_access"}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
	return change(v, pairs)
}

func change(v url.Values, pairs []string) string {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		} else {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v.Encode()
}

func (h *house) authorize(parameters string) *engine.AuthorizationResponse {
	h.Helper()
	resp, err := h.engine.Authorization(h.Context(), h.service.ID, engine.AuthorizationRequest{Parameters: parameters})
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

// issue answers a request with alice's consent, changed as given.
func (h *house) issue(ticket string, changes ...func(*engine.AuthorizationIssueRequest)) *engine.AuthorizationIssueResponse {
	h.Helper()
	req := engine.AuthorizationIssueRequest{
		Ticket: ticket, Subject: "alice", AuthTime: h.clock().Unix() - 5, AMR: []string{"pwd"},
		Claims: map[string]json.RawMessage{"email": raw("alice@example.com")},
	}
	for _, change := range changes {
		change(&req)
	}
	resp, err := h.engine.AuthorizationIssue(h.Context(), h.service.ID, req)
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

// consented goes through an authorization as alice and returns its answer.
func (h *house) consented(parameters string, changes ...func(*engine.AuthorizationIssueRequest)) answer {
	h.Helper()
	resp := h.authorize(parameters)
	if resp.Action != model.ActionInteraction {
		h.Fatalf("authorization: %s %s", resp.Action, resp.ResponseContent)
	}
	issued := h.issue(resp.Ticket, changes...)
	return h.read(issued.Action, issued.ResponseContent)
}

// code goes through an authorization as alice.
func (h *house) code(client string, pairs ...string) string {
	h.Helper()
	got := h.consented(request(client, pairs...))
	if got.Get("code") == "" {
		h.Fatalf("no code: %v", got)
	}
	return got.Get("code")
}

// secrets of the usual clients that use client_secret_basic.
var secrets = map[string]string{"web": "web-secret", "web2": "web2-secret", "service": "service-secret", "es": "es-secret", "eddsa": "ed-secret"}

func basic(client string) engine.ClientCredentials {
	secret, ok := secrets[client]
	return engine.ClientCredentials{ClientID: client, ClientSecret: secret, Present: ok}
}

// basic are the credentials of any client that is declared with client_secret_basic.
func (h *house) basic(client string) engine.ClientCredentials {
	for _, d := range h.options.Services {
		i := slices.IndexFunc(d.Clients, func(c model.Client) bool { return c.Alias == client })
		if d.Service.Issuer == h.service.Issuer && i >= 0 && d.Clients[i].TokenAuthMethod == model.AuthClientSecretBasic {
			return engine.ClientCredentials{ClientID: client, ClientSecret: d.Clients[i].ClientSecret, Present: true}
		}
	}
	return engine.ClientCredentials{}
}

// as makes the form of a request that a client makes directly: it names itself
// there when it does not use Basic authentication.
func (h *house) as(client string, pairs ...string) (string, engine.ClientCredentials) {
	v, credentials := url.Values{}, h.basic(client)
	if !credentials.Present {
		v.Set("client_id", client)
	}
	return change(v, pairs), credentials
}

// token calls the token operation as a client.
func (h *house) token(client string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	return h.direct(h.as(client, pairs...))
}

// direct calls the token operation with a form.
func (h *house) direct(parameters string, credentials engine.ClientCredentials) *engine.TokenResponse {
	h.Helper()
	resp, err := h.engine.Token(context.Background(), h.service.ID, engine.TokenRequest{Parameters: parameters, Basic: credentials})
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

func (h *house) redeem(client, code string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	return h.token(client, append([]string{
		"grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", verifier}, pairs...)...)
}

func (h *house) refresh(client, token string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	return h.token(client, append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...)...)
}

// tokens goes through the whole code flow.
func (h *house) tokens(client string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	resp := h.redeem(client, h.code(client, pairs...))
	h.want(resp, model.ActionOK)
	return resp
}

func (h *house) want(resp *engine.TokenResponse, action model.Action) {
	h.Helper()
	if resp.Action != action {
		h.Fatalf("token: %s %s, want %s", resp.Action, resp.ResponseContent, action)
	}
}

func (h *house) wantError(resp *engine.TokenResponse, code string) {
	h.Helper()
	if got := errorCode(resp.ResponseContent); got != code {
		h.Fatalf("token: %s %s, want %s", resp.Action, resp.ResponseContent, code)
	}
}

func errorCode(content string) string {
	var e struct {
		Code string `json:"error"`
	}
	_ = json.Unmarshal([]byte(content), &e)
	return e.Code
}

func (h *house) introspect(token string) *engine.IntrospectionResponse {
	h.Helper()
	resp, err := h.engine.Introspection(h.Context(), h.service.ID, engine.IntrospectionRequest{Token: token})
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

func (h *house) usable(token string) bool {
	h.Helper()
	return h.introspect(token).Usable
}

func (h *house) revoke(client, token string) *engine.RevocationResponse {
	h.Helper()
	parameters, credentials := h.as(client, "token", token)
	resp, err := h.engine.Revocation(h.Context(), h.service.ID, engine.RevocationRequest{Parameters: parameters, Basic: credentials})
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

// together runs f in n goroutines that start at one barrier.
func together(n int, f func(int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			ready.Done()
			<-start
			f(i)
		}()
	}
	ready.Wait()
	close(start)
	done.Wait()
}
