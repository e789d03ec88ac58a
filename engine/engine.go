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
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
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
	Services  []Declaration
	Subjects  Subjects          // nil: every subject is active
	Observe   func(model.Event) // nil: nobody is told; must be quick and safe for concurrent use
	Fetch     Fetcher           // nil: nothing outside is fetched or told
	Now       func() time.Time  // nil: the clock
	Random    io.Reader         // nil: crypto/rand
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
	reload   chan struct{} // holds one signal that keys have changed
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
	e := &Engine{
		house: &realm.House{
			Store: o.Store, Master: o.MasterKey, Now: o.Now, Random: o.Random, IDs: handle.NewIDs(o.Now, o.Random),
			Subjects: o.Subjects, Observe: o.Observe, Fetch: o.Fetch, RSA: jose.NewPool(runtime.GOMAXPROCS(0)),
		},
		byID: map[model.ID]*served{}, byIssuer: map[string]*served{},
		reload: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if o.Fetch == nil {
		e.house.Fetch = nowhere{}
	}
	for _, d := range o.Services {
		if err := e.open(ctx, d, o.After); err != nil {
			return nil, fmt.Errorf("service %s: %w", d.Service.Issuer, err)
		}
	}
	realms := make([]*realm.Realm, 0, len(e.byID))
	for _, s := range e.byID {
		realms = append(realms, s.Realm)
	}
	e.logouts = logout.NewSender(e.house, realms, o.After)
	go e.follow()
	e.unfollow = o.Store.Subscribe(e.changed)
	return e, nil
}

func (e *Engine) open(ctx context.Context, d Declaration, after func(time.Duration) <-chan time.Time) error {
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
	if s.revocations, err = revocationstream.NewHub(r, after); err != nil {
		return err
	}
	e.byID[id], e.byIssuer[d.Service.Issuer] = s, s
	return nil
}

// openKeys opens the keys that a service gives, or those in the store, of which
// there must be one for each algorithm that something is set to use.
func (e *Engine) openKeys(ctx context.Context, s *model.Service, clients []model.Client) (*keys.Ring, error) {
	if s.JWKS != "" {
		return givenKeys(s, clients, e.house.Now())
	}
	var algs []string
	for _, alg := range model.DefaultAlgs {
		algs = append(algs, string(alg))
	}
	algs = append(algs, s.KeyAlgs...)
	wanted := []model.SignAlg{s.AccessTokenSignAlg}
	if s.DynamicRegistrationSupported {
		wanted = append(wanted, model.PS256)
		algs = append(algs, string(model.RSAOAEP256), string(model.ECDHES))
	}
	for _, c := range clients {
		wanted = append(wanted, c.IDTokenSignAlg, c.UserInfoSignAlg, c.IntrospectionSignAlg)
		switch {
		case c.RequestEncryptionAlg.RSA():
			algs = append(algs, string(model.RSAOAEP256))
		case c.RequestEncryptionAlg.EC():
			algs = append(algs, string(model.ECDHES))
		}
	}
	for _, alg := range wanted {
		if alg.Asymmetric() {
			algs = append(algs, string(alg))
		}
	}
	slices.Sort(algs)
	return keys.Open(ctx, e.house.Store, e.house.Master, s.ID, slices.Compact(algs), e.house.Now())
}

// givenKeys opens the keys that a service gives, among which must be one for each
// algorithm that something is set to use.
func givenKeys(s *model.Service, clients []model.Client, now time.Time) (*keys.Ring, error) {
	ring, err := keys.Given(s.JWKS)
	if err != nil {
		return nil, err
	}
	check := func(setting string, alg model.SignAlg) {
		if alg.Asymmetric() && !slices.Contains(ring.Algs(now), alg) && err == nil {
			err = fmt.Errorf("%s is %s, for which jwks has no key", setting, alg)
		}
	}
	check("access_token_sign_alg", s.AccessTokenSignAlg)
	for _, c := range clients {
		check("client "+c.Alias+": introspection_sign_alg", c.IntrospectionSignAlg)
		if s.OpenID() && (c.Allows(model.GrantAuthorizationCode) || c.Allows(model.GrantImplicit) || c.Allows(model.GrantPassword)) {
			check("client "+c.Alias+": id_token_sign_alg", c.IDTokenSignAlg)
			check("client "+c.Alias+": user_info_sign_alg", c.UserInfoSignAlg)
		}
	}
	return ring, err
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

// changed is told of every change, and must not call the store itself.
func (e *Engine) changed(c model.Change) {
	if s := e.byID[c.Service]; s != nil {
		if c.Kind == model.ChangeClient {
			s.ForgetClient(c.Ref)
		}
		s.revocations.Wake()
	}
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
