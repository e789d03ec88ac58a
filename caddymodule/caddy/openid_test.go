package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// certification is the example of that name: an OpenID Provider with
// everything turned on, over TLS.
func certification(t *testing.T, s *server) {
	s.as = "https://localhost:8140"
	root := filepath.Join(s.folder, "caddy", "pki", "authorities", "local", "root.crt")
	o := &provider{server: s, root: root}
	wait(t, "a certificate", func() error {
		var err error
		if o.client, err = trusting(root); err != nil {
			return err
		}
		_, err = try(o.client, http.MethodGet, s.as+"/jwks", "")
		return err
	})
	t.Run("openid-client", func(t *testing.T) { o.node(t, "openid.mjs", 30) })
	t.Run("oauth4webapi", func(t *testing.T) { o.node(t, "openid-oauth4webapi.mjs", 13) })
	t.Run("go-oidc", o.goOIDC)
	t.Run("response types", o.responseTypes)
	t.Run("direct endpoints", o.directEndpoints)
	t.Run("linter", o.linter)
}

// provider is the server of the example, and a client that trusts its certificate.
type provider struct {
	*server
	root   string // file of the authority's certificate
	client *http.Client
}

func trusting(file string) (*http.Client, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
}

func (o *provider) send(t *testing.T, method, path, body string, headers ...string) *reply {
	t.Helper()
	r, err := try(o.client, method, o.as+path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// node: a library of npm's registers clients and goes through every flow that
// it knows with them: each client authentication, response type and mode,
// signature and encryption, request objects, claims, pairwise subjects.
func (o *provider) node(t *testing.T, script string, flows int) {
	node := requirePart(t, "node")
	reads(t, filepath.Join("testdata", script), filepath.Join("testdata", "person.mjs"), filepath.Join("testdata", "package-lock.json"))
	cmd := exec.Command(node, filepath.Join("testdata", script))
	cmd.Env = append(os.Environ(), "ISSUER="+o.as, "USERNAME="+alice, "PASSWORD="+wonder, "NODE_EXTRA_CA_CERTS="+o.root)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var outcomes map[string]string
	if err := json.Unmarshal(out, &outcomes); err != nil || len(outcomes) < flows {
		t.Fatalf("%v: %s", err, out)
	}
	for flow, outcome := range outcomes {
		if outcome != "ok" {
			t.Errorf("%s: %s", flow, outcome)
		}
	}
}

// goOIDC: coreos/go-oidc finds its way by discovery, and believes ID tokens of
// the code flow by every algorithm that it knows.
func (o *provider) goOIDC(t *testing.T) {
	ctx := oidc.ClientContext(t.Context(), o.client)
	found, err := oidc.NewProvider(ctx, o.as)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA} {
		t.Run(alg, func(t *testing.T) {
			client := o.send(t, http.MethodPost, "/register", `{"redirect_uris":["`+certifiedRedirect+`"],"id_token_signed_response_alg":"`+alg+`"}`,
				"Content-Type", "application/json").want(t, http.StatusCreated)
			config := oauth2.Config{
				ClientID: client.text(t, "client_id"), ClientSecret: client.text(t, "client_secret"), Endpoint: found.Endpoint(),
				RedirectURL: certifiedRedirect, Scopes: []string{oidc.ScopeOpenID, "email"},
			}
			p := o.person(t)
			p.client.Transport = o.client.Transport
			r := newRequest(config.ClientID, certifiedRedirect, "openid email")
			answer, _ := p.answered(t, r)
			token, err := config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(r.verifier))
			if err != nil {
				t.Fatal(err)
			}
			idToken, err := found.Verifier(&oidc.Config{ClientID: config.ClientID, SupportedSigningAlgs: []string{alg}}).Verify(ctx, token.Extra("id_token").(string))
			if err != nil || idToken.Nonce != r.Get("nonce") {
				t.Fatalf("%v %v", idToken, err)
			}
			if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
				t.Error(err)
			}
			info, err := found.UserInfo(ctx, config.TokenSource(ctx, token))
			if err != nil || info.Subject != idToken.Subject || info.Email != "alice@example.com" {
				t.Errorf("userinfo: %v %v", info, err)
			}
		})
	}
}

const certifiedRedirect = "https://client.example.com/callback?kept=1"

