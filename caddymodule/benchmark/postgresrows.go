package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"runtime"
	"time"
)

// postgresRows are measured on a node whose store is in PostgreSQL, on the same
// machine.
var postgresRows = []row{
	{
		name: "postgres", what: "client_credentials, opaque, durable, on PostgreSQL", against: "the same on SQLite",
		sides: bothStores(issuingOpaque), measure: measureStores,
	},
	{
		name: "postgres-refresh", what: "refresh, opaque, on PostgreSQL", against: "the same on SQLite",
		sides: bothStores(refreshingOpaque), measure: measureStores,
	},
	{
		name: "postgres-code-flow", what: "code flow: authorize, token, userinfo, on PostgreSQL", against: "the same on SQLite",
		sides: bothStores(codeFlows), measure: measureStores,
	},
	{
		name: "postgres-sign-in", what: "code flow with a sign-in by password, on PostgreSQL", against: "the same on SQLite",
		sides: bothStores(signingInAs(flowUser, 2*runtime.NumCPU())), measure: measureStores,
	},
	{
		name: "postgres-quick-sign-in", what: "the same by a password with a hash that costs next to nothing", against: "the same on SQLite",
		sides: bothStores(signingInAs(quickUser, 8*runtime.NumCPU())), measure: measureStores,
	},
	{
		name: "postgres-introspection", what: "introspection, 1,000 opaque tokens, on PostgreSQL", against: "the same on SQLite",
		sides: bothStores(introspectingOpaque), measure: measureStores,
	},
	{
		name: "postgres-introspection-cached", what: "gateway, 1,000 cached tokens, on PostgreSQL", against: "the same on SQLite",
		sides: bothStores(introspectingCached), measure: measureStores,
	},
	{
		name: "postgres-revocation-lag", what: "from revoked at one node to 401 at another's gateway", wanted: "p99 < 1 s", measure: measureNodesLag,
	},
}

// postgres starts PostgreSQL.
func (b *bench) postgres(ctx context.Context) (_ *postgresServer, err error) {
	if b.database == nil {
		b.database, err = startPostgres(ctx)
	}
	return b.database, err
}

