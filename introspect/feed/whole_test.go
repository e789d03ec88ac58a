package feed_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	as "github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/feed"
)

const (
	issuer = "https://as.example.com"
	secret = "a secret of thirty-two characters"
)

// server is an engine behind HTTP, as the front puts it there.
type server struct {
	*testing.T
	*as.Engine
	store   store.Store
	service *model.Service
	http    *httptest.Server
	asked   atomic.Int32 // introspections
	down    atomic.Bool  // streams are refused
}

func raw(v any) json.RawMessage {
	b, _ := json.Marshal(v)
	return b
}

func newServer(t *testing.T) *server {
	t.Helper()
	service, err := model.NewService(model.Settings{
		"issuer": raw(issuer), "supportedScopes": raw([]model.Scope{{Name: "orders:read"}}),
		"supportedGrantTypes": raw([]string{"CLIENT_CREDENTIALS", "PASSWORD"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := model.NewClient("app", model.Settings{"clientSecret": raw(secret), "grantTypes": raw([]string{"CLIENT_CREDENTIALS", "PASSWORD"})})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{T: t}
	if s.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "g.db"), SweepInterval: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	s.Engine, err = as.New(t.Context(), as.Options{
		Store: s.store, MasterKey: as.MasterKey{1}, Services: []as.Declaration{{Service: service, Clients: []model.Client{client}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.service, _ = s.Engine.Service(issuer)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /introspect", s.introspect)
	mux.HandleFunc("POST /revocations", s.revocations)
	s.http = httptest.NewServer(mux)
	t.Cleanup(s.http.Close)
	t.Cleanup(s.Engine.Close) // before: it ends the streams
	return s
}

func read(r *http.Request) (string, as.ClientCredentials) {
	body, _ := io.ReadAll(r.Body)
	id, password, ok := r.BasicAuth()
	return string(body), as.ClientCredentials{ClientID: id, ClientSecret: password, Present: ok}
}

func (s *server) introspect(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	parameters, basic := read(r)
	resp, err := s.StandardIntrospection(r.Context(), s.service.ID, as.StandardIntrospectionRequest{Parameters: parameters, Basic: basic})
	if err != nil {
		s.Error(err)
		return
	}
	_, _ = io.WriteString(w, resp.ResponseContent)
}

func (s *server) revocations(w http.ResponseWriter, r *http.Request) {
	parameters, basic := read(r)
	resp, err := s.RevocationStream(r.Context(), s.service.ID, as.RevocationStreamRequest{Parameters: parameters, Basic: basic})
	if err != nil || resp.Stream == nil || s.down.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer resp.Stream.Close()
	w.Header().Set("Content-Type", stream)
	for {
		lines, err := resp.Stream.Next(r.Context())
		if err != nil {
			return
		}
		_, _ = w.Write(lines)
		_ = http.NewResponseController(w).Flush()
	}
}

// token is a new token of the client, or of alice at it.
func (s *server) token(parameters string) string {
	s.Helper()
	basic := as.ClientCredentials{ClientID: "app", ClientSecret: secret, Present: true}
	resp, err := s.Token(s.Context(), s.service.ID, as.TokenRequest{Parameters: parameters, Basic: basic})
	if err == nil && resp.Action == model.ActionPassword {
		resp, err = s.TokenIssue(s.Context(), s.service.ID, as.TokenIssueRequest{Ticket: resp.Ticket, Subject: "alice"})
	}
	if err != nil || resp.AccessToken == "" {
		s.Fatalf("token: %v %v", resp, err)
	}
	return resp.AccessToken
}

const (
	ofClient = "grant_type=client_credentials"
	ofAlice  = "grant_type=password&username=alice&password=x"
)

// gateway is a cache on another machine, and what follows for it.
type gateway struct {
	*server
	tokens introspect.Introspector
	events chan feed.Event
	pauses chan chan time.Time
}

func newGateway(s *server) *gateway {
	s.Helper()
	// Nothing is forgotten because of the time, which stands still: neither after
	// an hour nor soon after a revocation.
	began := time.Now()
	cache, err := introspect.NewCache(introspect.Options{Identity: issuer, TTL: time.Hour, Now: func() time.Time { return began }})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(cache.Close)
	g := &gateway{server: s, events: make(chan feed.Event, 100), pauses: make(chan chan time.Time, 100)}
	g.tokens = cache.Over(introspect.IntrospectorFunc(g.ask))
	f, err := feed.New(feed.Options{
		Endpoint: s.http.URL + "/revocations", Client: s.http.Client(), Revoke: cache.Revoke, Gap: cache.Purge,
		Observe: func(e feed.Event) { g.events <- e }, After: g.after,
		Authorize: func(_ context.Context, _ url.Values, header http.Header) error {
			(&http.Request{Header: header}).SetBasicAuth("app", secret)
			return nil
		},
	})
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	ended := make(chan struct{})
	go func() { f.Run(ctx); close(ended) }()
	s.Cleanup(func() { cancel(); <-ended })
	return g
}

func (g *gateway) after(d time.Duration) <-chan time.Time {
	if d == 15*time.Second {
		return time.After(d)
	}
	end := make(chan time.Time, 1)
	g.pauses <- end
	return end
}

// ask is the client of RFC 7662 at its plainest.
func (g *gateway) ask(ctx context.Context, token string) (*introspect.Facts, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.http.URL+"/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth("app", secret)
	resp, err := g.http.Client().Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return introspect.ParseFacts(body)
}

// active reports what the gateway believes of a token, and whether it asked.
func (g *gateway) active(token string) (active, asked bool) {
	g.Helper()
	before := g.asked.Load()
	facts, err := g.tokens.Introspect(g.Context(), token)
	if err != nil {
		g.Fatal(err)
	}
	return facts.Active, g.asked.Load() > before
}

func (g *gateway) remembered(token string) {
	g.Helper()
	g.active(token)
	if active, asked := g.active(token); !active || asked {
		g.Fatalf("a new token: active %v, asked again %v", active, asked)
	}
}

func (g *gateway) expect(kind feed.EventKind) feed.Event {
	g.Helper()
	e := await(g.T, g.events, "an event")
	if e.Kind != kind {
		g.Fatalf("it reports %+v, want the kind %d", e, kind)
	}
	return e
}

// Promise 5, threat 18: whatever way a token ends at the engine, a gateway that
// has its facts in a cache for an hour does not believe them any more.
func TestRevocationReachesTheCache(t *testing.T) {
	s := newServer(t)
	oftenForgotten(t, func() bool { return reachesTheCache(t, s) })
}

// oftenForgotten fails when a gateway forgets another token than the one that was
// revoked, and two more do too: two tokens may share a place of a cache's table by
// chance, each time another.
func oftenForgotten(t *testing.T, forgets func() bool) {
	t.Helper()
	for range 3 {
		if !forgets() {
			return
		}
	}
	t.Error("another token was forgotten too")
}

func reachesTheCache(t *testing.T, s *server) (forgotten bool) {
	t.Helper()
	g := newGateway(s)
	if e := g.expect(feed.Connected); !e.Gap {
		t.Error("no gap at first")
	}
	app, err := s.ClientByAlias(t.Context(), s.service.ID, "app")
	if err != nil {
		t.Fatal(err)
	}
	other := s.token(ofClient)
	for name, c := range map[string]struct {
		of     string
		revoke func(token string) error
	}{
		"token": {ofClient, func(token string) error {
			_, err := s.RevokeToken(t.Context(), s.service.ID, token)
			return err
		}},
		"grant": {ofAlice, func(token string) error {
			resp, err := s.Introspection(t.Context(), s.service.ID, as.IntrospectionRequest{Token: token})
			if err != nil {
				return err
			}
			return s.store.Write(t.Context(), store.RevokeGrant{Service: s.service.ID, ID: resp.Grant})
		}},
		"subject": {ofAlice, func(string) error { return s.RevokeGrants(t.Context(), s.service.ID, "alice", 0) }},
	} {
		token := s.token(c.of)
		g.remembered(token)
		g.remembered(other)
		if err := c.revoke(token); err != nil {
			t.Fatal(err)
		}
		if e := g.expect(feed.Revoked); e.Lag < 0 || e.Lag > patience {
			t.Errorf("%s: the lag was %v", name, e.Lag)
		}
		if active, _ := g.active(token); active {
			t.Errorf("%s: revoked, and still believed", name)
		}
		active, asked := g.active(other)
		if forgotten = forgotten || asked; !active {
			t.Errorf("%s: another token has ended too", name)
		}
	}
	if err := s.RevokeGrants(t.Context(), s.service.ID, "", app.ID); err != nil {
		t.Fatal(err)
	}
	g.expect(feed.Revoked)
	if active, _ := g.active(other); active {
		t.Error("client: revoked, and still believed")
	}
	return forgotten
}

// Promises 5 and 6: while nothing can be heard, what is remembered is believed;
// then what was missed comes first, and nothing else is forgotten.
func TestRevocationAfterAnOutage(t *testing.T) {
	s := newServer(t)
	oftenForgotten(t, func() bool { return reachesAfterAnOutage(t, s) })
}

func reachesAfterAnOutage(t *testing.T, s *server) (forgotten bool) {
	t.Helper()
	g := newGateway(s)
	g.expect(feed.Connected)
	revoked, other := s.token(ofClient), s.token(ofClient)
	g.remembered(revoked)
	g.remembered(other)

	s.down.Store(true)
	s.http.CloseClientConnections()
	g.expect(feed.Disconnected)
	if _, err := s.RevokeToken(t.Context(), s.service.ID, revoked); err != nil {
		t.Fatal(err)
	}
	await(t, g.pauses, "a pause") <- time.Time{}
	g.expect(feed.Disconnected)
	if active, asked := g.active(revoked); !active || asked {
		t.Errorf("during the outage: active %v, asked %v", active, asked)
	}

	s.down.Store(false)
	await(t, g.pauses, "a pause") <- time.Time{}
	if e := g.expect(feed.Connected); e.Gap {
		t.Error("there is a gap though nothing was swept")
	}
	g.expect(feed.Revoked)
	if active, _ := g.active(revoked); active {
		t.Error("revoked during the outage, and still believed")
	}
	active, asked := g.active(other)
	if !active {
		t.Error("another token has ended too")
	}
	return asked
}

// Promise 5: what was cached before the stream began, and revoked by then, is
// dropped though no line says so.
func TestWhatWasBeforeTheStream(t *testing.T) {
	s := newServer(t)
	s.down.Store(true)
	g := newGateway(s)
	g.expect(feed.Disconnected)
	token := s.token(ofClient)
	g.remembered(token)
	if _, err := s.RevokeToken(t.Context(), s.service.ID, token); err != nil {
		t.Fatal(err)
	}
	s.down.Store(false)
	await(t, g.pauses, "a pause") <- time.Time{}
	g.expect(feed.Connected)
	if active, _ := g.active(token); active {
		t.Error("revoked before the stream began, and still believed")
	}
}
