package jwt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// KeySet holds the keys of one issuer and verifies what they signed. It is safe
// for concurrent use.
//
// A token with a known key waits for nobody, unless the keys have not been asked
// for in [Source].Refresh and the issuer was last heard. One with an unknown key
// makes the keys be fetched, at most once in [Source].MinInterval however many
// there are, and is invalid if that brings none. While the issuer is down, known
// keys are good for [Source].MaxStale, and unknown ones are unavailable.
type KeySet struct {
	headers headers
	source  Source
	origin  *origin // nil if nothing is fetched

	held      atomic.Pointer[holding] // nil before the first answer
	last      atomic.Pointer[flight]  // nil before the first fetch
	fetches   atomic.Uint64
	throttled atomic.Uint64

	mu      sync.Mutex // orders the starts of flights
	running sync.WaitGroup
	life    context.Context // ends with the key set
	end     context.CancelFunc
}

// holding is a keyring and until when it is good. It is immutable.
type holding struct {
	*keyring
	fetched time.Time
	ahead   time.Time // from here on it is fetched again while nobody waits
	due     time.Time // from here on the issuer is asked first, if it was last heard
	end     time.Time // from here on it is good for nothing
}

// Status tells how it is with an issuer's keys.
type Status struct {
	Keys      int       // usable keys
	Fetched   time.Time // when they were asked for; zero: never, or they were given
	Err       error     // why the last fetch failed, if it did
	Fetches   uint64    // fetches begun
	Throttled uint64    // wishes for a fetch that came too soon after the last one
}

// NewKeySet returns a key set, which its owner closes. It fails on a source that
// makes no sense or a given set without a usable key, and fetches nothing.
func NewKeySet(source Source) (*KeySet, error) {
	s, err := source.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("JWT keys: %w", err)
	}
	s.Algorithms = slices.Clone(s.Algorithms)
	k := &KeySet{source: s}
	k.life, k.end = context.WithCancel(context.Background())
	if s.KeySet == nil {
		k.origin = newOrigin(&k.source)
		return k, nil
	}
	ring, err := parseKeyring(s.KeySet, s.Algorithms, s.MaxKeys)
	if err == nil && ring.count == 0 {
		err = errNoKeys
	}
	if err != nil {
		return nil, fmt.Errorf("JWT keys: %w", err)
	}
	k.held.Store(&holding{keyring: ring})
	return k, nil
}

// Verify checks the signature of a JWS in compact serialization, under an
// allowed algorithm and with the issuer's key for it, and returns its typ in
// lower case and without "application/", and its payload, neither of them
// judged. A token without kid is verified only if one key alone suits its
// algorithm.
//
// It fails with [ErrInvalid] if the token is not good, and with
// [introspect.ErrUnavailable] if that cannot be found out.
func (k *KeySet) Verify(ctx context.Context, compact string) (typ string, payload []byte, err error) {
	t, err := parse(compact, k.source.MaxToken, &k.headers)
	if err == nil {
		err = k.verify(ctx, t)
	}
	if err != nil {
		return "", nil, err
	}
	return t.typ, t.payload, nil
}

func (k *KeySet) verify(ctx context.Context, t *token) error {
	if !slices.Contains(k.source.Algorithms, t.alg) {
		return fmt.Errorf("%w: algorithm", ErrInvalid)
	}
	key, err := k.find(ctx, t.keyID)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", introspect.ErrUnavailable, err)
	case key == nil:
		return fmt.Errorf("%w: no such key for that algorithm", ErrInvalid)
	case !key.verifies(t):
		return fmt.Errorf("%w: signature", ErrInvalid)
	}
	return nil
}

// find returns the key for a token, or nil if the issuer has none, or several.
func (k *KeySet) find(ctx context.Context, id keyID) (*key, error) {
	held := k.held.Load()
	if k.origin == nil {
		return held.byID[id], nil
	}
	held, err := k.current(ctx, held)
	if err != nil {
		return nil, err
	}
	key, known := held.byID[id]
	if !known {
		if held, err = k.refresh(ctx); err != nil {
			return nil, err
		}
		key = held.byID[id]
	}
	if held.count == 0 {
		return nil, errNoKeys
	}
	return key, nil
}

// current returns keys that are good now.
func (k *KeySet) current(ctx context.Context, held *holding) (*holding, error) {
	now := k.source.Now()
	switch {
	case held == nil || !now.Before(held.end):
		return k.refresh(ctx)
	case now.Before(held.ahead):
	case now.Before(held.due) || k.last.Load().trouble() != nil:
		k.board(now)
	default:
		if fresh, err := k.refresh(ctx); err == nil {
			return fresh, nil
		}
	}
	return held, nil
}

// Status tells how it is with the keys.
func (k *KeySet) Status() Status {
	s := Status{Err: k.last.Load().trouble(), Fetches: k.fetches.Load(), Throttled: k.throttled.Load()}
	if held := k.held.Load(); held != nil {
		s.Keys, s.Fetched = held.count, held.fetched
	}
	return s
}

// Close ends a fetch under way and waits for it. Later ones do not begin.
func (k *KeySet) Close() {
	k.mu.Lock()
	k.end()
	k.mu.Unlock()
	k.running.Wait()
	if k.origin != nil {
		k.origin.close()
	}
}

var (
	errNoKeys = errors.New("the issuer has no key that can be used")
	errClosed = errors.New("the key set is closed")
)
