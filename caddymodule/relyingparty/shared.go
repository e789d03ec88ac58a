package relyingparty

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
)

// pool holds what outlives a reload, by the identity of the relying party.
var pool = caddy.NewUsagePool()

const (
	maxStates    = 10_000 // used ones that are remembered
	maxSessions  = 5_000  // of the storage, in memory
	maxRefreshes = 5_000  // whose outcome is remembered
)

// shared is what successive configurations of one relying party share: what its
// provider publishes, and what a reload must not forget. It holds no
// caddy.Context, and neither logger nor storage of theirs.
type shared struct {
	*background
	client    *http.Client
	provider  *provider
	generated kept[*sealer]    // of the secret that the storage has
	used      *shelf[struct{}] // states
	seen      *shelf[struct{}] // sessions of which it was noted a while ago, by id
	sessions  *shelf[*session]
	refreshes *refreshes
	ended     *endedSessions
	sweptDay  atomic.Int64
}

// share finds or makes what is shared. release gives it back.
func (h *Handler) share(storage string, roots *x509.CertPool, trusted []byte) (s *shared, release func(), err error) {
	identity, err := json.Marshal([]any{
		h.issuer, h.clientID, h.clientSecret, h.origin.String(), storage, trusted,
	})
	if err != nil {
		return nil, nil, err
	}
	digest := sha256.Sum256(identity)
	key := hex.EncodeToString(digest[:])
	value, _, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) { return h.newShared(roots), nil })
	if err != nil {
		return nil, nil, err
	}
	return value.(*shared), func() { _, _ = pool.Delete(key) }, nil
}

func (h *Handler) newShared(roots *x509.CertPool) *shared {
	b, client := newBackground(), newClient(roots)
	return &shared{
		background: b, client: client,
		provider:  newProvider(h.issuer, h.clientID, h.clientSecret, client, h.now, b),
		generated: kept[*sealer]{pause: storagePause, now: h.now, in: b},
		used:      newShelf[struct{}](maxStates),
		seen:      newShelf[struct{}](maxSessions),
		sessions:  newShelf[*session](maxSessions),
		refreshes: newRefreshes(b, h.now),
		ended:     newEndedSessions(h.folder, b, h.now),
	}
}

// Destruct is part of caddy.Destructor.
func (s *shared) Destruct() error {
	s.stop()
	s.client.CloseIdleConnections()
	return nil
}

// storageName tells storages apart that say which they are.
func storageName(s any) string {
	if named, ok := s.(fmt.Stringer); ok {
		return fmt.Sprintf("%T %s", s, named)
	}
	return fmt.Sprintf("%T", s)
}
