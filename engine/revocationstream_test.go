package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

// wanted compares events.
func wanted(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Promise 5, threat 18: every way of revoking is told, in the order of the
// commits and in the words that introspection has for the token.
func TestRevocationStream(t *testing.T) {
	t.Parallel()
	g := openGateways(t, nil, nil)
	tokens := g.tokens("web")
	called := g.introspectedBy("service", tokens.AccessToken)["gatehouse"].(map[string]any)
	f := g.follow("", true)
	f.quiet()

	g.revoke("web", tokens.AccessToken)
	g.revoke("web", tokens.RefreshToken)
	if err := g.engine.RevokeGrants(t.Context(), g.service.ID, "alice", 0); err != nil {
		t.Fatal(err)
	}
	wanted(t, "revocations", f.events(3), "token "+called["token"].(string), "grant "+called["grant"].(string), "subject "+called["subject"].(string))

	g.write(store.InsertAccount{Account: model.Account{Service: g.service.ID, ID: 1, Name: "alice", Key: "alice", Subject: "alice", PasswordHash: "x"}})
	g.write(store.RevokeGrants{Service: g.service.ID, Client: 99})
	registered := g.register("registered", model.Settings{"redirectUris": raw([]string{redirect})}, "", 0)
	g.write(store.InsertKey{Key: model.Key{Service: g.service.ID, KID: "k", Alg: "EdDSA", Sealed: []byte{1}, ExpiresAt: 1}})
	wanted(t, "changes", f.events(4), "subject "+called["subject"].(string), "client 99", fmt.Sprint("client ", registered), "service ")
	f.quiet()
}

// Promise 5: what was missed comes first, from any line's position on.
func TestRevocationStreamGoesOn(t *testing.T) {
	t.Parallel()
	g := openGateways(t, nil, nil)
	f := g.follow("", true)
	var want, positions []string
	positions = append(positions, f.last)
	for client := range 5 {
		g.write(store.RevokeGrants{Service: g.service.ID, Client: model.ID(client + 1)})
		want = append(want, fmt.Sprint("client ", client+1))
		wanted(t, "the first time", f.events(1), want[client])
		positions = append(positions, f.last)
	}
	for i, position := range positions {
		wanted(t, position, g.follow(position, false).events(len(want)-i), want[i:]...)
	}
	// The lines of another process, and of this one after a restart.
	wanted(t, "another process", gatewaysOn(t, g.store, g.options.Services...).follow(positions[2], false).events(3), want[2:]...)
}

// Threat 31: another service's revocations are nobody else's business; heartbeats
// go past them.
func TestRevocationStreamOfOneService(t *testing.T) {
	t.Parallel()
	g := gatewaysOn(t, newStore(t), declare(t, issuer, nil), declare(t, "https://other.example.com", nil))
	other, _ := g.engine.Service("https://other.example.com")
	f := g.follow("", true)
	begin := f.last
	for range 600 { // more than are looked at at once
		g.write(store.RevokeGrants{Service: other.ID, Client: 1}, store.RevokeGrants{Service: other.ID, Subject: "alice"})
	}
	f.quiet()
	if f.last == begin {
		t.Error("the heartbeat did not move the position")
	}
	g.write(store.RevokeGrants{Service: g.service.ID, Client: 2})
	wanted(t, "this service's", f.events(1), "client 2")
	wanted(t, "from the beginning", g.follow(begin, false).events(1), "client 2")
	g.service = other
	g.follow(begin, true) // the position is no other service's either
}

// A place that says nothing for certain is a gap, and the stream begins at the end.
func TestRevocationStreamGap(t *testing.T) {
	t.Parallel()
	g := openGateways(t, nil, nil)
	f := g.follow("", true)
	good := f.last
	parts := strings.Split(good, ".")
	for name, position := range map[string]string{
		"another feed": "0" + good, "other declarations": good + "x", "a number to come": strings.Join([]string{parts[0], "99", parts[2], parts[3]}, "."),
		"no number": strings.Join([]string{parts[0], "x", parts[2], parts[3]}, "."), "too many parts": good + ".1", "too few": parts[0], "dots": "...",
	} {
		t.Run(name, func(t *testing.T) {
			if again := g.follow(position, true); again.last != good {
				t.Errorf("it begins at %s, want %s", again.last, good)
			}
		})
	}
	g.write(store.RevokeGrants{Service: g.service.ID, Client: 1})
	wanted(t, "before the sweep", g.follow(good, false).events(1), "client 1")
	f.line()
	g.pass(2 * time.Hour)
	g.sweep()
	if again := g.follow(good, true); again.last != f.last {
		t.Errorf("after the sweep it begins at %s, want %s", again.last, f.last)
	}
	g.follow(f.last, false)
}

// Facts rest on what is declared too: gateways learn of other declarations, which
// are no row of the feed, when they come again after the reload.
func TestRevocationStreamAfterReload(t *testing.T) {
	t.Parallel()
	g := openGateways(t, nil, nil)
	position := g.follow("", true).last
	gatewaysOn(t, g.store, g.options.Services...).follow(position, false)
	for name, clients := range map[string]map[string]model.Settings{
		"a secret":       {"web": {"redirectUris": raw([]string{redirect}), "clientSecret": raw("another-secret")}},
		"another client": {"new": {"clientSecret": raw("web-secret"), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"})}},
	} {
		t.Run(name, func(t *testing.T) {
			gatewaysOn(t, g.store, declareWith(t, issuer, nil, clients)).follow(position, true)
		})
	}
	gatewaysOn(t, g.store, declare(t, issuer, model.Settings{"accessTokenDuration": raw(60)})).follow(position, true)
}

// A follower that reads slowly is told everything, and costs no memory meanwhile.
func TestRevocationStreamSlowFollower(t *testing.T) {
	t.Parallel()
	g := openGateways(t, nil, nil)
	f := g.follow("", true)
	const many = 1800
	var want []string
	for client := range many {
		want = append(want, fmt.Sprint("client ", client+1))
	}
	together(4, func(w int) {
		for client := w*many/4 + 1; client <= (w+1)*many/4; client++ {
			if err := g.store.Write(context.Background(), store.RevokeGrants{Service: g.service.ID, Client: model.ID(client)}); err != nil {
				t.Error(err)
			}
		}
	})
	var got []string
	for len(got) < many {
		got = append(got, f.events(1)...)
		if len(f.unread) > 500 {
			t.Fatalf("%d lines at once", len(f.unread))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	wanted(t, "all of them", got, want...)
	f.quiet()
}

// Promise 12: streams end with the engine, also those that wait, so that no reload
// waits for them; and none begins after that.
func TestRevocationStreamEndsWithTheEngine(t *testing.T) {
	t.Parallel()
	g := openGateways(t, nil, nil)
	e, err := engine.New(t.Context(), g.options)
	if err != nil {
		t.Fatal(err)
	}
	g.engine = e
	waiting, other := g.follow("", true), g.follow("", true)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		waiting.ended("one that waits")
	}()
	e.Close()
	<-ended
	other.ended("one that has not looked yet")
	parameters, credentials := g.as("service")
	_, err = e.RevocationStream(t.Context(), g.service.ID, engine.RevocationStreamRequest{Parameters: parameters, Basic: credentials})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a stream of a closed engine: %v", err)
	}
}

// A follower that has gone ends its own wait alone.
func TestRevocationStreamContext(t *testing.T) {
	t.Parallel()
	g := openGateways(t, nil, nil)
	f := g.follow("", true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.stream.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next returns %v", err)
	}
	g.write(store.RevokeGrants{Service: g.service.ID, Client: 1})
	wanted(t, "after that", f.events(1), "client 1")
}

// The streams of a service are bounded; a place that is given back is free.
func TestRevocationStreamBound(t *testing.T) {
	t.Parallel()
	g := gatewaysOn(t, newStore(t), declare(t, issuer, nil), declare(t, "https://other.example.com", nil))
	open := func() (*engine.RevocationStreamResponse, error) {
		parameters, credentials := g.as("service")
		return g.engine.RevocationStream(t.Context(), g.service.ID, engine.RevocationStreamRequest{Parameters: parameters, Basic: credentials})
	}
	first, err := open()
	for n := 1; n < 256 && err == nil; n++ {
		_, err = open()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(); !errors.Is(err, engine.ErrTooManyFollowers) {
		t.Errorf("one too many: %v", err)
	}
	first.Stream.Close()
	if _, err := open(); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
	g.service, _ = g.engine.Service("https://other.example.com")
	if _, err := open(); err != nil {
		t.Errorf("at another service: %v", err)
	}
}

// Who may introspect may follow, and nobody else (RFC 7662 §2.1).
func TestRevocationStreamAuthentication(t *testing.T) {
	t.Parallel()
	g := openGateways(t, model.Settings{"apiKey": raw("api"), "apiSecret": raw("api-secret")}, nil)
	credentials := func(id, secret string) engine.ClientCredentials {
		return engine.ClientCredentials{ClientID: id, ClientSecret: secret, Present: true}
	}
	for name, c := range map[string]struct {
		parameters string
		basic      engine.ClientCredentials
		want       model.Action
	}{
		"a confidential client":        {"after=", basic("service"), model.ActionOK},
		"by client_secret_post":        {"client_id=post&client_secret=post-secret", engine.ClientCredentials{}, model.ActionOK},
		"the API key":                  {"", credentials("api", "api-secret"), model.ActionOK},
		"a wrong API secret":           {"", credentials("api", "x"), model.ActionInvalidClient},
		"a wrong secret":               {"", credentials("service", "x"), model.ActionInvalidClient},
		"nobody":                       {"after=1", engine.ClientCredentials{}, model.ActionInvalidClient},
		"a public client":              {"client_id=spa", engine.ClientCredentials{}, model.ActionInvalidClient},
		"a position twice":             {"after=1&after=1", basic("service"), model.ActionBadRequest},
		"a position twice, by API key": {"after=1&after=1", credentials("api", "api-secret"), model.ActionBadRequest},
	} {
		resp, err := g.engine.RevocationStream(t.Context(), g.service.ID, engine.RevocationStreamRequest{Parameters: c.parameters, Basic: c.basic})
		if err != nil || resp.Action != c.want || (resp.Stream != nil) != (c.want == model.ActionOK) || (resp.ResponseContent == "") != (c.want == model.ActionOK) {
			t.Errorf("%s: %+v %v, want %s", name, resp, err, c.want)
		}
	}
	if _, err := g.engine.RevocationStream(t.Context(), 99, engine.RevocationStreamRequest{}); !errors.Is(err, engine.ErrNoService) {
		t.Errorf("no service: %v", err)
	}
}

// Who follows proves again who it is: after an hour, and when it has changed or
// is gone.
func TestRevocationStreamEndsWithItsClient(t *testing.T) {
	t.Parallel()
	g := openGateways(t, nil, nil)
	f := g.follow("", true)
	g.register("gateway", model.Settings{"grantTypes": raw([]string{"CLIENT_CREDENTIALS"})}, longSecret, 0)
	f.line()
	own := &follower{gateways: g}
	resp, err := g.engine.RevocationStream(t.Context(), g.service.ID, engine.RevocationStreamRequest{Basic: credentialsOf("gateway")})
	if err != nil || resp.Stream == nil {
		t.Fatalf("%v %v", resp, err)
	}
	own.stream = resp.Stream
	own.line()
	g.write(store.DeleteClient{Service: g.service.ID, ID: g.stored("gateway").ID})
	if l := own.line(); l.Kind != "client" {
		t.Errorf("it is told %+v", l)
	}
	own.ended("the client is gone")
	f.line()
	f.quiet()
	g.pass(time.Hour)
	f.ended("after an hour")
}

// What is told has happened here too: the feed of another process comes later
// than the line, and who is told asks at once.
func TestRevocationStreamForgetsFirst(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "g.db")
	deaf, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, FollowInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deaf.Close() })
	other, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	g := gatewaysOn(t, deaf, declare(t, issuer, nil))
	id := g.register("registered", model.Settings{"redirectUris": raw([]string{redirect})}, "", 0)
	if _, err := g.engine.Client(t.Context(), g.service.ID, id); err != nil { // remembered from now on
		t.Fatal(err)
	}
	f := g.follow("", true)
	if err := other.Write(t.Context(), store.DeleteClient{Service: g.service.ID, ID: id}); err != nil {
		t.Fatal(err)
	}
	wanted(t, "the stream reads the store", f.events(1), fmt.Sprint("client ", id))
	if _, err := g.engine.Client(t.Context(), g.service.ID, id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the client is still there: %v", err)
	}
}

// OpenID Connect Core §8.1: a gateway that may know pairwise subjects alone learns
// no other from the stream; another service's names are others.
func TestRevocationStreamHidesSubjects(t *testing.T) {
	t.Parallel()
	g := gatewaysOn(t, newStore(t), declareWith(t, issuer, everyFlow, pairwise()), declare(t, "https://other.example.com", nil))
	names := map[string]bool{"alice": true, b64.EncodeToString(digest("256", []byte("alice"))[:12]): true, g.subjects("a1", "https://a.example/cb")["ID token"]: true}
	for _, at := range []string{issuer, "https://other.example.com"} {
		g.service, _ = g.engine.Service(at)
		f := g.follow("", true)
		g.write(store.RevokeGrants{Service: g.service.ID, Subject: "alice"}, store.RevokeGrants{Service: g.service.ID, Subject: "alice"})
		first, second := f.line().Subject, f.line().Subject
		if first == "" || first != second || names[first] || strings.Contains(first, "alice") {
			t.Errorf("%s: alice is %q, then %q", at, first, second)
		}
		names[first] = true
	}
}
