package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

type registrationOperation = func(context.Context, model.ID, engine.ClientRegistrationRequest) (*engine.ClientRegistrationResponse, error)

// manage calls one of the registration operations, and reads its answer.
func (h *house) manage(f registrationOperation, req engine.ClientRegistrationRequest, want model.Action) map[string]any {
	h.Helper()
	resp, err := f(h.Context(), h.service.ID, req)
	if err != nil {
		h.Fatal(err)
	}
	if resp.Action != want {
		h.Fatalf("%s %s, want %s", resp.Action, resp.ResponseContent, want)
	}
	answer := map[string]any{}
	if resp.ResponseContent != "" && json.Unmarshal([]byte(resp.ResponseContent), &answer) != nil {
		h.Fatalf("%q is not JSON", resp.ResponseContent)
	}
	return answer
}

// enroll registers a client that is good for the code flow.
func (h *house) enroll(more map[string]any) map[string]any {
	h.Helper()
	metadata := map[string]any{"redirect_uris": []string{redirect}, "grant_types": []string{"authorization_code", "refresh_token"}}
	maps.Copy(metadata, more)
	return h.manage(h.engine.ClientRegistration, engine.ClientRegistrationRequest{JSON: string(raw(metadata))}, model.ActionCreated)
}

func ownRequest(client map[string]any, metadata map[string]any) engine.ClientRegistrationRequest {
	body := map[string]any{"client_id": client["client_id"]}
	maps.Copy(body, metadata)
	return engine.ClientRegistrationRequest{
		JSON: string(raw(body)), ClientID: client["client_id"].(string), Token: client["registration_access_token"].(string),
	}
}

