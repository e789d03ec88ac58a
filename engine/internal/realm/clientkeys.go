package realm

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	minKeysAge = time.Minute // what a jwks_uri's answer is kept at least
	maxKeysAge = time.Hour   // and at most
	// A request that names an unknown key makes the client's keys be fetched
	// again, but no more often than this, whatever arrives: so many at once,
	// and then one in each interval.
	refetchBurst    = 5
	refetchInterval = 30 * time.Second
	maxClientKeys   = 10_000 // clients remembered
)

// clientKeys remembers the public keys of clients.
type clientKeys struct {
	mu      sync.Mutex
	entries map[model.ID]*keyEntry
}

// keyEntry is what is known of one client's keys. Its lock is held while they
// are fetched, so that one fetch answers everybody who waits.
type keyEntry struct {
	mu       sync.Mutex
	client   *model.Client // whose settings the keys are from
	keys     []keys.Public
	until    time.Time
	tokens   int // fetches that may be made at once
	refilled time.Time
}

// ClientKeys returns the first of a client's keys that fit, those of the key id
// before others. When none fits and the client has a jwks_uri, it is fetched again.
func (r *Realm) ClientKeys(ctx context.Context, c *model.Client, fits func(*keys.Public) bool, kid string) ([]keys.Public, error) {
	e := r.clientKeys.entry(c.ID)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client != c {
		e.client, e.keys, e.until = c, nil, time.Time{}
	}
	now := r.Now()
	if now.Before(e.until) {
		if found := choose(e.keys, fits, kid); found != nil {
			return found, nil
		}
		if c.JWKSURI == "" {
			return nil, nil
		}
	}
	if err := r.readKeys(ctx, c, e, now); err != nil {
		return nil, err
	}
	return choose(e.keys, fits, kid), nil
}

// VerifyClient verifies a client's signature by an asymmetric algorithm, which
// the caller has made sure the client may use.
func (r *Realm) VerifyClient(ctx context.Context, c *model.Client, p *jose.Parsed) error {
	set, err := r.ClientKeys(ctx, c, func(k *keys.Public) bool { return k.Suits(p.Alg) }, p.Kid)
	if err != nil {
		return err
	}
	for _, key := range set {
		if p.Verify(key.Key) == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: no key of the client verifies it", jose.ErrInvalid)
}

// readKeys fills an entry anew, unless that was done too often of late.
func (r *Realm) readKeys(ctx context.Context, c *model.Client, e *keyEntry, now time.Time) (err error) {
	if c.JWKS != "" || c.JWKSURI == "" {
		e.until = now.Add(maxKeysAge)
		if c.JWKS != "" {
			e.keys, err = keys.ParseSet([]byte(c.JWKS))
		}
		return err
	}
	if !e.mayFetch(now) {
		return nil
	}
	document, err := r.Fetch.Get(ctx, c.JWKSURI)
	var set []keys.Public
	if err == nil {
		set, err = keys.ParseSet(document.Body)
	}
	if err != nil && e.keys != nil { // what was there before outlives an outage
		e.until = now.Add(minKeysAge)
		return nil
	}
	if err != nil {
		return fmt.Errorf("jwks_uri of client %s: %w", c.Alias, err)
	}
	e.keys, e.until = set, now.Add(min(max(document.MaxAge, minKeysAge), maxKeysAge))
	return nil
}

func (e *keyEntry) mayFetch(now time.Time) bool {
	if refills := int(now.Sub(e.refilled) / refetchInterval); refills > 0 {
		e.tokens, e.refilled = min(refetchBurst, e.tokens+min(refills, refetchBurst)), now
	}
	if e.tokens == 0 {
		return false
	}
	e.tokens--
	return true
}

// choose returns the keys that fit: those of the key id when one is named.
// A key without an id fits any name.
func choose(set []keys.Public, fits func(*keys.Public) bool, kid string) []keys.Public {
	var found []keys.Public
	for i := range set {
		if k := &set[i]; fits(k) && (kid == "" || k.KID == "" || k.KID == kid) {
			found = append(found, *k)
		}
	}
	return found
}

func (k *clientKeys) entry(id model.ID) *keyEntry {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.entries == nil || len(k.entries) >= maxClientKeys {
		k.entries = map[model.ID]*keyEntry{}
	}
	if k.entries[id] == nil {
		k.entries[id] = new(keyEntry)
	}
	return k.entries[id]
}
