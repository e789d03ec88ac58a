package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// pool holds what outlives a reload, by the identity of its storage.
var pool = caddy.NewUsagePool()

// shared is what successive configurations on the same storage share. It
// holds no caddy.Context and no logger of theirs.
type shared struct {
	store store.Store

	mu      sync.Mutex
	caches  map[introspectKey]*sharedCache
	clients map[model.ID]map[model.ID][32]byte // service, client: digest of its settings
	guards  map[model.ID]*login.Guard
	hashers *login.Hashers
}

// introspectKey tells caches apart. introspect.Options hold a clock, which
// cannot be compared.
type introspectKey struct {
	identity                string
	maxEntries, maxNegative int64
	ttl, negativeTTL        int64
}

// sharedCache is a cache, the number of its holders, and how to end it.
type sharedCache struct {
	cache    *introspect.Cache
	holders  int
	unfollow func()
}

func newShared(st store.Store) *shared {
	return &shared{
		store:  st,
		caches: map[introspectKey]*sharedCache{}, clients: map[model.ID]map[model.ID][32]byte{},
		guards: map[model.ID]*login.Guard{}, hashers: login.NewHashers(),
	}
}

// Destruct closes the store. The caches are closed by then: each holder of one
// holds the store too, and gives it back later.
func (s *shared) Destruct() error { return s.store.Close() }

// guard returns what protects the accounts of a service.
func (s *shared) guard(service model.ID) *login.Guard {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.guards[service] == nil {
		s.guards[service] = login.NewGuard(s.hashers)
	}
	return s.guards[service]
}

// cache returns the cache for these options, following the revocations of the
// service, and how to give it back.
func (s *shared) cache(o introspect.Options, service model.ID) (*introspect.Cache, func(), error) {
	key := introspectKey{o.Identity, o.MaxEntries, o.MaxNegative, int64(o.TTL), int64(o.NegativeTTL)}
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.caches[key]
	if held == nil {
		cache, err := introspect.NewCache(o)
		if err != nil {
			return nil, nil, err
		}
		held = &sharedCache{cache: cache}
		held.unfollow = s.store.Subscribe(func(c model.Change) { follow(cache, service, c) })
		s.caches[key] = held
	}
	held.holders++
	return held.cache, func() { s.release(key) }, nil
}

func (s *shared) release(key introspectKey) {
	s.mu.Lock()
	held := s.caches[key]
	held.holders--
	last := held.holders == 0
	if last {
		delete(s.caches, key)
	}
	s.mu.Unlock()
	if last {
		held.unfollow()
		held.cache.Close()
	}
}

// follow carries a change of the store to a cache.
func follow(cache *introspect.Cache, service model.ID, c model.Change) {
	if c.Service != service {
		return
	}
	v := introspect.Revocation{Service: int64(c.Service), ID: int64(c.Ref), Subject: c.Subject}
	switch c.Kind {
	case model.ChangeTokenRevoked:
		v.Kind = introspect.RevokeToken
	case model.ChangeGrantRevoked:
		v.Kind = introspect.RevokeGrant
	case model.ChangeClientRevoked, model.ChangeClient:
		v.Kind = introspect.RevokeClient
	case model.ChangeSubjectRevoked, model.ChangeAccount:
		v.Kind = introspect.RevokeSubject
	default: // also what this version does not know
		v.Kind = introspect.RevokeService
	}
	cache.Revoke(v)
}

// clientsChanged notes the clients of a configuration and returns those of the
// one before that are gone or different now, by service.
func (s *shared) clientsChanged(ctx context.Context, e *engine.Engine, declarations []engine.Declaration) map[model.ID][]model.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := map[model.ID][]model.ID{}
	for _, d := range declarations {
		service, ok := e.Service(d.Service.Issuer)
		if !ok {
			continue
		}
		now := map[model.ID][32]byte{}
		for _, c := range d.Clients {
			if client, err := e.ClientByAlias(ctx, service.ID, c.Alias); err == nil { // declared: no store is asked
				settings, _ := json.Marshal(client)
				now[client.ID] = sha256.Sum256(settings)
			}
		}
		for id, digest := range s.clients[service.ID] {
			if now[id] != digest {
				changed[service.ID] = append(changed[service.ID], id)
			}
		}
		s.clients[service.ID] = now
	}
	return changed
}
