package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"golang.org/x/crypto/hkdf"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect/upstream"
)

// gatewayKeysName is where the keys are in Caddy's storage, which keeps the
// keys of its certificates too and is shared by the nodes of a cluster.
const gatewayKeysName = "gatehouse/gateway_keys.json"

// Keys is part of serving.App.
func (a *App) Keys() *serving.Keys {
	if a.keys == nil {
		a.keys = new(serving.Keys)
	}
	return a.keys
}

// openKeys reads the gateway's keys if a handler has reserved them. Keys that
// cannot be read stop the start; there are no others to fall back on.
func (a *App) openKeys(ctx context.Context) error {
	if a.keys == nil {
		return nil
	}
	text, err := a.readKeys(ctx)
	if err != nil {
		return err
	}
	set, err := upstream.ParseKeys(text)
	if err != nil {
		return err
	}
	if a.keys.Signer, err = upstream.NewSigner(set); err != nil {
		return err
	}
	// Whoever has the keys has the nonces' secret, and nobody else.
	a.keys.Nonce = make([]byte, 32)
	_, err = io.ReadFull(hkdf.New(sha256.New, text, nil, []byte("gatehouse DPoP nonces")), a.keys.Nonce)
	return err
}

// readKeys returns the file that is given, or what is in Caddy's storage. The
// first node makes it, under the storage's lock.
func (a *App) readKeys(ctx context.Context) ([]byte, error) {
	if a.GatewayKeys != "" {
		return os.ReadFile(a.GatewayKeys)
	}
	storage := a.ctx.Storage()
	if err := storage.Lock(ctx, gatewayKeysName); err != nil {
		return nil, err
	}
	defer func() { _ = storage.Unlock(context.WithoutCancel(ctx), gatewayKeysName) }() // a lock that stays expires
	text, err := storage.Load(ctx, gatewayKeysName)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	key, err := upstream.Generate("ES256")
	if err != nil {
		return nil, err
	}
	set := jwk.NewSet()
	if err := set.AddKey(key); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(set); err != nil {
		return nil, err
	}
	return text, storage.Store(ctx, gatewayKeysName, text)
}
