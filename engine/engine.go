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
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/logout"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/internal/revocationstream"
	"github.com/gatehouse-auth/gatehouse/engine/internal/token"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Options are what an engine is made of.
type Options struct {
	Store     store.Store
	MasterKey MasterKey
	// MasterKeys reads the master keys, the current one first, for a store in
	// which something may be under one before. It is asked again when something
	// does not open, and must be safe for concurrent use. nil: MasterKey alone.
	MasterKeys func() ([]MasterKey, error)
	Services   []Declaration
	Subjects   Subjects          // nil: every subject is active
	Observe    func(model.Event) // nil: nobody is told; must be quick and safe for concurrent use
	Fetch      Fetcher           // nil: nothing outside is fetched or told
	Now        func() time.Time  // nil: the clock
	Random     io.Reader         // nil: crypto/rand
	// After is the clock of what waits; nil: time.After.
	After func(time.Duration) <-chan time.Time
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
	logouts  *logout.Sender
	unfollow func()
	after    func(time.Duration) <-chan time.Time
	reload   chan struct{} // holds one signal that keys have changed
	unread   atomic.Pointer[error]
	done     chan struct{}
}

// served is a realm and what is made for it once.
type served struct {
	*realm.Realm
	tokens      *token.Processor
	revocations *revocationstream.Hub
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
	if o.After == nil {
		o.After = time.After
	}
	master, err := openMaster(o)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		house: &realm.House{
			Store: o.Store, Master: master, Now: o.Now, Random: o.Random, IDs: handle.NewIDs(o.Now, o.Random),
			Subjects: o.Subjects, Observe: o.Observe, Fetch: o.Fetch, RSA: jose.NewPool(runtime.GOMAXPROCS(0)),
		},
		byID: map[model.ID]*served{}, byIssuer: map[string]*served{}, after: o.After,
		reload: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if o.Fetch == nil {
		e.house.Fetch = nowhere{}
	}
	if err := e.openRoot(ctx, o.Services); err != nil {
		return nil, err
	}
	for _, d := range o.Services {
		if err := e.open(ctx, d); err != nil {
			return nil, fmt.Errorf("service %s: %w", d.Service.Issuer, err)
		}
	}
	realms := make([]*realm.Realm, 0, len(e.byID))
	for _, s := range e.byID {
		realms = append(realms, s.Realm)
	}
	go e.follow()
	e.unfollow = o.Store.Subscribe(e.changed)
	e.reload <- struct{}{} // keys that changed between their reading and now
	e.logouts = logout.NewSender(e.house, realms, o.After)
	return e, nil
}

func (e *Engine) open(ctx context.Context, d Declaration) error {
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
	ring, err := e.openKeys(ctx, &d.Service, clients)
	if err != nil {
		return err
	}
	r, err := realm.New(e.house, d.Service, clients, ring)
	if err != nil {
		return err
	}
	s := &served{Realm: r, tokens: token.New(r)}
	if s.revocations, err = revocationstream.NewHub(r, e.after); err != nil {
		return err
	}
	e.byID[id], e.byIssuer[d.Service.Issuer] = s, s
	return nil
}

// nowhere is the fetcher of an engine that has none.
type nowhere struct{}

func (nowhere) Get(context.Context, string, ...string) (fetch.Document, error) {
	return fetch.Document{}, fetch.ErrForbidden
}

func (nowhere) Do(context.Context, fetch.Request) (fetch.Response, error) {
	return fetch.Response{}, fetch.ErrForbidden
}

// Close ends the revocation streams, stops following the store's changes, and
// lets logout tokens that are being delivered arrive for a few seconds; the
// others stay in the store for another engine. The store stays open.
func (e *Engine) Close() {
	for _, s := range e.byID {
		s.revocations.Close()
	}
	e.logouts.Close()
	e.unfollow()
	close(e.reload)
	<-e.done
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
// The error is store.ErrNotFound, ErrNoService, or the store's.
func (e *Engine) Client(ctx context.Context, service, client model.ID) (*model.Client, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return s.Client(ctx, client)
}

// ClientByAlias finds a client of a service by its client_id, as Client does.
func (e *Engine) ClientByAlias(ctx context.Context, service model.ID, alias string) (*model.Client, error) {
	s, err := e.service(service)
	if err != nil {
		return nil, err
	}
	return s.ClientByAlias(ctx, alias)
}

// ClientSubject is the sub that a client is shown for a subject: another one
// for each sector when the client's subject type is pairwise.
func (e *Engine) ClientSubject(service model.ID, c *model.Client, subject string) string {
	if s := e.byID[service]; s != nil {
		return s.ClientSubject(c, subject)
	}
	return ""
}

// DPoPAlgorithms are those by which proofs may be signed at a service's
// endpoints (RFC 9449 §7.1).
func (e *Engine) DPoPAlgorithms(service model.ID) []string {
	if s := e.byID[service]; s != nil {
		return s.DPoP.Algorithms()
	}
	return nil
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

// NewSecret draws the secret of a handle for the authentication server.
func (e *Engine) NewSecret() (handle.Secret, error) { return handle.NewSecret(e.house.Random) }

// NewID draws an id for a row of the authentication server.
func (e *Engine) NewID() model.ID { return e.house.IDs.Next() }

// Now is the engine's clock.
func (e *Engine) Now() time.Time { return e.house.Now() }
