package introspect

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// shelf keeps a bounded number of entries in ristretto and knows its traps:
//
//   - a ttl of 0 would mean forever, and below that the write is dropped;
//   - a Set is applied later, or never;
//   - Set panics after Close, and Clear must not run beside another Clear or
//     Close, hence mu. Get panics beside Close too; [tally] keeps it out.
//
// The two kinds of entries have a shelf each rather than different costs on
// one: under one budget, a flood of invented tokens would still have to be
// weighed against valid ones, by an estimate of frequency that it can sway.
type shelf struct {
	mu        sync.RWMutex // shared by writes, exclusive for clear and close
	closed    bool
	clearing  atomic.Bool
	cache     *ristretto.Cache[uint64, *entry]
	evictions atomic.Uint64
}

func newShelf(maxEntries int64) (*shelf, error) {
	s := &shelf{}
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters:        10 * maxEntries,
		MaxCost:            maxEntries, // every entry costs 1
		BufferItems:        64,
		IgnoreInternalCost: true,
		KeyToHash:          func(key uint64) (uint64, uint64) { return key, 0 },
		OnEvict: func(item *ristretto.Item[*entry]) {
			// What leaves in its time carries its expiration, what makes room does not.
			if item.Expiration.IsZero() && !s.clearing.Load() {
				s.evictions.Add(1)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	s.cache = cache
	return s, nil
}

// get returns the entry with this digest, if there is one: ristretto's key is
// 64 bits of it only.
func (s *shelf) get(d *digest) *entry {
	e, ok := s.cache.Get(d.short())
	if !ok || e.digest != *d {
		return nil
	}
	return e
}

// put hands an entry over. It may not arrive.
func (s *shelf) put(e *entry, ttl time.Duration) {
	if ttl <= 0 {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.closed {
		s.cache.SetWithTTL(e.digest.short(), e, 1, ttl)
	}
}

// settle returns when the writes before it have arrived or been dropped.
func (s *shelf) settle() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.closed {
		s.cache.Wait()
	}
}

func (s *shelf) size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0
	}
	return s.cache.MaxCost() - s.cache.RemainingCost()
}

func (s *shelf) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.clearing.Store(true)
	s.cache.Clear()
	s.clearing.Store(false)
}

func (s *shelf) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.clearing.Store(true)
	s.cache.Close()
}