// responseTypes: each response type by each mode that it may have (Multiple
// Response Types §5, Form Post Response Mode §2).
func (o *provider) responseTypes(t *testing.T) {
	client := o.send(t, http.MethodPost, "/register", `{"redirect_uris":["`+certifiedRedirect+`"],
		"grant_types":["authorization_code","implicit"],
		"response_types":["none","code","token","id_token","code token","code id_token","token id_token","code id_token token"]}`,
		"Content-Type", "application/json").want(t, http.StatusCreated).text(t, "client_id")
	p := o.person(t)
	p.client.Transport = o.client.Transport
	for responseType, members := range map[string]string{
		"none": "", "code": "code", "token": "access_token", "id_token": "id_token", "code token": "access_token code",
		"code id_token": "code id_token", "id_token token": "access_token id_token", "code id_token token": "access_token code id_token",
	} {
		for _, mode := range []string{"query", "fragment", "form_post"} {
			t.Run(responseType+" by "+mode, func(t *testing.T) {
				p.t = t
				r := newRequest(client, certifiedRedirect, "openid email")
				r.Set("response_type", responseType)
				r.Set("response_mode", mode)
				answer, by := p.answered(t, r)
				if mode == "query" && strings.Contains(responseType, "token") {
					if by != "fragment" || answer.Get("error") != "invalid_request" {
						t.Errorf("tokens in a query: %v by %s", answer, by)
					}
					return
				}
				if by != mode || answer.Get("state") != r.Get("state") || answer.Get("iss") != o.as {
					t.Fatalf("%v by %s", answer, by)
				}
				var got []string
				for _, name := range []string{"access_token", "code", "error", "id_token"} {
					if answer.Has(name) {
						got = append(got, name)
					}
				}
				if strings.Join(got, " ") != members {
					t.Errorf("the answer has %v, want %s: %v", got, members, answer)
				}
			})
		}
	}
}

// answered goes through the pages, and returns the answer and the mode by which
// it came.
func (p *person) answered(t *testing.T, r *request) (answer url.Values, mode string) {
	t.Helper()
	page := p.open(p.as + "/authorize?" + r.Encode())
	for p.left == nil && (page.url.Path == "/login" || page.url.Path == "/consent") && strings.Contains(page.body, `name="csrf"`) {
		if page.url.Path == "/login" {
			page = p.submit(page, "username", alice, "password", wonder)
		} else {
			page = p.submit(page, "action", "allow")
		}
	}
	if p.left == nil {
		match := formPattern.FindStringSubmatch(page.body)
		if match == nil || !strings.HasPrefix(match[1], "https://client.example.com/callback?kept=1") {
			t.Fatalf("neither a redirect nor a form to the client: %d %s", page.status, page.body)
		}
		answer = url.Values{}
		for _, field := range fieldPattern.FindAllStringSubmatch(match[2], -1) {
			answer.Set(field[1], field[2])
		}
		return answer, "form_post"
	}
	left := p.left
	p.left = nil
	if left.Query().Get("kept") != "1" {
		t.Errorf("the registered query is gone: %s", left)
	}
	if left.Fragment != "" {
		answer, _ = url.ParseQuery(left.EscapedFragment())
		return answer, "fragment"
	}
	return left.Query(), "query"
}

// directEndpoints: by API key, and 404 unless they are enabled. The API key
// and secret are a resource server's credentials at the introspection endpoint.
func (o *provider) directEndpoints(t *testing.T) {
	o.send(t, http.MethodGet, "/api/service/jwks/get/direct/certification", "").want(t, http.StatusOK)
	o.send(t, http.MethodPost, "/api/auth/token/direct/certification", "grant_type=client_credentials").want(t, http.StatusUnauthorized)
	for _, path := range []string{"authorization", "revocation", "introspection", "userinfo"} {
		o.send(t, http.MethodPost, "/api/auth/"+path+"/direct/certification", "token=x").want(t, http.StatusNotFound)
	}
	introspected := o.send(t, http.MethodPost, "/introspect", "token=x", "Authorization", basic("certification", "certification-api-secret")).want(t, http.StatusOK)
	if introspected.body != `{"active":false}` {
		t.Errorf("introspection by API key: %s", introspected.body)
	}
	o.send(t, http.MethodPost, "/introspect", "token=x", "Authorization", basic("certification", "certification-api-secreT")).want(t, http.StatusUnauthorized)
	if kept := o.send(t, http.MethodGet, "/jwks", "").header.Get("Cache-Control"); kept != "public, max-age=900" {
		t.Errorf("the JWK Set may be kept: %q", kept)
	}
}

// linter: what this example turns on for the profiles is what the linter warns of.
func (o *provider) linter(t *testing.T) {
	var list []struct {
		Issuer   string
		Findings []struct{ Level, Setting string }
	}
	out := o.gatehouse("", "service", "check", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 || list[0].Issuer != o.as {
		t.Fatalf("%v: %s", err, out)
	}
	var settings []string
	for _, f := range list[0].Findings {
		settings = append(settings, f.Level+" "+f.Setting)
	}
	for _, want := range []string{"warning supported_grant_types", "warning pkce_required", "warning dynamic_registration_supported"} {
		if !slices.Contains(settings, want) {
			t.Errorf("no %s in %v", want, settings)
		}
	}
	if _, _, err := o.command("", "gatehouse", "--config", o.config, "service", "check", "--strict"); err == nil {
		t.Error("--strict accepts the warnings")
	}
}
