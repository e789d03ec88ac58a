package faults

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// Two nodes with clocks apart, by some seconds and by half of what a code
// lives: nothing is lost, revived or used twice. The nodes are engines in this
// process, since a process's clock cannot be moved.
func TestClocksApart(t *testing.T) {
	t.Parallel() // it waits most of the time
	for _, apart := range []time.Duration{4 * time.Second, 30 * time.Second} {
		t.Run(apart.String(), func(t *testing.T) {
			server := pgtest.Start(t)
			r := newRun(t)
			for i, shift := range []time.Duration{-apart / 2, apart / 2} {
				r.nodes = append(r.nodes, clockedNode(t, i+1, server, shift))
			}
			for range few(t) {
				r.under(100*time.Millisecond, func() { time.Sleep(100 * time.Millisecond) })
				r.clean("with clocks apart")
			}
			r.end()
		})
	}
}

// clockedNode is an engine whose clock is shifted.
func clockedNode(t *testing.T, number int, server *pgtest.Server, shift time.Duration) *node {
	t.Helper()
	now := func() time.Time { return time.Now().Add(shift) }
	st, err := postgres.Open(t.Context(), postgres.Options{DSN: server.Address("postgres"), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	e, err := engine.New(t.Context(), engine.Options{Store: st, Services: []engine.Declaration{declaration(t)}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	service, _ := e.Service(clockedIssuer)
	http := httptest.NewServer(&face{e, service.ID})
	t.Cleanup(http.Close)
	return &node{t: t, number: number, base: http.URL, folder: t.TempDir()}
}

const clockedIssuer = "https://as.example.com"

// declaration is the service of the nodes' Caddyfile.
func declaration(t *testing.T) (d engine.Declaration) {
	t.Helper()
	raw := func(v any) json.RawMessage {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	var err error
	d.Service, err = model.NewService(model.Settings{
		"issuer": raw(clockedIssuer), "supportedScopes": raw([]model.Scope{{Name: "offline_access"}, {Name: "orders:read"}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for alias, settings := range map[string]model.Settings{
		"service": {"clientSecret": raw(clientSecret), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"})},
		"app":     {"redirectUris": raw([]string{redirectURI})},
		"web":     {"redirectUris": raw([]string{redirectURI}), "clientSecret": raw(clientSecret)},
	} {
		client, err := model.NewClient(alias, settings)
		if err != nil {
			t.Fatal(err)
		}
		d.Clients = append(d.Clients, client)
	}
	return d
}

// face answers over HTTP for an engine, whose user is always signed in.
type face struct {
	engine  *engine.Engine
	service model.ID
}

func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil {
		return
	}
	action, content, err := f.ask(r, string(body))
	switch {
	case errors.Is(err, store.ErrUnavailable):
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
	case action == model.ActionLocation:
		w.Header().Set("Location", content)
		w.WriteHeader(http.StatusSeeOther)
	case action == model.ActionOK:
		_, _ = io.WriteString(w, content)
	case action == model.ActionInvalidClient:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, content)
	}
}

func (f *face) ask(r *http.Request, parameters string) (model.Action, string, error) {
	var basic engine.ClientCredentials
	basic.ClientID, basic.ClientSecret, basic.Present = r.BasicAuth()
	switch r.URL.Path {
	case "/token":
		resp, err := f.engine.Token(r.Context(), f.service, engine.TokenRequest{Parameters: parameters, Basic: basic})
		if err != nil {
			return "", "", err
		}
		return resp.Action, resp.ResponseContent, nil
	case "/introspect":
		resp, err := f.engine.StandardIntrospection(r.Context(), f.service, engine.StandardIntrospectionRequest{Parameters: parameters, Basic: basic})
		if err != nil {
			return "", "", err
		}
		return resp.Action, resp.ResponseContent, nil
	case "/revoke":
		resp, err := f.engine.Revocation(r.Context(), f.service, engine.RevocationRequest{Parameters: parameters, Basic: basic})
		if err != nil {
			return "", "", err
		}
		return resp.Action, resp.ResponseContent, nil
	}
	return f.authorize(r, parameters)
}

func (f *face) authorize(r *http.Request, parameters string) (model.Action, string, error) {
	asked, err := f.engine.Authorization(r.Context(), f.service, engine.AuthorizationRequest{Parameters: parameters})
	if err != nil || asked.Action != model.ActionInteraction {
		return model.ActionBadRequest, "", err
	}
	resp, err := f.engine.AuthorizationIssue(r.Context(), f.service, engine.AuthorizationIssueRequest{
		Ticket: asked.Ticket, Subject: "alice", AuthTime: f.engine.Now().Unix(),
	})
	if err != nil {
		return "", "", err
	}
	return resp.Action, resp.ResponseContent, nil
}
