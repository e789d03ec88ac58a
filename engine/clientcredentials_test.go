package engine_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// own gets a token for the client itself.
func (h *house) own(client, scope string) *engine.TokenResponse {
	h.Helper()
	return h.token(client, "grant_type", "client_credentials", "scope", scope)
}

// RFC 6749 §4.4 and §5.1.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	resp := h.own("service", "orders:read openid unknown")
	h.want(resp, model.ActionOK)
	if diff := cmp.Diff([]string{"orders:read"}, resp.Scopes); diff != "" {
		t.Error(diff)
	}
	if resp.RefreshToken != "" || resp.IDToken != "" {
		t.Error("a client acting for itself got a refresh token or an ID token")
	}
	if !strings.Contains(resp.ResponseContent, `"token_type":"Bearer","expires_in":3600,"scope":"orders:read"`) {
		t.Errorf("content: %s", resp.ResponseContent)
	}
	h.wantError(h.own("service", "unknown"), "invalid_scope")
	h.wantError(h.own("service", strings.Repeat("x ", 5)+manyScopes(256)), "invalid_scope")
}

func manyScopes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("s")
		b.WriteString(strings.Repeat("x", i%50))
		b.WriteByte(byte('a' + i%26))
		b.WriteByte(byte('a' + i/26))
		b.WriteByte(' ')
	}
	return b.String()
}

// A client may ask only for its requestable scopes (threats.md 20: escalation).
func TestRequestableScopes(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	resp := h.token("post", "grant_type", "client_credentials", "scope", "orders:read orders:write", "client_secret", "post-secret")
	h.want(resp, model.ActionOK)
	if diff := cmp.Diff([]string{"orders:read"}, resp.Scopes); diff != "" {
		t.Error(diff)
	}
}

// The grant below a client's own tokens may be revoked at any time; the next
// token has a new one.
func TestOwnGrantIsMadeAgain(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	first := h.own("service", "orders:read")
	client, _ := h.engine.ClientByAlias(t.Context(), h.service.ID, "service")
	if err := h.engine.RevokeGrants(t.Context(), h.service.ID, "", client.ID); err != nil {
		t.Fatal(err)
	}
	second := h.own("service", "orders:read")
	h.want(second, model.ActionOK)
	if h.usable(first.AccessToken) || !h.usable(second.AccessToken) {
		t.Error("the revoked token lives, or the new one does not")
	}
}

// Tokens outlive the grant that the first of them came with.
func TestOwnGrantIsReplacedInTime(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"accessTokenDuration": raw(3600)})
	for range 5 {
		resp := h.own("service", "orders:read")
		h.pass(59 * time.Minute)
		if _, err := h.store.Sweep(t.Context(), h.clock(), 1000); err != nil {
			t.Fatal(err)
		}
		if !h.usable(resp.AccessToken) {
			t.Fatal("a token ended before its time")
		}
	}
}

// RFC 6749 §2.3, §5.2: clients authenticate by the one method they have.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, c := range []struct {
		name       string
		parameters string
		basic      engine.ClientCredentials
		action     model.Action
		code       string
	}{
		{"nothing", "", engine.ClientCredentials{}, model.ActionInvalidClient, "invalid_client"},
		{"unknown client", "", engine.ClientCredentials{ClientID: "nobody", ClientSecret: "x", Present: true}, model.ActionInvalidClient, "invalid_client"},
		{"wrong secret", "", engine.ClientCredentials{ClientID: "service", ClientSecret: "x", Present: true}, model.ActionInvalidClient, "invalid_client"},
		{"no secret", "", engine.ClientCredentials{ClientID: "service", Present: true}, model.ActionInvalidClient, "invalid_client"},
		{"none instead of basic", "client_id=service", engine.ClientCredentials{}, model.ActionInvalidClient, "invalid_client"},
		{"post instead of basic", "client_id=service&client_secret=service-secret", engine.ClientCredentials{}, model.ActionInvalidClient, "invalid_client"},
		{"basic instead of post", "", engine.ClientCredentials{ClientID: "post", ClientSecret: "post-secret", Present: true}, model.ActionInvalidClient, "invalid_client"},
		{"basic and post", "client_id=service&client_secret=service-secret", basic("service"), model.ActionBadRequest, "invalid_request"},
		{"two client ids", "client_id=web", basic("service"), model.ActionBadRequest, "invalid_request"},
		{"basic and assertion", "client_assertion=x", basic("service"), model.ActionBadRequest, "invalid_request"},
		{"public client for itself", "client_id=spa", engine.ClientCredentials{}, model.ActionBadRequest, "unauthorized_client"},
		{"not registered for it", "", basic("web"), model.ActionBadRequest, "unauthorized_client"},
		{"the same client id twice is once too often", "client_id=service&client_id=service", basic("service"), model.ActionBadRequest, "invalid_request"},
		{"client id repeated in the body", "client_id=service", basic("service"), model.ActionOK, ""},
		{"post", "client_id=post&client_secret=post-secret", engine.ClientCredentials{}, model.ActionOK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, err := h.engine.Token(t.Context(), h.service.ID, engine.TokenRequest{
				Parameters: "grant_type=client_credentials&" + c.parameters, Basic: c.basic})
			if err != nil {
				t.Fatal(err)
			}
			if resp.Action != c.action || errorCode(resp.ResponseContent) != c.code {
				t.Errorf("got %s %s", resp.Action, resp.ResponseContent)
			}
		})
	}
}

