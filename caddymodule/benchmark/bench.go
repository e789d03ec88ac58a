package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// bench is what the rows share. Servers start when a row first needs them.
type bench struct {
	options
	root   string // of the checkout
	folder string // temporary

	binary     string
	server     *caddyServer
	database   *postgresServer
	onPostgres *caddyServer // a node whose store is there
	upstream   *upstream
	peers      []*child
}

func newBench(ctx context.Context, o options) (*bench, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("finding the checkout: %w", err)
	}
	folder, err := os.MkdirTemp("", "gatehouse-benchmark-*")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, root: filepath.Join(string(root[:len(root)-1]), "..", ".."), folder: folder}
	if b.upstream, err = startUpstream(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// close stops everything.
func (b *bench) close() {
	b.stopPeers()
	if b.server != nil {
		b.server.stop()
	}
	if b.onPostgres != nil {
		b.onPostgres.stop()
	}
	if b.database != nil {
		b.database.stop()
	}
	if b.upstream != nil {
		b.upstream.close()
	}
	_ = os.RemoveAll(b.folder)
}

// stopPeers leaves the machine to the rows that come.
func (b *bench) stopPeers() {
	for _, peer := range b.peers {
		peer.stop()
	}
	b.peers = nil
}

// load makes a side of a server that answers a request.
func (b *bench) load(server *child, address string, request []byte, begin string) side {
	l := &load{address: address, request: request, begin: []byte(begin), connections: b.connections}
	return side{run: l.run, server: server.cpu}
}

// build builds a program of a module, in that module's folder, so that its
// versions are the ones that its go.mod names.
func (b *bench) build(ctx context.Context, module, pkg, name string) (string, error) {
	binary := filepath.Join(b.folder, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, pkg)
	cmd.Dir = module
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, output)
	}
	return binary, nil
}

// newFolder makes a folder for a server's data.
func (b *bench) newFolder() (string, error) { return os.MkdirTemp(b.folder, "data-*") }

// caddy starts the Caddy that most rows ask: once to learn how long its
// answers are, and again with static answers of that length.
func (b *bench) caddy(ctx context.Context) (*caddyServer, error) {
	if b.server != nil {
		return b.server, nil
	}
	folder, err := b.newFolder()
	if err != nil {
		return nil, err
	}
	first, err := b.startCaddy(ctx, folder)
	if err != nil {
		return nil, err
	}
	err = first.fitStatic()
	first.stop()
	if err != nil {
		return nil, err
	}
	server, err := startCaddy(ctx, b.binary, folder, first.layout)
	if err != nil {
		return nil, err
	}
	b.server = server
	return server, nil
}

// buildCaddy builds Caddy if that has not been done.
func (b *bench) buildCaddy(ctx context.Context) (err error) {
	if b.binary == "" {
		b.binary, err = b.build(ctx, b.root, "./caddymodule/caddy", "caddy")
	}
	return err
}

// startCaddy builds Caddy if need be, and starts one in an empty folder.
func (b *bench) startCaddy(ctx context.Context, folder string) (*caddyServer, error) {
	if err := b.buildCaddy(ctx); err != nil {
		return nil, err
	}
	l, err := newLayout(folder, b.upstream.port(), b.profile != "")
	if err != nil {
		return nil, err
	}
	return startCaddy(ctx, b.binary, folder, l)
}
