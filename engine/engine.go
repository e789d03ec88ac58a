// Package engine processes OAuth 2.0 and OpenID Connect for any number of
// services. It has one method for each operation of the Web API: a request
// goes in as a struct, and an action with its content comes out for the
// authorization server's front to carry out. It does no HTTP.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/internal/token"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Options are what an engine is made of.
type Options struct {
	Store     store.Store
	MasterKey MasterKey
	Services  []Declaration
	Subjects  Subjects          // nil: every subject is active
	Observe   func(model.Event) // nil: nobody is told; must be quick and safe for concurrent use
	Now       func() time.Time  // nil: the clock
	Random    io.Reader         // nil: crypto/rand
}

// Declaration is a service with its clients. Ids are filled in by the engine.
type Declaration struct {
	Service model.Service
	Clients []model.Client
}

// Engine serves its services. Its methods are safe for concurrent use. An
// error from an operation means that the engine could not do its work
// (errors.Is store.ErrUnavailable: try again later); a refusal is a response.
type Engine struct {
	house    *realm.House
	byID     map[model.ID]*served
	byIssuer map[string]*served
	unfollow func()
	reload   chan struct{} // holds one signal that keys have changed
	done     chan struct{}
}

// served is a realm and what is made for it once.
type served struct {
	*realm.Realm
	tokens *token.Processor
}

// New opens the services: it gives ids to those that the store has not seen,
// loads their keys, and makes keys where there are none. Close it after use.
func New(ctx context.Context, o Options) (*Engine, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	e := &Engine{
		house: &realm.House{
			Store: o.Store, Now: o.Now, Random: o.Random, IDs: handle.NewIDs(o.Now, o.Random),
			Subjects: o.Subjects, Observe: o.Observe,
		},
		byID: map[model.ID]*served{}, byIssuer: map[string]*served{},
		reload: make(chan struct{}, 1), done: make(chan struct{}),
	}
	for _, d := range o.Services {
		if err := e.open(ctx, o.MasterKey, d); err != nil {
			return nil, fmt.Errorf("service %s: %w", d.Service.Issuer, err)
		}
	}
	go e.follow()
	e.unfollow = o.Store.Subscribe(e.changed)
	return e, nil
}

func (e *Engine) open(ctx context.Context, master MasterKey, d Declaration) error {
	if e.byIssuer[d.Service.Issuer] != nil {
		return errors.New("declared twice")
	}
	id, err := e.house.Store.EnsureService(ctx, d.Service.Issuer)
	if err != nil {
		return err
	}
	d.Service.ID = id
	aliases := make([]string, len(d.Clients))
	for i := range d.Clients {
		aliases[i] = d.Clients[i].Alias
	}
	ids, err := e.house.Store.EnsureClients(ctx, id, aliases)
	if err != nil {
		return err
	}
	clients := make([]model.Client, len(d.Clients))
	for i, c := range d.Clients {
		c.Service, c.ID = id, ids[c.Alias]
		clients[i] = c
	}
	ring, err := keys.Open(ctx, e.house.Store, master, id, e.house.Now())
	if err != nil {
		return err
	}
	derivation, err := master.Derive(id)
	if err != nil {
		return err
	}
	r, err := realm.New(e.house, d.Service, clients, ring, derivation)
	if err != nil {
		return err
	}
	s := &served{Realm: r, tokens: token.New(r)}
	e.byID[id], e.byIssuer[d.Service.Issuer] = s, s
	return nil
}

// Close stops following the store's changes. The store stays open.
func (e *Engine) Close() {
	e.unfollow()
	close(e.reload)
	<-e.done
}

// changed is told of every change, and must not call the store itself.
func (e *Engine) changed(c model.Change) {
	if c.Kind != model.ChangeKeys {
		return
	}
	select {
	case e.reload <- struct{}{}:
	default: // a reload is due already
	}
}

// reloadTimeout bounds one reading of the keys.
const reloadTimeout = 10 * time.Second

// follow reloads keys that another process has changed.
func (e *Engine) follow() {
	defer close(e.done)
	for range e.reload {
		ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
		for _, s := range e.byID {
			_ = s.Keys.Reload(ctx) // the keys in memory stay good; the next change tries again
		}
		cancel()
	}
}

// ErrNoService says that the engine has no such service.
var ErrNoService = errors.New("no such service")

func (e *Engine) service(id model.ID) (*served, error) {
	if s := e.byID[id]; s != nil {
		return s, nil
	}
	return nil, ErrNoService
}

// Service finds a service by its issuer. The result must not be changed.
func (e *Engine) Service(issuer string) (*model.Service, bool) {
	if s := e.byIssuer[issuer]; s != nil {
		return s.Service, true
	}
	return nil, false
}

// Client finds a client of a service by its id. The result must not be changed.
func (e *Engine) Client(service, client model.ID) (*model.Client, bool) {
	if s := e.byID[service]; s != nil {
		return s.Client(client)
	}
	return nil, false
}

// ClientByAlias finds a client of a service by its client_id. The result must
// not be changed.
func (e *Engine) ClientByAlias(service model.ID, alias string) (*model.Client, bool) {
	if s := e.byID[service]; s != nil {
		return s.ClientByAlias(alias)
	}
	return nil, false
}

// NewHandle makes a handle of the engine's form for the authentication server:
// its text, its id, and the hash of its secret for the row.
func (e *Engine) NewHandle(p handle.Prefix) (text string, id model.ID, hash [32]byte, err error) {
	secret, err := handle.NewSecret(e.house.Random)
	if err != nil {
		return "", 0, hash, err
	}
	id = e.house.IDs.Next()
	return handle.Format(p, id, &secret), id, secret.Hash(), nil
}

// NewID draws an id for a row of the authentication server.
func (e *Engine) NewID() model.ID { return e.house.IDs.Next() }

// Now is the engine's clock.
func (e *Engine) Now() time.Time { return e.house.Now() }
