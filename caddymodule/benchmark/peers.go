package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// notInstalled says how to install what a row needs.
type notInstalled string

func (n notInstalled) Error() string { return string(n) }

// fosite starts the token endpoint of peers/fosite.
func (b *bench) fosite(ctx context.Context) (side, error) {
	binary, err := b.build(ctx, filepath.Join(b.root, "caddymodule", "benchmark"), "./peers/fosite", "fosite")
	if err != nil {
		return side{}, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return side{}, err
	}
	return b.peer(ctx, ports[0], binary, "-listen", ports[0].address(), "-client", clientID, "-secret", clientSecret, "-scope", scope)
}

// oidcProvider starts peers/oidcprovider for its token endpoint.
func (b *bench) oidcProvider(ctx context.Context) (side, error) {
	at, _, err := b.startOIDCProvider(ctx)
	if err != nil {
		return side{}, err
	}
	return b.load(b.peers[len(b.peers)-1], at.address(), post(at.host(), "/token", tokenForm), `{"access_token":"`), nil
}

// oidcProviderFlow starts peers/oidcprovider for its code flow.
func (b *bench) oidcProviderFlow(ctx context.Context) (*child, *codeFlow, error) {
	at, c, err := b.startOIDCProvider(ctx)
	if err != nil {
		return nil, nil, err
	}
	return c, &codeFlow{client: newHTTPClient(), authorize: at.URL() + "/auth", token: at.URL() + "/token", userinfo: at.URL() + "/me", user: flowUser}, nil
}

func (b *bench) startOIDCProvider(ctx context.Context) (port, *child, error) {
	folder := filepath.Join(b.root, "caddymodule", "benchmark", "peers", "oidcprovider")
	node, err := exec.LookPath("node")
	if err != nil {
		return 0, nil, notInstalled("not installed: there is no node")
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "oidc-provider")); err != nil {
		return 0, nil, notInstalled("not installed: run npm ci in peers/oidcprovider")
	}
	ports, err := freePorts(1)
	if err != nil {
		return 0, nil, err
	}
	_, err = b.peer(ctx, ports[0], node, filepath.Join(folder, "server.mjs"), strconv.Itoa(int(ports[0])), clientID, clientSecret, scope, flowClient, flowRedirect)
	if err != nil {
		return 0, nil, err
	}
	return ports[0], b.peers[len(b.peers)-1], nil
}

// peer starts a server and waits until it issues a token.
func (b *bench) peer(ctx context.Context, at port, name string, args ...string) (side, error) {
	c, err := startChild(ctx, b.folder, []string{"NODE_ENV=production"}, name, args...)
	if err != nil {
		return side{}, err
	}
	request := post(at.host(), "/token", tokenForm)
	err = c.await(func() error {
		_, err := once(at.address(), request)
		return err
	})
	if err != nil {
		return side{}, err
	}
	b.peers = append(b.peers, c)
	return b.load(c, at.address(), request, `{"access_token":"`), nil
}
