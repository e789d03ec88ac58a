package main_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// algClients are confidential clients, one for each way to sign an ID token.
const algClients = `client rs {
	client_secret the-secret-of-rs
	redirect_uris http://localhost:{$APP}/callback
}
client es {
	client_secret the-secret-of-es
	redirect_uris http://localhost:{$APP}/callback
	id_token_sign_alg ES256
}
client ed {
	client_secret the-secret-of-ed
	redirect_uris http://localhost:{$APP}/callback
	id_token_sign_alg EdDSA
	token_auth_method client_secret_post
}`

// TestGoClient: golang.org/x/oauth2 and coreos/go-oidc find their way by
// discovery, and believe what they get.
func TestGoClient(t *testing.T) {
	s := startOwn(t, caddyfile(t, "clients", algClients))
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, s.as)
	if err != nil {
		t.Fatal(err)
	}
	for client, alg := range map[string]string{"rs": "RS256", "es": "ES256", "ed": "EdDSA", "native": "RS256"} {
		t.Run(client, func(t *testing.T) {
			config := oauth2.Config{
				ClientID: client, ClientSecret: "the-secret-of-" + client, Endpoint: provider.Endpoint(),
				RedirectURL: s.app + "/callback", Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess, "orders:read"},
			}
			if client == "native" {
				config.ClientSecret, config.RedirectURL = "", "http://127.0.0.1:53682/callback"
			}
			verifier := oauth2.GenerateVerifier()
			p := s.person(t)
			page := p.open(config.AuthCodeURL("a-state", oidc.Nonce("a-nonce"), oauth2.S256ChallengeOption(verifier)))
			page = p.submit(page, "username", "Alice", "password", wonder)
			p.submit(page, "action", "allow")
			answer := p.answer()
			if answer.Get("state") != "a-state" || answer.Get("iss") != s.as {
				t.Fatalf("answer %v", answer)
			}
			token, err := config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			idToken, err := provider.Verifier(&oidc.Config{ClientID: client, SupportedSigningAlgs: []string{alg}}).Verify(ctx, token.Extra("id_token").(string))
			if err != nil {
				t.Fatal(err)
			}
			if idToken.Nonce != "a-nonce" || idToken.Subject != alice {
				t.Errorf("%+v", idToken)
			}
			if idToken.AccessTokenHash != "" {
				if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
					t.Error(err)
				}
			}
			info, err := provider.UserInfo(ctx, config.TokenSource(ctx, token))
			if err != nil {
				t.Fatal(err)
			}
			if info.Subject != alice || info.Email != "alice@example.com" {
				t.Errorf("%+v", info)
			}
			again, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil {
				t.Fatal(err)
			}
			if again.AccessToken == token.AccessToken || (client == "native") == (again.RefreshToken == token.RefreshToken) {
				t.Errorf("refresh: rotation is for public clients: %v", again.RefreshToken == token.RefreshToken)
			}
			resp, err := config.Client(ctx, again).Get(s.api + "/orders")
			if err != nil {
				t.Fatal(err)
			}
			if resp.Body.Close(); resp.StatusCode != http.StatusOK {
				t.Errorf("API: %d", resp.StatusCode)
			}
		})
	}
}

// TestNodeClients: openid-client and oauth4webapi, which are as strict as the
// specifications, discover, sign in with PKCE and iss, refresh with rotation,
// introspect, revoke, and get userinfo and client credentials.
func TestNodeClients(t *testing.T) {
	node := requirePart(t, "node")
	s := startOwn(t, caddyfile(t, "clients", algClients))
	for _, script := range []string{"openid-client.mjs", "oauth4webapi.mjs"} {
		t.Run(script, func(t *testing.T) {
			reads(t, filepath.Join("testdata", script), filepath.Join("testdata", "person.mjs"), filepath.Join("testdata", "package-lock.json"))
			for client, alg := range map[string]string{"rs": "RS256", "es": "ES256", "ed": "EdDSA", "native": "RS256"} {
				redirect, secret := s.app+"/callback", "the-secret-of-"+client
				if client == "native" {
					redirect, secret = "http://127.0.0.1:53682/callback", ""
				}
				cmd := exec.Command(node, filepath.Join("testdata", script))
				cmd.Env = append(os.Environ(), "ISSUER="+s.as, "API="+s.api+"/orders", "CLIENT_ID="+client, "CLIENT_SECRET="+secret,
					"REDIRECT_URI="+redirect, "USERNAME="+alice, "PASSWORD="+wonder, "SERVICE_ID="+demo, "SERVICE_SECRET="+demoSecret,
					"AUTH_METHOD="+map[bool]string{true: "client_secret_post", false: "client_secret_basic"}[client == "ed"])
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%s: %v\n%s", client, err, stderr.String())
				}
				var got map[string]any
				if err := json.Unmarshal(out, &got); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				for what, want := range map[string]any{
					"sub": alice, "alg": alg, "email": "alice@example.com", "api": 200.0, "rotated": client == "native",
					"apiAfterRevocation": 401.0, "active": client != "native", "activeAfterRevocation": false,
					"serviceScope": "orders:read", "wrongState": "refused", "reuse": map[bool]any{true: "invalid_grant", false: nil}[client == "native"],
				} {
					if got[what] != want {
						t.Errorf("%s: %s is %v, want %v (all: %s)", client, what, got[what], want, out)
					}
				}
			}
		})
	}
}
