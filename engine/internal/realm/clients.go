package realm

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// ClientByAlias finds a client by the client_id that it presents. The error is
// store.ErrNotFound, or the store's.
func (r *Realm) ClientByAlias(ctx context.Context, alias string) (*model.Client, error) {
	if c, ok := r.declared[alias]; ok {
		return c, nil
	}
	if model.CheckAlias(alias) != nil {
		return nil, store.ErrNotFound
	}
	return r.registered.load(func(s *snapshot) *model.Client { return s.byAlias[alias] }, func() (*model.Client, error) {
		row, err := r.Store.StoredClientByAlias(ctx, r.Service.ID, alias)
		if err != nil {
			return nil, err
		}
		return r.OpenClient(row)
	})
}

// Client finds a client by its id. The error is as for ClientByAlias.
func (r *Realm) Client(ctx context.Context, id model.ID) (*model.Client, error) {
	if c, ok := r.byID[id]; ok {
		return c, nil
	}
	return r.registered.load(func(s *snapshot) *model.Client { return s.byID[id] }, func() (*model.Client, error) {
		row, err := r.Store.StoredClient(ctx, r.Service.ID, id)
		if err != nil {
			return nil, err
		}
		return r.OpenClient(row)
	})
}

// Declared reports whether the configuration declares the client.
func (r *Realm) Declared(alias string) bool { return r.declared[alias] != nil }

// DeclaredClients are the clients of the configuration, in no order.
func (r *Realm) DeclaredClients() map[string]*model.Client { return r.declared }

// ForgetClient drops what is remembered of a client that has changed.
func (r *Realm) ForgetClient(id model.ID) { r.registered.forget(id) }

// ForgetClients drops what is remembered of all of them.
func (r *Realm) ForgetClients() { r.registered.forgetAll() }

// Secrets are what is kept of a registered client under the master key.
type Secrets struct {
	ClientSecret string `json:"client_secret,omitempty"`
	ExpiresAt    int64  `json:"expires_at,omitempty"` // Unix seconds; 0: never
	// Statement is the software statement, which is given back as it came
	// (RFC 7591 §3.2.1).
	Statement string `json:"software_statement,omitempty"`
}

// SealSecrets encrypts the secrets of a client into its row.
func (r *Realm) SealSecrets(row *model.StoredClient, s Secrets) error {
	row.Sealed = nil
	if s == (Secrets{}) {
		return nil
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return err
	}
	row.Sealed, err = r.Master.Seal(r.Service.ID, keys.ClientName(row.Alias), plain)
	return err
}

// OpenSecrets decrypts the secrets of a client's row.
func (r *Realm) OpenSecrets(row *model.StoredClient) (s Secrets, err error) {
	if len(row.Sealed) == 0 {
		return s, nil
	}
	plain, err := r.Master.Open(r.Service.ID, keys.ClientName(row.Alias), row.Sealed)
	if err != nil {
		return s, fmt.Errorf("client %s: %w", row.Alias, err)
	}
	return s, json.Unmarshal(plain, &s)
}

// OpenClient makes a client of its row.
func (r *Realm) OpenClient(row model.StoredClient) (*model.Client, error) {
	settings := model.Settings{}
	if err := json.Unmarshal(row.Settings, &settings); err != nil {
		return nil, fmt.Errorf("client %s: %w", row.Alias, err)
	}
	secrets, err := r.OpenSecrets(&row)
	if err != nil {
		return nil, err
	}
	if secrets.ClientSecret != "" {
		if settings["clientSecret"], err = json.Marshal(secrets.ClientSecret); err != nil {
			return nil, err
		}
	}
	c, err := model.NewClient(row.Alias, settings)
	if err != nil {
		return nil, err
	}
	c.Service, c.ID, c.Registered, c.SecretExpiresAt = row.Service, row.ID, &row, secrets.ExpiresAt
	hideSecret(&c)
	return &c, nil
}

// hideSecret leaves the hash alone of a secret that is only compared.
func hideSecret(c *model.Client) {
	if c.ClientSecret == "" {
		return
	}
	c.SecretHash = sha256.Sum256([]byte(c.ClientSecret))
	if !c.UsesSecret() {
		c.ClientSecret = ""
	}
}

// maxRegistered bounds the registered clients that are remembered.
const maxRegistered = 10_000

// registered remembers registered clients until the feed says that one has
// changed. What was read before a change is not remembered after it.
type registered struct {
	mu      sync.RWMutex
	current snapshot
	changes uint64
}

type snapshot struct {
	byAlias map[string]*model.Client
	byID    map[model.ID]*model.Client
}

func (g *registered) load(find func(*snapshot) *model.Client, read func() (*model.Client, error)) (*model.Client, error) {
	g.mu.RLock()
	c, changes := find(&g.current), g.changes
	g.mu.RUnlock()
	if c != nil {
		return c, nil
	}
	c, err := read()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changes == changes {
		if g.current.byID == nil || len(g.current.byID) >= maxRegistered {
			g.current = snapshot{map[string]*model.Client{}, map[model.ID]*model.Client{}}
		}
		g.current.byAlias[c.Alias], g.current.byID[c.ID] = c, c
	}
	return c, nil
}

func (g *registered) forgetAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes++
	g.current = snapshot{}
}

func (g *registered) forget(id model.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes++
	if c := g.current.byID[id]; c != nil {
		delete(g.current.byID, id)
		delete(g.current.byAlias, c.Alias)
	}
}
