package relyingparty

import (
	"sync"
	"time"
)

// shelf holds a bounded number of values, each for a time. It may forget one
// sooner when it is full. It is safe for concurrent use.
type shelf[V any] struct {
	most int

	mu    sync.Mutex
	items map[string]item[V]
}

type item[V any] struct {
	value V
	until time.Time
}

func newShelf[V any](most int) *shelf[V] {
	return &shelf[V]{most: most, items: map[string]item[V]{}}
}

func (s *shelf[V]) get(key string, now time.Time) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.items[key]
	if ok && !now.Before(i.until) {
		delete(s.items, key)
		ok, i = false, item[V]{}
	}
	return i.value, ok
}

func (s *shelf[V]) put(key string, value V, now time.Time, lasts time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, value, now, lasts)
}

// add puts a value that is not there yet, and reports whether it was not.
func (s *shelf[V]) add(key string, value V, now time.Time, lasts time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.items[key]; ok && now.Before(i.until) {
		return false
	}
	s.set(key, value, now, lasts)
	return true
}

func (s *shelf[V]) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, key)
}

func (s *shelf[V]) set(key string, value V, now time.Time, lasts time.Duration) {
	if _, there := s.items[key]; !there && len(s.items) >= s.most {
		s.makeRoom(now)
	}
	s.items[key] = item[V]{value, now.Add(lasts)}
}

// makeRoom looks at a few items, in the map's random order, and drops those
// whose time is over, and in any case the one whose time ends first.
func (s *shelf[V]) makeRoom(now time.Time) {
	first, seen := "", 0
	for key, i := range s.items {
		if seen++; seen > 16 {
			break
		}
		if !now.Before(i.until) {
			delete(s.items, key)
		}
		if kept, there := s.items[first]; !there || i.until.Before(kept.until) {
			first = key
		}
	}
	delete(s.items, first)
}
