package admission

import "sync"

// Room is where bodies arrive, before there is a place for them. It is safe for
// concurrent use.
//
// It is bounded by the bytes that are kept, not by those that were announced. Who
// finds it full stays, and who has been arriving longest makes way, since it has
// had its chance: an honest body follows its headers at once. To keep those out,
// somebody has to fill the whole room anew while one of them arrives. Addresses
// are not looked at: behind a proxy, strangers share one.
type Room struct {
	mu    sync.Mutex
	free  int64
	count int
	ends  Arrival // after the newest, before the oldest
}

// Arrival is one that arrives. Its zero value is ready for Begin.
type Arrival struct {
	giveUp       func()
	held         int64
	evicted      bool
	older, newer *Arrival
}

// NewRoom makes a room for that many bytes.
func NewRoom(bytes int64) *Room {
	r := &Room{free: bytes}
	r.ends.older, r.ends.newer = &r.ends, &r.ends
	return r
}

// Begin lets one in, until End. When it has to make way, giveUp is called, once
// and before End returns, so that it stops receiving. It must neither wait nor
// use the room.
func (r *Room) Begin(a *Arrival, giveUp func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.giveUp = giveUp
	a.older, a.newer = r.ends.older, &r.ends
	a.older.newer, a.newer.older = a, a
	r.count++
}

// Take takes so many bytes of the room for one that has begun. The error is
// ErrFull when it has to make way itself.
func (r *Room) Take(a *Arrival, bytes int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !a.evicted && r.free < bytes {
		oldest := r.ends.newer
		r.remove(oldest)
		oldest.evicted = true
		oldest.giveUp()
	}
	if a.evicted {
		return ErrFull
	}
	r.free -= bytes
	a.held += bytes
	return nil
}

// End gives back what one has taken. It reports whether it had to make way.
func (r *Room) End(a *Arrival) (evicted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !a.evicted {
		r.remove(a)
	}
	return a.evicted
}

func (r *Room) remove(a *Arrival) {
	a.older.newer, a.newer.older = a.newer, a.older
	r.free += a.held
	r.count--
}

// Load is how many arrive.
func (r *Room) Load() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}