// registeredToken calls the token operation as a registered client.
func (h *house) registeredToken(client map[string]any, pairs ...string) *engine.TokenResponse {
	h.Helper()
	secret, _ := client["client_secret"].(string)
	resp, err := h.engine.Token(h.Context(), h.service.ID, engine.TokenRequest{
		Parameters: change(url.Values{}, pairs),
		Basic:      engine.ClientCredentials{ClientID: client["client_id"].(string), ClientSecret: secret, Present: true},
	})
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

func (h *house) registeredTokens(client map[string]any) *engine.TokenResponse {
	h.Helper()
	code := h.code(client["client_id"].(string))
	resp := h.registeredToken(client, "grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", verifier)
	h.want(resp, model.ActionOK)
	return resp
}

var openRegistration = model.Settings{"dynamicRegistrationSupported": raw(true)}

// RFC 7591 §3.2.1: a client that has registered is a client at once, what it
// changes holds at once, and when it goes, all that it was given goes with it
// (RFC 7592 §2.3, threats.md 18).
func TestRegisteredClient(t *testing.T) {
	h := open(t, openRegistration)
	client := h.enroll(nil)
	id := client["client_id"].(string)
	tokens := h.registeredTokens(client)
	refreshed := h.registeredToken(client, "grant_type", "refresh_token", "refresh_token", tokens.RefreshToken)
	h.want(refreshed, model.ActionOK)

	const moved = "https://app.example.com/moved"
	h.manage(h.engine.ClientRegistrationUpdate, ownRequest(client, map[string]any{"redirect_uris": []string{moved}, "grant_types": []string{"authorization_code"}}), model.ActionUpdated)
	if resp := h.authorize(request(id)); resp.Action != model.ActionBadRequest {
		t.Errorf("the old redirect address: %s", resp.Action)
	}
	if resp := h.authorize(request(id, "redirect_uri", moved)); resp.Action != model.ActionInteraction {
		t.Errorf("the new redirect address: %s %s", resp.Action, resp.ResponseContent)
	}
	h.wantError(h.registeredToken(client, "grant_type", "refresh_token", "refresh_token", tokens.RefreshToken), "unauthorized_client")

	h.manage(h.engine.ClientRegistrationDelete, ownRequest(client, nil), model.ActionDeleted)
	if h.usable(refreshed.AccessToken) || h.usable(tokens.AccessToken) {
		t.Error("a token has outlived its client")
	}
	if resp := h.authorize(request(id, "redirect_uri", moved)); resp.Action != model.ActionBadRequest {
		t.Errorf("a client that is gone: %s", resp.Action)
	}
	h.wantError(h.registeredToken(client, "grant_type", "authorization_code", "code", "x"), "invalid_client")
	h.manage(h.engine.ClientRegistrationGet, ownRequest(client, nil), model.ActionUnauthorized)
	if h.seen(model.EventRegistered) != 3 {
		t.Errorf("%d events", h.seen(model.EventRegistered))
	}
}

// RFC 7591 §3.2.1: a secret is good until client_secret_expires_at, and the
// client gets another one by an update.
func TestRegisteredSecretExpires(t *testing.T) {
	h := open(t, model.Settings{"dynamicRegistrationSupported": raw(true), "clientSecretDuration": raw(3600)})
	client := h.enroll(nil)
	h.registeredTokens(client)
	h.pass(time.Hour)
	h.wantError(h.registeredToken(client, "grant_type", "authorization_code", "code", "x"), "invalid_client")
	renewed := h.manage(h.engine.ClientRegistrationUpdate, ownRequest(client, map[string]any{"redirect_uris": []string{redirect}}), model.ActionUpdated)
	h.registeredTokens(renewed)
	h.wantError(h.registeredToken(client, "grant_type", "authorization_code", "code", "x"), "invalid_client")
}

// threats.md 20: a client gets no scope that it did not register.
func TestThreat20RegisteredScopes(t *testing.T) {
	h := open(t, model.Settings{"dynamicRegistrationSupported": raw(true), "registrationScopes": raw([]string{"openid", "orders:read"})})
	for _, more := range []map[string]any{nil, {"scope": "openid orders:read"}} {
		client := h.enroll(more)
		resp := h.authorize(request(client["client_id"].(string), "scope", "openid orders:read orders:write"))
		if resp.Action != model.ActionInteraction || len(resp.Scopes) != 2 {
			t.Errorf("%s, scopes %v", resp.Action, resp.Scopes)
		}
	}
}

// threats.md 31: a registered client is one of its service alone, and so is
// its token.
func TestThreat31RegistrationsAreTheServicesOwn(t *testing.T) {
	st, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "g.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	h := openOn(t, st, declare(t, issuer, openRegistration), declare(t, "https://other.example.com", openRegistration), declare(t, "https://closed.example.com", nil))
	client := h.enroll(nil)
	first := h.service
	h.service, _ = h.engine.Service("https://other.example.com")
	for _, f := range []registrationOperation{h.engine.ClientRegistrationGet, h.engine.ClientRegistrationUpdate, h.engine.ClientRegistrationDelete} {
		h.manage(f, ownRequest(client, map[string]any{"redirect_uris": []string{redirect}}), model.ActionUnauthorized)
	}
	if resp := h.authorize(request(client["client_id"].(string))); resp.Action != model.ActionBadRequest {
		t.Errorf("at another service: %s", resp.Action)
	}
	h.service, _ = h.engine.Service("https://closed.example.com")
	for _, f := range []registrationOperation{h.engine.ClientRegistration, h.engine.ClientRegistrationGet, h.engine.ClientRegistrationUpdate, h.engine.ClientRegistrationDelete} {
		h.manage(f, ownRequest(client, nil), model.ActionNotFound)
		if _, err := f(t.Context(), 12345, engine.ClientRegistrationRequest{}); !errors.Is(err, engine.ErrNoService) {
			t.Errorf("an unknown service: %v", err)
		}
	}
	h.service = first
	h.manage(h.engine.ClientRegistrationGet, ownRequest(client, nil), model.ActionOK)
}

// threats.md 21: an engine without a fetcher fetches nothing.
func TestThreat21NoFetcherNoSector(t *testing.T) {
	h := open(t, openRegistration)
	answer := h.manage(h.engine.ClientRegistration, engine.ClientRegistrationRequest{JSON: string(raw(map[string]any{
		"redirect_uris": []string{redirect}, "sector_identifier_uri": "https://app.example.com/sector",
	}))}, model.ActionBadRequest)
	if answer["error"] != "invalid_client_metadata" {
		t.Errorf("%v", answer)
	}
}

// Registered clients go on after a restart, secret, token and all.
func TestRegisteredClientsOutliveARestart(t *testing.T) {
	h := open(t, openRegistration)
	client := h.enroll(map[string]any{"id_token_signed_response_alg": "HS256"})
	e, err := engine.New(t.Context(), h.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	h.engine = e
	if h.registeredTokens(client).IDToken == "" {
		t.Error("no ID token")
	}
	read := h.manage(h.engine.ClientRegistrationGet, ownRequest(client, nil), model.ActionOK)
	if read["client_secret"] != client["client_secret"] {
		t.Error("the secret has changed")
	}
}
