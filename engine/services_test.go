package engine_test

import (
	"net/url"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// pairOfServices is two issuers on one store and in one engine.
func pairOfServices(t *testing.T) (a, b *house) {
	t.Helper()
	a = open(t, nil)
	both := openOn(t, a.store, declare(t, issuer, nil), declare(t, "https://b.example.com", nil))
	other := *both
	other.service, _ = both.engine.Service("https://b.example.com")
	return both, &other
}

// threats.md 31: nothing of one service exists in another, although clients
// and users have the same names and rows the same store.
func TestThreat31ServicesAreApart(t *testing.T) {
	t.Parallel()
	a, b := pairOfServices(t)
	if a.service.ID == b.service.ID {
		t.Fatal("one id for two services")
	}
	tokens := a.tokens("spa")
	if !a.usable(tokens.AccessToken) || b.usable(tokens.AccessToken) {
		t.Error("an access token is good at another issuer, or not at its own")
	}
	b.wantError(b.refresh("spa", tokens.RefreshToken), "invalid_grant")
	b.wantError(b.redeem("spa", a.code("spa")), "invalid_grant")
	ticket := a.authorize(request("spa")).Ticket
	issued, err := b.engine.AuthorizationIssue(t.Context(), b.service.ID, engine.AuthorizationIssueRequest{Ticket: ticket, Subject: "alice"})
	if err != nil || issued.Action != model.ActionBadRequest {
		t.Errorf("a ticket is good at another issuer: %v %v", issued, err)
	}
	b.revoke("spa", tokens.AccessToken)
	b.revoke("spa", tokens.RefreshToken)
	if err := b.engine.RevokeGrants(t.Context(), b.service.ID, "alice", 0); err != nil {
		t.Fatal(err)
	}
	if !a.usable(tokens.AccessToken) {
		t.Error("another issuer revoked the token")
	}
	if found, err := b.engine.RevokeToken(t.Context(), b.service.ID, tokens.AccessToken); err != nil || found {
		t.Errorf("another issuer's operator revoked the token: %v %v", found, err)
	}
	keysOf := func(h *house) []byte {
		document, err := h.engine.ServiceJWKS(t.Context(), h.service.ID)
		if err != nil {
			t.Fatal(err)
		}
		return document
	}
	if string(keysOf(a)) == string(keysOf(b)) {
		t.Error("two services share their keys")
	}
	if _, err := a.engine.Token(t.Context(), 999, engine.TokenRequest{}); err != engine.ErrNoService {
		t.Errorf("unknown service: %v", err)
	}
}

// threats.md 31: a token cannot touch another subject's grant, and ids are
// never given to another name.
func TestThreat31IDsAreNotReused(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	before, _ := h.engine.ClientByAlias(t.Context(), h.service.ID, "spa")
	d := h.options.Services[0]
	var kept []model.Client
	for _, c := range d.Clients {
		if c.Alias != "spa" {
			kept = append(kept, c)
		}
	}
	newcomer, err := model.NewClient("newcomer", model.Settings{"redirectUris": raw([]string{redirect})})
	if err != nil {
		t.Fatal(err)
	}
	d.Clients = append(kept, newcomer)
	later := openOn(t, h.store, d)
	got, _ := later.engine.ClientByAlias(t.Context(), later.service.ID, "newcomer")
	if got.ID == before.ID {
		t.Error("a new client has a former client's id")
	}
	alice, bob := h.tokens("spa"), h.own("service", "orders:read")
	h.revoke("service", bob.AccessToken)
	if !h.usable(alice.AccessToken) {
		t.Error("revoking one token ended another subject's")
	}
}

// RFC 6750 §3.1: what introspection answers to a gateway.
func TestIntrospectionActions(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	token := h.tokens("spa").AccessToken
	for name, c := range map[string]struct {
		req    engine.IntrospectionRequest
		action model.Action
	}{
		"good":            {engine.IntrospectionRequest{Token: token, Scopes: []string{"orders:read"}, Subject: "alice"}, model.ActionOK},
		"missing":         {engine.IntrospectionRequest{}, model.ActionBadRequest},
		"unknown":         {engine.IntrospectionRequest{Token: "ga_"}, model.ActionUnauthorized},
		"scope":           {engine.IntrospectionRequest{Token: token, Scopes: []string{"orders:write"}}, model.ActionForbidden},
		"another subject": {engine.IntrospectionRequest{Token: token, Subject: "bob"}, model.ActionForbidden},
	} {
		resp, err := h.engine.Introspection(t.Context(), h.service.ID, c.req)
		if err != nil || resp.Action != c.action || resp.Sufficient != (c.action == model.ActionOK) {
			t.Errorf("%s: %v %v", name, resp, err)
		}
	}
}

// The user's refusal, and the front's, reach the client (RFC 6749 §4.1.2.1,
// OpenID Connect Core §3.1.2.6).
func TestAuthorizationFail(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for reason, code := range map[engine.FailReason]string{
		engine.FailDenied: "access_denied", engine.FailNotLoggedIn: "login_required", engine.FailExceedsMaxAge: "login_required",
		engine.FailDifferentSubject: "login_required", engine.FailConsentRequired: "consent_required",
		engine.FailAccountSelectionRequired: "account_selection_required", engine.FailInteractionRequired: "interaction_required",
		engine.FailNotAuthenticated: "access_denied", engine.FailServerError: "server_error", engine.FailUnknown: "server_error", "NEW": "server_error",
	} {
		resp, err := h.engine.AuthorizationFail(t.Context(), h.service.ID, engine.AuthorizationFailRequest{Ticket: h.authorize(request("spa")).Ticket, Reason: reason})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(resp.ResponseContent)
		if err != nil || u.Query().Get("error") != code || u.Query().Get("state") != "s" || u.Query().Get("iss") != issuer {
			t.Errorf("%s: %s", reason, resp.ResponseContent)
		}
	}
}

// A user who was disabled while the pages were open gets no code (threats.md 4).
func TestThreat04NoCodeForDisabledUsers(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ticket := h.authorize(request("spa")).Ticket
	h.users.disabled.Store("alice", true)
	resp, err := h.engine.AuthorizationIssue(t.Context(), h.service.ID, engine.AuthorizationIssueRequest{Ticket: ticket, Subject: "alice"})
	if err != nil || resp.AuthorizationCode != "" || resp.Action != model.ActionLocation {
		t.Errorf("got %v %v", resp, err)
	}
}
