// Package revocationstream tells gateways elsewhere what was revoked, so that
// they forget it: lines of JSON without an end, each with the position at which
// to go on after an interruption.
package revocationstream

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// MaxFollowers bounds the streams of a service.
const MaxFollowers = 256

// ErrTooMany says that a service has MaxFollowers streams already.
var ErrTooMany = errors.New("too many follow the revocations of this service")

// Hub knows the streams of one service. It is safe for concurrent use.
type Hub struct {
	realm *realm.Realm
	after func(time.Duration) <-chan time.Time
	// configuration names what is declared of the service and its clients.
	configuration string
	closing       chan struct{}

	mu      sync.Mutex
	streams map[*Stream]struct{}
}

// NewHub makes the hub of a service. after is time.After, but in tests. Close it
// after use.
func NewHub(r *realm.Realm, after func(time.Duration) <-chan time.Time) (*Hub, error) {
	h := &Hub{realm: r, after: after, closing: make(chan struct{}), streams: map[*Stream]struct{}{}}
	declared, err := json.Marshal([]any{r.Service, r.DeclaredClients()})
	if err != nil {
		return nil, err
	}
	// Under a key: there are secrets among the settings.
	digest := sha256.Sum256(declared)
	name, err := r.Root.Derive(r.Service.ID, keys.PurposeConfiguration+string(digest[:]))
	h.configuration = base64.RawURLEncoding.EncodeToString(name[:8])
	return h, err
}

// Wake lets the streams look for what has come.
func (h *Hub) Wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		select {
		case s.wake <- struct{}{}:
		default: // it is to look already
		}
	}
}

// Close ends the streams. Call it once.
func (h *Hub) Close() { close(h.closing) }

func (h *Hub) closed() bool {
	select {
	case <-h.closing:
		return true
	default:
		return false
	}
}

func (h *Hub) join(caller *model.Client) (*Stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed():
		return nil, fmt.Errorf("closing: %w", store.ErrUnavailable)
	case len(h.streams) >= MaxFollowers:
		return nil, ErrTooMany
	}
	s := &Stream{hub: h, caller: caller, wake: make(chan struct{}, 1), until: h.realm.Now().Add(life)}
	h.streams[s] = struct{}{}
	return s, nil
}

func (h *Hub) leave(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
}

// position writes a place down. Facts rest on the declarations too, whose change
// is no row of the feed: a position is good under the same ones alone.
func (h *Hub) position(p model.Place) string {
	return strings.Join([]string{p.Feed, strconv.FormatInt(p.Seq, 10), strconv.FormatInt(p.At, 10), h.configuration}, ".")
}

// place reads a position. One that is none, or was good under other
// declarations, is the zero place, which is in no feed.
func (h *Hub) place(position string) model.Place {
	parts := strings.Split(position, ".")
	if len(parts) != 4 || parts[3] != h.configuration {
		return model.Place{}
	}
	seq, err := strconv.ParseInt(parts[1], 10, 64)
	at, errAt := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || errAt != nil {
		return model.Place{}
	}
	return model.Place{Feed: parts[0], Seq: seq, At: at}
}
