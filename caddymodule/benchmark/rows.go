package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwa"
)

// row is one line of the table.
type row struct {
	name    string
	what    string
	against string
	// atLeast is the ratio that is wanted; 0: none is.
	atLeast float64
	// wanted says in words what is wanted, when it is no ratio.
	wanted string
	// sides are what is compared; nil when the row is a figure of its own.
	sides   func(context.Context, *bench) (what, against side, _ error)
	measure func(context.Context, *bench, row) result
}

// result is what came of a row.
type result struct {
	row
	comparison *comparison
	figure     string             // instead of a comparison
	note       string             // what else was seen
	numbers    map[string]float64 // for the file of measurements
	good       bool
	skipped    string // why it was not measured
	err        error
}

var rows = slices.Concat(caddyRows, postgresRows, storeRows)

var caddyRows = []row{
	{
		name: "gateway", what: "gateway, cached token", against: "plain reverse_proxy", atLeast: 0.97,
		sides: gatewaySides(opaqueToken, func(c *caddyServer) (what, against port) { return c.Gateway, c.Proxy }), measure: measureSides,
	},
	{
		name: "gateway-forward", what: "gateway, cached token, a claim as a header", against: "reverse_proxy that sets a header",
		sides: gatewaySides(opaqueToken, func(c *caddyServer) (what, against port) { return c.Forward, c.HeaderUp }), measure: measureSides,
	},
	{
		name: "gateway-jwt", what: "gateway, cached JWT", against: "plain reverse_proxy", atLeast: 0.97,
		sides: gatewaySides(jwtToken, func(c *caddyServer) (what, against port) { return c.JWT, c.Proxy }), measure: measureSides,
	},
	{
		name: "gateway-phantom", what: "gateway, cached token, a JWT in its place", against: "plain reverse_proxy", atLeast: 0.95,
		sides: gatewaySides(opaqueToken, func(c *caddyServer) (what, against port) { return c.Phantom, c.Proxy }), measure: measureSides,
	},
	{
		name: "jwt-es256", what: "ES256 JWT verified anew", against: "its signature check alone", atLeast: 0.80,
		measure: measureVerification(jwa.ES256),
	},
	{
		name: "jwt-rs256", what: "RS256 JWT verified anew", against: "its signature check alone", atLeast: 0.80,
		measure: measureVerification(jwa.RS256),
	},
	{
		name: "cache-hit", what: "cache hit", wanted: "< 500 ns, ≤ 1 allocation", measure: measureCacheHit,
	},
	{
		name: "opaque", what: "client_credentials, opaque, durable", against: "static respond", atLeast: 0.45,
		sides: tokenSides(opaque), measure: measureSides,
	},
	{
		name: "opaque-fosite", what: "client_credentials, opaque, durable", against: "fosite, in memory",
		sides: fositeSides, measure: measureSides,
	},
	{
		name: "opaque-oidc-provider", what: "client_credentials, opaque, durable", against: "oidc-provider, in memory",
		sides: oidcProviderSides, measure: measureSides,
	},
	{
		name: "es256", what: "client_credentials, ES256 JWT", against: "static respond", atLeast: 0.35,
		sides: tokenSides(es256), measure: measureSides,
	},
	{
		name: "eddsa", what: "client_credentials, EdDSA JWT", against: "static respond", atLeast: 0.35,
		sides: tokenSides(eddsa), measure: measureSides,
	},
	{
		name: "rs256", what: "client_credentials, RS256 JWT", against: "raw RSA-2048 signing", atLeast: 0.90,
		sides: rsaSides, measure: measureSides,
	},
	{
		name: "introspection", what: "introspection, opaque", against: "static respond", atLeast: 0.50,
		sides: introspectionSides, measure: measureSides,
	},
	{
		name: "code", what: "code flow: authorize, token, userinfo, durable", against: "oidc-provider, in memory",
		sides: codeSides, measure: measureSides,
	},
	{
		name: "private-key-jwt", what: "client_credentials, private_key_jwt ES256", against: "client_credentials, client_secret_basic",
		sides: assertionSides, measure: measureSides,
	},
	{
		name: "id-token", what: "refresh, ID token ES256", against: "refresh without an ID token",
		sides: idTokenSides(signedClient, unsignedClient), measure: measureSides,
	},
	{
		name: "id-token-encrypted", what: "refresh, ID token ES256 in ECDH-ES A128GCM", against: "refresh without an ID token",
		sides: idTokenSides(encryptedClient, unsignedClient), measure: measureSides,
	},
	{
		name: "new-tokens", what: "new tokens, the engine 50 ms away, HTTP/1.1", wanted: newTokensWanted, measure: measureNewTokens(false),
	},
	{
		name: "new-tokens-http2", what: "new tokens, the engine 50 ms away, HTTP/2", wanted: newTokensWanted, measure: measureNewTokens(true),
	},
	{
		name: "million", what: "cache of many tokens", wanted: "≥ 99 % there, hit < 500 ns, ≤ 1 allocation", measure: measureMany,
	},
	{
		name: "revocation-lag", what: "from revoked at the engine to 401 at a gateway elsewhere", wanted: "p99 < 1 s", measure: measureLag,
	},
	{
		name: "disk", what: "disk per opaque token", wanted: "≤ 200 bytes", measure: measureDisk,
	},
}

