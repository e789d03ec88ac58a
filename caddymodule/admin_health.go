package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// healthTimeout bounds the question to the store.
const healthTimeout = 2 * time.Second

// health is how everything stands.
type health struct {
	OK    bool   `json:"ok"`
	Store string `json:"store,omitempty"` // ok, or what is wrong
	// Keys says why keys that another node has changed cannot be read here. Those
	// in memory go on, so that it does not count: all nodes may have it at once.
	Keys          string               `json:"keys,omitempty"`
	Introspectors []introspectorHealth `json:"introspectors,omitempty"`
}

type introspectorHealth struct {
	Name   string `json:"name"`
	Status any    `json:"status"`
}

// health answers 200 while the store can be read, and has not moved to another
// place, and 503 otherwise. An introspector elsewhere that fails does not count:
// what is cached goes on, and taking the gateway out of service would mend nothing.
func (a *adminAPI) health(w http.ResponseWriter, r *http.Request) error {
	a = a.current()
	if a.app == nil {
		return adminError(http.StatusNotFound, errNotConfigured)
	}
	state, err := a.app.Running(r.Context())
	if err != nil {
		return adminError(http.StatusServiceUnavailable, err)
	}
	answer := health{OK: true}
	if state.Store != nil {
		if err := a.readStore(r.Context(), state); err != nil {
			answer.OK, answer.Store = false, err.Error()
		} else {
			answer.Store = "ok"
		}
	}
	if a.app.engine != nil {
		if err := a.app.engine.KeysError(); err != nil {
			answer.Keys = err.Error()
		}
	}
	for _, i := range distinct(a.app.reserved) {
		if i.Open.Authority != nil {
			answer.Introspectors = append(answer.Introspectors, introspectorHealth{i.Name, i.Open.Authority.Status()})
		}
	}
	status := http.StatusOK
	if !answer.OK {
		status = http.StatusServiceUnavailable
	}
	return writeAdmin(w, status, answer)
}

// movable is what stores implement that can be moved away.
type movable interface {
	// Moved says so when all is elsewhere, and nothing can be written any more.
	Moved(ctx context.Context) (*store.Finding, error)
}

// readStore reads a little of it, and fails when nothing can be written for good.
func (a *adminAPI) readStore(ctx context.Context, state *serving.State) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if st, ok := state.Store.(movable); ok {
		if found, err := st.Moved(ctx); err != nil {
			return err
		} else if found != nil {
			return errors.New(found.Value)
		}
	}
	for _, d := range a.app.declarations {
		service, ok := state.Engine.Service(d.Service.Issuer)
		if !ok {
			continue
		}
		_, err := state.Store.Keys(ctx, service.ID)
		return err
	}
	return nil
}
