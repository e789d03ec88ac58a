package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// The clients of the service that does OpenID Connect, beside flowClient.
const (
	assertionClient = "assertion" // private_key_jwt
	unsignedClient  = "plain"     // asks for no ID token
	signedClient    = "signed"    // ES256
	encryptedClient = "encrypted" // ES256, then ECDH-ES
)

// newKey makes the key pair of the clients, and its JWK Set.
func newKey() (*ecdsa.PrivateKey, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	encode := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	public, err := key.PublicKey.ECDH()
	if err != nil {
		return nil, "", err
	}
	point := public.Bytes() // 4, x, y
	jwks, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:]),
	}}})
	return key, string(jwks), err
}

// codeSides compares the whole code flow with oidc-provider's.
func codeSides(ctx context.Context, b *bench) (what, against side, err error) {
	caddy, err := b.caddy(ctx)
	if err != nil {
		return what, against, err
	}
	ours, err := caddy.flow(ctx)
	if err != nil {
		return what, against, err
	}
	peer, theirs, err := b.oidcProviderFlow(ctx)
	if err != nil {
		return what, against, err
	}
	const scopes = "openid email"
	for _, f := range []*codeFlow{ours, theirs} {
		if _, err := f.signIn(ctx, f.request(scopes)); err != nil {
			return what, against, err
		}
	}
	return b.flows(caddy.child, repeat(b.connections, ours.worker(scopes))),
		b.flows(peer, repeat(b.connections, theirs.worker(scopes))), nil
}

func repeat(n int, w worker) []worker {
	workers := make([]worker, n)
	for i := range workers {
		workers[i] = w
	}
	return workers
}

func (c *caddyServer) flow(ctx context.Context) (*codeFlow, error) {
	at := c.OpenID.URL()
	return &codeFlow{client: newHTTPClient(), authorize: at + "/authorize", token: at + "/token", userinfo: at + "/userinfo", user: flowUser}, ctx.Err()
}

// assertionCount is how many assertions are signed beforehand: each is good
// once, and signing them meanwhile would be part of the measurement.
const assertionCount = 150_000

// assertionSides compares private_key_jwt with a client secret.
func assertionSides(ctx context.Context, b *bench) (what, against side, err error) {
	caddy, err := b.caddy(ctx)
	if err != nil {
		return what, against, err
	}
	f, err := caddy.flow(ctx)
	if err != nil {
		return what, against, err
	}
	forms, err := caddy.assertions(assertionCount)
	if err != nil {
		return what, against, err
	}
	var next atomic.Int64
	withAssertion := func(ctx context.Context) error {
		i := next.Add(1)
		if i > assertionCount {
			return fmt.Errorf("the %d assertions are used up: measure fewer rounds", assertionCount)
		}
		return f.post(ctx, forms[i-1], "")
	}
	secret := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}.Encode()
	withSecret := func(ctx context.Context) error { return f.post(ctx, secret, flowClient) }
	return b.flows(caddy.child, repeat(b.connections, withAssertion)), b.flows(caddy.child, repeat(b.connections, withSecret)), nil
}

// assertions signs token requests (RFC 7523 §2.2), ES256.
func (c *caddyServer) assertions(n int) ([]string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	header := encode([]byte(`{"alg":"ES256","typ":"JWT"}`))
	now := time.Now().Unix()
	forms := make([]string, n)
	for i := range forms {
		claims, err := json.Marshal(map[string]any{
			"iss": assertionClient, "sub": assertionClient, "aud": c.OpenID.URL(), "iat": now, "exp": now + 3500, "jti": strconv.Itoa(i),
		})
		if err != nil {
			return nil, err
		}
		input := header + "." + encode(claims)
		digest := sha256.Sum256([]byte(input))
		r, s, err := ecdsa.Sign(rand.Reader, c.key, digest[:])
		if err != nil {
			return nil, err
		}
		signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		forms[i] = url.Values{
			"grant_type": {"client_credentials"}, "scope": {scope},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {input + "." + encode(signature)},
		}.Encode()
	}
	return forms, nil
}

// idTokenSides compares refreshing as two clients, which get different ID tokens.
func idTokenSides(whatClient, againstClient string) func(context.Context, *bench) (what, against side, err error) {
	return func(ctx context.Context, b *bench) (what, against side, err error) {
		caddy, err := b.caddy(ctx)
		if err != nil {
			return what, against, err
		}
		if what, err = b.refreshing(ctx, caddy, whatClient); err != nil {
			return what, against, err
		}
		against, err = b.refreshing(ctx, caddy, againstClient)
		return what, against, err
	}
}

// refreshing gives each connection a refresh token of its own, and uses it.
func (b *bench) refreshing(ctx context.Context, caddy *caddyServer, client string) (side, error) {
	f, err := caddy.flow(ctx)
	if err != nil {
		return side{}, err
	}
	form := url.Values{"grant_type": {"password"}, "username": {flowUser}, "password": {flowPassword}, "scope": {"openid offline_access"}}
	if client == unsignedClient {
		form.Set("scope", scope)
	}
	workers := make([]worker, b.connections)
	for i := range workers {
		tokens, err := f.tokens(ctx, client, form)
		if err != nil {
			return side{}, err
		}
		refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"]}}.Encode()
		workers[i] = func(ctx context.Context) error { return f.post(ctx, refresh, client) }
	}
	return b.flows(caddy.child, workers), nil
}
