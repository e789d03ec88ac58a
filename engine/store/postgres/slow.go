package postgres

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// What waits for others must not keep those waiting who do not: a table may be
// locked for minutes (VACUUM FULL, an ALTER), a row by a node that hangs. So
// the workers wait for a lock for a moment only. What would have to wait longer
// goes aside, to a worker with a line and a connection of its own, which waits
// as long as the database's settings have it. What runs a statement that waited
// for its table goes there at once, until one of them gets through.

// hurry is how long a worker waits for a lock while others wait for it. Two
// transactions that meet do not wait so long for each other.
const hurry = 250 * time.Millisecond

// hurried is a pool's configuration for workers that wait no longer for locks.
func hurried(config *pgxpool.Config, connections int) *pgxpool.Config {
	c := config.Copy()
	c.ConnConfig.RuntimeParams["lock_timeout"] = milliseconds(hurry)
	c.MaxConns = int32(connections)
	return c
}

// maxSlow bounds how many statements are known to be slow: beyond it, they are
// found out again.
const maxSlow = 1000

// slowTexts are the statements that waited too long for a table, and of which
// none has been done since. The hot path reads one pointer.
type slowTexts struct {
	mu   sync.Mutex // held while changing
	list atomic.Pointer[[]string]
}

// any reports whether one of the statements is such.
func (s *slowTexts) any(is func(text string) bool) bool {
	list := s.list.Load()
	return list != nil && slices.ContainsFunc(*list, is)
}

func (s *slowTexts) add(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	if old := s.list.Load(); old != nil && len(*old) < maxSlow {
		list = slices.Clone(*old)
	}
	if !slices.Contains(list, text) {
		list = append(list, text)
	}
	s.list.Store(&list)
}

// remove forgets those that are such.
func (s *slowTexts) remove(is func(text string) bool) {
	if !s.any(is) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*s.list.Load()), is)
	s.list.Store(&list)
}
