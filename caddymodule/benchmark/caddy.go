package main

import (
	"context"
	"crypto/ecdsa"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
)

// tokenKind is the kind of access token that a service issues.
type tokenKind string

const (
	opaque tokenKind = "opaque"
	es256  tokenKind = "es256"
	eddsa  tokenKind = "eddsa"
	rs256  tokenKind = "rs256"
)

// Algorithm is the service's access_token_sign_alg, empty for opaque tokens.
func (k tokenKind) Algorithm() string {
	return map[tokenKind]string{es256: "ES256", eddsa: "EdDSA", rs256: "RS256"}[k]
}

// port is a TCP port on loopback.
type port int

func (p port) host() string    { return "localhost:" + strconv.Itoa(int(p)) }
func (p port) address() string { return "127.0.0.1:" + strconv.Itoa(int(p)) }

// URL is the port's site.
func (p port) URL() string { return "http://" + p.host() }

// Address is the port's address.
func (p port) Address() string { return p.address() }

// layout is what the Caddyfile is made from.
type layout struct {
	Admin, Database        string
	DSN, MasterKey         string // of the PostgreSQL that is used instead of Database, if any
	ClientID, ClientSecret string
	Services               map[tokenKind]port
	Issuer                 port // of the gateway's tokens
	Gateway, Proxy         port
	Forward, HeaderUp      port // the same with a header set
	JWT, Phantom           port // the gateway before JWTs, and with tokens of its own for the API
	Authority, Audience    string
	Keys                   string // the file of the authority's JWK Set
	Upstream               port
	OpenID                 port // of the service with users
	JWKS                   string
	FlowClient, Redirect   string
	Static                 map[string]static // by what it stands against

	key       *ecdsa.PrivateKey // of the clients
	authority *authority        // whose JWTs the gateway takes
}

// Storage is the Caddyfile's storage.
func (l layout) Storage() string {
	if l.DSN != "" {
		return "postgres " + l.DSN
	}
	return "sqlite " + l.Database
}

// static is a site that always gives the same answer.
type static struct {
	Port port
	Body string
}

func newLayout(folder string, upstream port, admin bool) (layout, error) {
	kinds := []tokenKind{opaque, es256, eddsa, rs256}
	ports, err := freePorts(2*len(kinds) + 9)
	if err != nil {
		return layout{}, err
	}
	next := func() (p port) { p, ports = ports[0], ports[1:]; return p }
	key, jwks, err := newKey()
	if err != nil {
		return layout{}, err
	}
	issuer, err := newAuthority(jwa.ES256)
	if err != nil {
		return layout{}, err
	}
	l := layout{
		OpenID: next(), JWKS: jwks, key: key, FlowClient: flowClient, Redirect: flowRedirect,
		Admin: "off", Database: filepath.Join(folder, "gatehouse.db"), ClientID: clientID, ClientSecret: clientSecret,
		Gateway: next(), Proxy: next(), Forward: next(), HeaderUp: next(), JWT: next(), Phantom: next(), Upstream: upstream,
		Authority: authorityIssuer, Audience: authorityAudience, Keys: filepath.Join(folder, "keys.json"), authority: issuer,
		Services: map[tokenKind]port{}, Static: map[string]static{"introspection": {next(), "x"}},
	}
	if at := next(); admin {
		l.Admin = at.address()
	}
	for _, kind := range kinds {
		l.Services[kind] = next()
		l.Static[string(kind)] = static{next(), "x"}
	}
	l.Issuer = l.Services[opaque]
	return l, nil
}

// freePorts asks the system for ports that nobody uses at the moment.
func freePorts(n int) ([]port, error) {
	var ports []port
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() // after all are there, so that none comes twice
		ports = append(ports, port(listener.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

//go:embed Caddyfile.tmpl
var caddyfile string

// caddyServer is a Caddy with Gatehouse under that layout.
type caddyServer struct {
	layout
	*child
}

func (c *caddyServer) address(kind tokenKind) string { return c.Services[kind].address() }

// runCaddy starts a Caddy that keeps its data in folder.
func runCaddy(ctx context.Context, binary, folder, caddyfile string, data any) (*child, error) {
	config := filepath.Join(folder, "Caddyfile")
	var text strings.Builder
	if err := template.Must(template.New("Caddyfile").Parse(caddyfile)).Execute(&text, data); err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	return startChild(ctx, folder, []string{"XDG_DATA_HOME=" + folder, "XDG_CONFIG_HOME=" + folder},
		binary, "run", "--config", config, "--adapter", "caddyfile")
}

// startCaddy starts a Caddy under that layout, and waits until it serves.
func startCaddy(ctx context.Context, binary, folder string, l layout) (*caddyServer, error) {
	if err := os.WriteFile(l.Keys, l.authority.jwks, 0o600); err != nil {
		return nil, err
	}
	c, err := runCaddy(ctx, binary, folder, caddyfile, l)
	if err != nil {
		return nil, err
	}
	return &caddyServer{l, c}, c.await(func() error {
		_, err := once(l.Issuer.address(), get(l.Issuer.host(), "/jwks", ""))
		return err
	})
}

// fitStatic gives the static answers the sizes of those that they stand
// against, which Caddy tells when it is asked.
func (c *caddyServer) fitStatic() error {
	fit := func(name string, body []byte) {
		c.Static[name] = static{c.Static[name].Port, strings.Repeat("x", len(body))}
	}
	for kind, at := range c.Services {
		body, err := once(at.address(), post(at.host(), "/token", tokenForm))
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		fit(string(kind), body)
	}
	token, err := issue(c.address(opaque))
	if err != nil {
		return err
	}
	body, err := once(c.address(opaque), post(c.Services[opaque].host(), "/introspect", "token="+token))
	if err != nil {
		return fmt.Errorf("introspection: %w", err)
	}
	fit("introspection", body)
	return nil
}

// issue gets an access token.
func issue(address string) (string, error) {
	_, number, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	body, err := once(address, post("localhost:"+number, "/token", tokenForm))
	if err != nil {
		return "", err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	err = json.Unmarshal(body, &answer)
	return answer.AccessToken, err
}

// startTimeout is how long a server may take until it serves.
const startTimeout = 30 * time.Second