func rowNames() []string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.name
	}
	return names
}

// measureSides compares the two sides of a row.
func measureSides(ctx context.Context, b *bench, r row) result {
	defer b.stopPeers()
	what, against, err := r.sides(ctx, b)
	if missing, ok := err.(notInstalled); ok {
		return result{skipped: string(missing)}
	}
	if err != nil {
		return result{err: err}
	}
	return b.measure(ctx, r, what, against)
}

func (b *bench) measure(ctx context.Context, r row, what, against side) result {
	c, err := compare(ctx, b.rounds, b.duration, what, against)
	if err != nil {
		return result{err: err}
	}
	return result{comparison: c, good: c.ratio() >= r.atLeast}
}

// opaqueToken and jwtToken are tokens for gatewaySides.
func opaqueToken(c *caddyServer) (string, error) { return issue(c.address(opaque)) }
func jwtToken(c *caddyServer) (string, error)    { return c.authority.token(0) }

// gatewaySides compares two ports in front of the upstream, with one token.
func gatewaySides(newToken func(*caddyServer) (string, error), ports func(*caddyServer) (what, against port)) func(context.Context, *bench) (what, against side, err error) {
	return func(ctx context.Context, b *bench) (what, against side, err error) {
		caddy, err := b.caddy(ctx)
		if err != nil {
			return what, against, err
		}
		token, err := newToken(caddy)
		if err != nil {
			return what, against, err
		}
		headers := "Authorization: Bearer " + token + "\r\n"
		gateway, proxy := ports(caddy)
		what = b.load(caddy.child, gateway.address(), get(gateway.host(), "/orders", headers), upstreamBody)
		against = b.load(caddy.child, proxy.address(), get(proxy.host(), "/orders", headers), upstreamBody)
		return what, against, nil
	}
}

// tokenSides compares the token endpoint of a service with a static answer of
// the same size to the same request.
func tokenSides(kind tokenKind) func(context.Context, *bench) (what, against side, err error) {
	return func(ctx context.Context, b *bench) (what, against side, err error) {
		caddy, err := b.caddy(ctx)
		if err != nil {
			return what, against, err
		}
		return b.issuing(caddy, kind), b.static(caddy, string(kind), tokenForm, "/token"), nil
	}
}

func (b *bench) issuing(caddy *caddyServer, kind tokenKind) side {
	return b.load(caddy.child, caddy.address(kind), post(caddy.Services[kind].host(), "/token", tokenForm), `{"access_token":"`)
}

func (b *bench) static(caddy *caddyServer, name, form, path string) side {
	at := caddy.Static[name]
	return b.load(caddy.child, at.Port.address(), post(at.Port.host(), path, form), "xxxx")
}

func fositeSides(ctx context.Context, b *bench) (what, against side, err error) {
	caddy, err := b.caddy(ctx)
	if err != nil {
		return what, against, err
	}
	against, err = b.fosite(ctx)
	return b.issuing(caddy, opaque), against, err
}

func oidcProviderSides(ctx context.Context, b *bench) (what, against side, err error) {
	against, err = b.oidcProvider(ctx)
	if err != nil {
		return what, against, err
	}
	caddy, err := b.caddy(ctx)
	if err != nil {
		return what, against, err
	}
	return b.issuing(caddy, opaque), against, nil
}

func rsaSides(ctx context.Context, b *bench) (what, against side, err error) {
	caddy, err := b.caddy(ctx)
	if err != nil {
		return what, against, err
	}
	against, err = rawRSA()
	return b.issuing(caddy, rs256), against, err
}

func introspectionSides(ctx context.Context, b *bench) (what, against side, err error) {
	caddy, err := b.caddy(ctx)
	if err != nil {
		return what, against, err
	}
	token, err := issue(caddy.address(opaque))
	if err != nil {
		return what, against, fmt.Errorf("a token to introspect: %w", err)
	}
	form := "token=" + token
	what = b.load(caddy.child, caddy.address(opaque), post(caddy.Services[opaque].host(), "/introspect", form), `{"active":true`)
	return what, b.static(caddy, "introspection", form, "/introspect"), nil
}
