package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

const (
	issuer   = "https://as.example.com"
	redirect = "https://app.example.com/cb"
	verifier = "a-verifier-of-at-least-forty-three-characters-for-pkce"
)

// house is an engine on a store of its own, with a clock that tests move.
type house struct {
	*testing.T
	engine  *engine.Engine
	store   store.Store
	service *model.Service
	users   *users
	options engine.Options
	mu      *sync.Mutex
	now     time.Time
	events  []model.Event
}

// users is a user directory: everyone but those who were disabled.
type users struct{ disabled sync.Map }

func (u *users) Active(_ context.Context, _ model.ID, subject string) (bool, error) {
	_, disabled := u.disabled.Load(subject)
	return !disabled, nil
}

// open makes an engine with the usual clients; settings override the service's.
func open(t *testing.T, settings model.Settings) *house {
	t.Helper()
	st, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "g.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return openOn(t, st, declare(t, issuer, settings))
}

func openOn(t *testing.T, st store.Store, services ...engine.Declaration) *house {
	t.Helper()
	h := &house{T: t, store: st, users: new(users), mu: new(sync.Mutex), now: time.Now().Truncate(time.Second)}
	h.options = engine.Options{
		Store: st, MasterKey: engine.MasterKey{1, 2, 3}, Services: services,
		Subjects: h.users, Now: h.clock, Observe: h.observe,
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

func declare(t *testing.T, issuer string, settings model.Settings) engine.Declaration {
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
	for alias, settings := range map[string]model.Settings{
		"spa":     {"redirectUris": raw([]string{redirect})},
		"spa2":    {"redirectUris": raw([]string{redirect})},
		"web":     {"redirectUris": raw([]string{redirect}), "clientSecret": raw("web-secret")},
		"web2":    {"redirectUris": raw([]string{redirect}), "clientSecret": raw("web2-secret")},
		"service": {"clientSecret": raw("service-secret"), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"})},
		"post": {"clientSecret": raw("post-secret"), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"}),
			"tokenAuthMethod": raw("CLIENT_SECRET_POST"), "requestableScopes": raw([]string{"orders:read"})},
		"es":    {"redirectUris": raw([]string{redirect}), "clientSecret": raw("es-secret"), "idTokenSignAlg": raw("ES256")},
		"eddsa": {"redirectUris": raw([]string{redirect}), "clientSecret": raw("ed-secret"), "idTokenSignAlg": raw("EdDSA")},
	} {
		client, err := model.NewClient(alias, settings)
		if err != nil {
			t.Fatal(err)
		}
		d.Clients = append(d.Clients, client)
	}
	return d
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *house) observe(e model.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *house) seen(kind model.EventKind) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
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

// code goes through an authorization as alice.
func (h *house) code(client string, pairs ...string) string {
	h.Helper()
	resp := h.authorize(request(client, pairs...))
	if resp.Action != model.ActionInteraction {
		h.Fatalf("authorization: %s %s", resp.Action, resp.ResponseContent)
	}
	issued, err := h.engine.AuthorizationIssue(h.Context(), h.service.ID, engine.AuthorizationIssueRequest{
		Ticket: resp.Ticket, Subject: "alice", AuthTime: h.clock().Unix() - 5, AMR: []string{"pwd"},
		Claims: map[string]json.RawMessage{"email": raw("alice@example.com")},
	})
	if err != nil {
		h.Fatal(err)
	}
	if issued.Action != model.ActionLocation {
		h.Fatalf("issue: %s %s", issued.Action, issued.ResponseContent)
	}
	return issued.AuthorizationCode
}

// secrets of the clients that use client_secret_basic.
var secrets = map[string]string{"web": "web-secret", "web2": "web2-secret", "service": "service-secret", "es": "es-secret", "eddsa": "ed-secret"}

func basic(client string) engine.ClientCredentials {
	secret, ok := secrets[client]
	return engine.ClientCredentials{ClientID: client, ClientSecret: secret, Present: ok}
}

// token calls the token operation as a client.
func (h *house) token(client string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	v := url.Values{}
	if !basic(client).Present {
		v.Set("client_id", client)
	}
	resp, err := h.engine.Token(context.Background(), h.service.ID, engine.TokenRequest{Parameters: change(v, pairs), Basic: basic(client)})
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

func (h *house) usable(token string) bool {
	h.Helper()
	resp, err := h.engine.Introspection(h.Context(), h.service.ID, engine.IntrospectionRequest{Token: token})
	if err != nil {
		h.Fatal(err)
	}
	return resp.Usable
}

func (h *house) revoke(client, token string) *engine.RevocationResponse {
	h.Helper()
	v := url.Values{"token": {token}}
	if !basic(client).Present {
		v.Set("client_id", client)
	}
	resp, err := h.engine.Revocation(h.Context(), h.service.ID, engine.RevocationRequest{Parameters: v.Encode(), Basic: basic(client)})
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