// RFC 6749 §5.2: the errors of the token endpoint.
func TestTokenErrors(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, c := range []struct {
		parameters, code string
	}{
		{"", "invalid_request"},
		{"grant_type=", "invalid_request"},
		{"grant_type=password&username=a&password=b", "unsupported_grant_type"},
		{"grant_type=authorization_code", "invalid_request"},
		{"grant_type=authorization_code&code=x", "invalid_grant"},
		{"grant_type=refresh_token", "invalid_request"},
		{"grant_type=refresh_token&refresh_token=gr_x", "invalid_grant"},
		{"grant_type=%ff", "invalid_request"},
		{"grant_type=x" + strings.Repeat("&a=", 40000), "invalid_request"},
	} {
		resp, err := h.engine.Token(t.Context(), h.service.ID, engine.TokenRequest{Parameters: c.parameters, Basic: basic("web")})
		if err != nil {
			t.Fatal(err)
		}
		if got := errorCode(resp.ResponseContent); got != c.code {
			t.Errorf("%.60s: got %s", c.parameters, resp.ResponseContent)
		}
	}
}

// A grant type that a service has not turned on does not exist.
func TestGrantTypeTurnedOff(t *testing.T) {
	t.Parallel()
	h := open(t, model.Settings{"supportedGrantTypes": raw([]string{"AUTHORIZATION_CODE"})})
	h.wantError(h.own("service", ""), "unsupported_grant_type")
	tokens := h.tokens("web")
	if tokens.RefreshToken != "" {
		t.Error("a refresh token was given although nothing takes it")
	}
}

// RFC 7009 §2: revoking a token, and what comes with it.
func TestRevocation(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	t.Run("an access token ends alone", func(t *testing.T) {
		tokens := h.tokens("web")
		if resp := h.revoke("web", tokens.AccessToken); resp.Action != model.ActionOK || resp.ResponseContent != "" {
			t.Errorf("got %v", resp)
		}
		if h.usable(tokens.AccessToken) {
			t.Error("it lives on")
		}
		h.want(h.refresh("web", tokens.RefreshToken), model.ActionOK)
	})
	t.Run("a refresh token ends all that came with it", func(t *testing.T) {
		tokens := h.tokens("web")
		h.revoke("web", tokens.RefreshToken)
		if h.usable(tokens.AccessToken) {
			t.Error("the access token lives on")
		}
		h.wantError(h.refresh("web", tokens.RefreshToken), "invalid_grant")
	})
	t.Run("a replaced refresh token too", func(t *testing.T) {
		first := h.tokens("spa")
		second := h.refresh("spa", first.RefreshToken)
		h.revoke("spa", first.RefreshToken)
		if h.usable(second.AccessToken) {
			t.Error("the family lives on")
		}
	})
	t.Run("unknown tokens are no error (§2.2)", func(t *testing.T) {
		for _, token := range []string{"x", "ga_x", "a.b.c"} {
			if resp := h.revoke("web", token); resp.Action != model.ActionOK {
				t.Errorf("%s: %v", token, resp)
			}
		}
	})
	t.Run("another client's token stays (§2.1)", func(t *testing.T) {
		tokens := h.tokens("web")
		if resp := h.revoke("web2", tokens.AccessToken); resp.Action != model.ActionBadRequest {
			t.Errorf("got %v", resp)
		}
		if !h.usable(tokens.AccessToken) {
			t.Error("it was revoked by another client")
		}
	})
	t.Run("no token", func(t *testing.T) {
		resp, err := h.engine.Revocation(t.Context(), h.service.ID, engine.RevocationRequest{Basic: basic("web")})
		if err != nil || errorCode(resp.ResponseContent) != "invalid_request" {
			t.Errorf("got %v, %v", resp, err)
		}
	})
}

// RFC 7662 §2.1, §2.2.
func TestStandardIntrospection(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ask := func(basic engine.ClientCredentials, v url.Values) *engine.StandardIntrospectionResponse {
		resp, err := h.engine.StandardIntrospection(t.Context(), h.service.ID, engine.StandardIntrospectionRequest{Parameters: v.Encode(), Basic: basic})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	tokens := h.tokens("spa")
	for name, token := range map[string]string{"access token": tokens.AccessToken, "refresh token": tokens.RefreshToken} {
		got := ask(basic("service"), url.Values{"token": {token}}).ResponseContent
		for _, want := range []string{`"active":true`, `"client_id":"spa"`, `"sub":"alice"`, `"iss":"` + issuer + `"`, `"scope":"openid profile orders:read offline_access"`} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %s lacks %s", name, got, want)
			}
		}
	}
	second := h.refresh("spa", tokens.RefreshToken)
	for name, token := range map[string]string{
		"unknown": "x", "replaced refresh token": tokens.RefreshToken, "replaced access token": tokens.AccessToken, "ID token": second.IDToken,
	} {
		if got := ask(basic("service"), url.Values{"token": {token}}).ResponseContent; got != `{"active":false}` {
			t.Errorf("%s: %s", name, got)
		}
	}
	if resp := ask(engine.ClientCredentials{}, url.Values{"token": {second.AccessToken}, "client_id": {"spa"}}); resp.Action != model.ActionInvalidClient {
		t.Errorf("a public client may introspect: %v", resp)
	}
	if resp := ask(basic("service"), nil); errorCode(resp.ResponseContent) != "invalid_request" {
		t.Errorf("no token: %v", resp)
	}
}
