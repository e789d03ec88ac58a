// Package realm is where a request is served: one service with its clients
// and keys, and the house that all services share. A Realm is an immutable
// snapshot; settings that change make a new one.
package realm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// House is what every realm of an engine shares.
type House struct {
	Store    store.Store
	Now      func() time.Time
	Random   io.Reader
	IDs      *handle.IDs
	Subjects Subjects
	Observe  func(model.Event)
}

// Subjects knows which users there are. It must be safe for concurrent use.
type Subjects interface {
	// Active reports whether the subject exists at the service and is not disabled.
	Active(ctx context.Context, service model.ID, subject string) (bool, error)
}

// Realm is one service, ready to serve.
type Realm struct {
	*House
	Service    *model.Service
	Keys       *keys.Ring
	Derivation keys.Derivation

	byAlias map[string]*model.Client
	byID    map[model.ID]*model.Client
}

// New makes the snapshot of a service. Client secrets in clear are replaced
// by their hashes.
func New(h *House, service model.Service, clients []model.Client, ring *keys.Ring, d keys.Derivation) (*Realm, error) {
	r := &Realm{
		House: h, Service: &service, Keys: ring, Derivation: d,
		byAlias: make(map[string]*model.Client, len(clients)),
		byID:    make(map[model.ID]*model.Client, len(clients)),
	}
	for _, c := range clients {
		if c.ClientSecret != "" {
			c.SecretHash = sha256.Sum256([]byte(c.ClientSecret))
			c.ClientSecret = ""
		}
		if _, taken := r.byAlias[c.Alias]; taken {
			return nil, fmt.Errorf("client %s is declared twice", c.Alias)
		}
		r.byAlias[c.Alias] = &c
		r.byID[c.ID] = &c
	}
	return r, nil
}

// ClientByAlias finds a client by the client_id that it presents.
func (r *Realm) ClientByAlias(alias string) (*model.Client, bool) {
	c, ok := r.byAlias[alias]
	return c, ok
}

// Client finds a client by its id.
func (r *Realm) Client(id model.ID) (*model.Client, bool) {
	c, ok := r.byID[id]
	return c, ok
}

// Supports reports whether the service has the grant type turned on.
func (r *Realm) Supports(g model.GrantType) bool {
	for _, supported := range r.Service.SupportedGrantTypes {
		if supported == g {
			return true
		}
	}
	return false
}

// MaxScopes bounds the scopes of a request; a service has no more either.
const MaxScopes = 255

// Narrow keeps the scopes that the service supports and the client may
// request. The others are ignored, as the scope parameter's rules allow
// (RFC 6749 §3.3); the answer names those that were granted.
func (r *Realm) Narrow(c *model.Client, requested []string) []string {
	var scopes []string
	for _, name := range requested {
		if _, ok := r.Service.Scope(name); ok && c.MayRequest(name) {
			scopes = append(scopes, name)
		}
	}
	return scopes
}

// SubjectActive reports whether tokens of the subject may still be used.
// A client acting for itself has no subject, and is always active.
func (r *Realm) SubjectActive(ctx context.Context, subject string) (bool, error) {
	if subject == "" || r.Subjects == nil {
		return true, nil
	}
	return r.Subjects.Active(ctx, r.Service.ID, subject)
}

// Report tells the observer of an event.
func (r *Realm) Report(e model.Event) {
	if r.Observe != nil {
		e.Service = r.Service.ID
		r.Observe(e)
	}
}

// Refuse reports a refusal and returns how it is answered at the endpoints
// that clients call directly: INVALID_CLIENT or BAD_REQUEST, with its JSON.
// The client may be nil, the grant type empty.
func (r *Realm) Refuse(operation string, g model.GrantType, c *model.Client, refusal *oautherr.Error) (model.Action, string) {
	event := model.Event{
		Kind: model.EventRefused, Operation: operation, GrantType: g,
		Code: refusal.Code, Description: refusal.Error(),
	}
	if c != nil {
		event.Client = c.Alias
	}
	r.Report(event)
	if refusal.Code == oautherr.InvalidClient {
		return model.ActionInvalidClient, refusal.JSON()
	}
	return model.ActionBadRequest, refusal.JSON()
}

// maxDraws is how often a write whose ids are taken is tried with others.
const maxDraws = 4

// Write applies steps whose ids were drawn by build, again with other ids when
// those were taken.
func (r *Realm) Write(ctx context.Context, build func() ([]store.Step, error)) error {
	for draw := 1; ; draw++ {
		steps, err := build()
		if err != nil {
			return err
		}
		err = r.Store.Write(ctx, steps...)
		if errors.Is(err, store.ErrConflict) && draw < maxDraws {
			continue
		}
		return err
	}
}
