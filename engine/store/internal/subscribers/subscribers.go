// Package subscribers tells those who follow a store of its changes.
package subscribers

import (
	"slices"
	"sync"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// List are those who are told. They are told by one at a time, who holds the
// lock that the list is made with.
type List struct {
	telling *sync.Mutex

	mu   sync.Mutex
	list []*subscriber
}

type subscriber struct{ f func(model.Change) }

// New makes a list. telling is held by whoever calls Tell.
func New(telling *sync.Mutex) *List { return &List{telling: telling} }

// Add lets f be called for every change from now on, until cancelled.
// Cancelling waits for a call under way, so that f may use what its owner then
// gives up.
func (l *List) Add(f func(model.Change)) (cancel func()) {
	sub := &subscriber{f}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(slices.Clone(l.list), sub)
	return func() {
		l.telling.Lock()
		defer l.telling.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.list = slices.DeleteFunc(slices.Clone(l.list), func(s *subscriber) bool { return s == sub })
	}
}

// Tell calls them for each change.
func (l *List) Tell(changes []model.Change) {
	l.mu.Lock()
	list := l.list
	l.mu.Unlock()
	for _, c := range changes {
		for _, sub := range list {
			sub.f(c)
		}
	}
}
