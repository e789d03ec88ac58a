package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// successor is a configuration of the app that this process is to run after a
// move, and the identity that its storage has for the command that moves.
type successor struct {
	Gatehouse json.RawMessage `json:"gatehouse"`
	Storage   string          `json:"storage"`
}

// successor says whether this process could run another configuration of the app.
// A reload would find that out when everything has moved, and nothing can be
// written until somebody helps. Caddy has no such check for a process that
// serves: caddy.Validate replaces its loggers.
func (a *adminAPI) successor(r *http.Request) (any, error) {
	var req successor
	if err := readJSON(r, &req); err != nil {
		return nil, err
	}
	state, err := a.app.Running(r.Context())
	if err != nil {
		return nil, failed(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: r.Context()}) // apart from what runs
	defer cancel()
	if err := req.check(ctx, state.Store); err != nil {
		return nil, adminError(http.StatusBadRequest, err)
	}
	return map[string]bool{"ok": true}, nil
}

// check does what a start does of the app until its storage is open, which is
// left as it is, and sees whether the keys are those of the old one.
func (s *successor) check(ctx caddy.Context, old store.Store) error {
	next := new(App)
	if err := caddy.StrictUnmarshalJSON(s.Gatehouse, next); err != nil {
		return err
	}
	if err := next.settle(ctx); err != nil {
		return err
	}
	if next.storage.Identity() != s.Storage {
		return errors.New("the storage is another one for the server than for the command: their environments, or files, differ")
	}
	if sealed, ok := old.(engine.Vault); ok {
		if err := (&vault{app: next}).opens(ctx, sealed); err != nil {
			return err
		}
	}
	storage, ok := next.storage.(asItIs)
	if !ok {
		return nil
	}
	st, err := storage.OpenAsIs(ctx)
	if err != nil {
		return fmt.Errorf("the server cannot open it: %w", err)
	}
	return st.Close()
}