// nodeOnPostgres starts a node on PostgreSQL, laid out as the one on SQLite.
func (b *bench) nodeOnPostgres(ctx context.Context) (*caddyServer, error) {
	if b.onPostgres != nil {
		return b.onPostgres, nil
	}
	database, err := b.postgres(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.buildCaddy(ctx); err != nil {
		return nil, err
	}
	b.onPostgres, err = b.startNode(ctx, database)
	return b.onPostgres, err
}

func (b *bench) startNode(ctx context.Context, database *postgresServer) (*caddyServer, error) {
	folder, err := b.newFolder()
	if err != nil {
		return nil, err
	}
	l, err := newLayout(folder, b.upstream.port(), b.profile != "")
	if err != nil {
		return nil, err
	}
	if l.DSN, err = database.create(ctx, "node"); err != nil {
		return nil, err
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	l.MasterKey = hex.EncodeToString(key[:])
	return startCaddy(ctx, b.binary, folder, l)
}

// operation keeps a node busy.
type operation func(context.Context, *bench, *caddyServer) (side, error)

// bothStores compares an operation on PostgreSQL with the same on SQLite.
func bothStores(of operation) func(context.Context, *bench) (what, against side, err error) {
	return func(ctx context.Context, b *bench) (what, against side, err error) {
		node, err := b.nodeOnPostgres(ctx)
		if err != nil {
			return what, against, err
		}
		if what, err = of(ctx, b, node); err != nil {
			return what, against, fmt.Errorf("on PostgreSQL: %w", err)
		}
		what.server = func() time.Duration { return node.cpu() + b.database.cpu() }
		lite, err := b.caddy(ctx)
		if err != nil {
			return what, against, err
		}
		if against, err = of(ctx, b, lite); err != nil {
			err = fmt.Errorf("on SQLite: %w", err)
		}
		return what, against, err
	}
}

// measureStores compares the two sides, and looks at what PostgreSQL did for one
// operation.
func measureStores(ctx context.Context, b *bench, r row) result {
	what, against, err := r.sides(ctx, b)
	if missing, ok := err.(notInstalled); ok {
		return result{skipped: string(missing)}
	}
	if err != nil {
		return result{err: err}
	}
	res := b.measure(ctx, r, what, against)
	if res.err != nil {
		return res
	}
	u, err := observe(ctx, b.database, b.onPostgres.DSN, b.onPostgres.cpu, what, 3*b.duration, statsDelay)
	if err != nil {
		return result{err: err}
	}
	res.note, res.numbers = u.String(), u.numbers()
	maps.Copy(res.numbers, map[string]float64{
		"rate": median(rates(res.comparison.what)), "sqlite_rate": median(rates(res.comparison.against)), "sqlite_cpu_us": cost(res.comparison.against),
	})
	return res
}

func issuingOpaque(_ context.Context, b *bench, c *caddyServer) (side, error) {
	return b.issuing(c, opaque), nil
}

func refreshingOpaque(ctx context.Context, b *bench, c *caddyServer) (side, error) {
	return b.refreshing(ctx, c, unsignedClient)
}

const flowScopes = "openid email"

func codeFlows(ctx context.Context, b *bench, c *caddyServer) (side, error) {
	f, err := c.flow(ctx)
	if err != nil {
		return side{}, err
	}
	if _, err := f.signIn(ctx, f.request(flowScopes)); err != nil {
		return side{}, err
	}
	return b.flows(c.child, repeat(b.connections, f.worker(flowScopes))), nil
}

// signingInAs goes through a sign-in and the code flow each time, as browsers do
// that have no session. More than some 16 a processor are turned away.
func signingInAs(user string, browsers int) operation {
	return func(ctx context.Context, b *bench, c *caddyServer) (side, error) {
		first, err := c.flow(ctx)
		if err != nil {
			return side{}, err
		}
		first.user = user
		if _, err := first.signIn(ctx, first.request(flowScopes)); err != nil { // with the consent
			return side{}, err
		}
		return b.flows(c.child, repeat(browsers, first.signingIn)), nil
	}
}

// signingIn goes from a sign-in to the tokens.
func (f *codeFlow) signingIn(ctx context.Context) error {
	anew := *f
	anew.client = withoutCookies(f.client)
	to, err := anew.signIn(ctx, anew.request(flowScopes))
	if err != nil {
		return err
	}
	tokens, err := anew.redeem(ctx, to.Query().Get("code"))
	if err == nil && tokens["access_token"] == "" {
		err = errors.New("a sign-in gave no token")
	}
	return err
}

// withoutCookies is a client with the same connections and a jar of its own.
func withoutCookies(of *http.Client) *http.Client {
	c := newHTTPClient()
	c.Transport = of.Transport
	return c
}

// distinctTokens is how many tokens are asked about in turn.
const distinctTokens = 1000

func introspectingOpaque(_ context.Context, b *bench, c *caddyServer) (side, error) {
	at, requests := c.Services[opaque], make([][]byte, distinctTokens)
	for i := range requests {
		token, err := issue(at.address())
		if err != nil {
			return side{}, err
		}
		requests[i] = post(at.host(), "/introspect", "token="+token)
	}
	l := &load{
		address: at.address(), begin: []byte(`{"active":true`), connections: b.connections,
		next: func() []byte { return requests[mathrand.IntN(len(requests))] },
	}
	return side{run: l.run, server: c.child.cpu}, nil
}

// introspectingCached asks the gateway, which remembers the tokens.
func introspectingCached(_ context.Context, b *bench, c *caddyServer) (side, error) {
	requests := make([][]byte, distinctTokens)
	for i := range requests {
		token, err := issue(c.address(opaque))
		if err != nil {
			return side{}, err
		}
		requests[i] = get(c.Gateway.host(), "/orders", "Authorization: Bearer "+token+"\r\n")
	}
	l := &load{
		address: c.Gateway.address(), begin: []byte(upstreamBody), connections: b.connections,
		next: func() []byte { return requests[mathrand.IntN(len(requests))] },
	}
	return side{run: l.run, server: c.child.cpu}, nil
}
