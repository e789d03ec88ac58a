package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

//go:embed Gateway.tmpl
var gatewayfile string

// gatewayLayout is what the Caddyfile of a gateway alone is made from: it has no
// engine and asks an introspection endpoint.
type gatewayLayout struct {
	Admin, Site, Upstream  port
	Endpoint               string
	Revocations            string // the revocation stream's address; empty: none is followed
	Trust                  string // the file of the endpoint's certificate; empty: there is none
	CacheSize              int
	ClientID, ClientSecret string
}

// gateway is such a gateway, in a process of its own.
type gateway struct {
	gatewayLayout
	*child
}

// startGateway starts a gateway, and waits until it serves and, where there is a
// revocation stream, hears it.
func (b *bench) startGateway(ctx context.Context, l gatewayLayout) (*gateway, error) {
	if err := b.buildCaddy(ctx); err != nil {
		return nil, err
	}
	folder, err := b.newFolder()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	l.Admin, l.Site, l.Upstream = ports[0], ports[1], b.upstream.port()
	l.ClientID, l.ClientSecret = clientID, clientSecret
	c, err := runCaddy(ctx, b.binary, folder, gatewayfile, l)
	if err != nil {
		return nil, err
	}
	g := &gateway{l, c}
	return g, c.await(g.ready)
}

// ready asks the admin API how the gateway stands.
func (g *gateway) ready() error {
	body, err := once(g.Admin.address(), get(g.Admin.address(), "/gatehouse/health", ""))
	if err != nil {
		return err
	}
	var health struct {
		Introspectors []struct {
			Status struct{ Revocations *struct{ Connected bool } }
		}
	}
	if err := json.Unmarshal(body, &health); err != nil {
		return err
	}
	if len(health.Introspectors) != 1 {
		return errors.New("the gateway's introspector is not open")
	}
	if g.Revocations != "" && !health.Introspectors[0].Status.Revocations.Connected {
		return errors.New("the revocation stream is not connected")
	}
	return nil
}

// request is one with a token.
func (g *gateway) request(ctx context.Context, token string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.Site.URL()+"/orders", nil)
	if err == nil {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r, err
}

// expect sends a request whose answer must have that status.
func expect(client *http.Client, r *http.Request, want int) error {
	got, err := status(client, r)
	if err == nil && got != want {
		err = fmt.Errorf("%s answered %d, not %d", r.URL, got, want)
	}
	return err
}

// status sends a request and returns the answer's status.
func status(client *http.Client, r *http.Request) (int, error) {
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}
