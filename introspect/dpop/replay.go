package dpop

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

var errFull = errors.New("the replay cache is full")

// stall is how long after its check a proof may come here, on a machine that is
// busy: it must not come when the first use has just been forgotten.
const stall = 5 * time.Second

// outcome is what became of a proof that was to be used.
type outcome uint8

const (
	used outcome = iota
	replayed
	full
)

// replays remembers which proofs were used (RFC 9449 §11.1), each for at least
// window, within which its iat goes out of date and whatever stalled arrives.
// Its shards spare proofs each other's locks. Which shard is whose depends on a
// secret: nobody can aim at one and fill it.
type replays struct {
	window time.Duration
	limit  int // a shard's
	secret [16]byte
	shards [64]shard
}

// fingerprint stands for a key and a jti. Two that collide by chance or by
// design cost whoever made them the second proof.
type fingerprint [16]byte

// shard keeps two generations. When a window has passed the younger becomes the
// elder, and the elder is forgotten at once, with its memory.
type shard struct {
	mu             sync.Mutex
	turned         time.Time
	younger, elder map[fingerprint]struct{}
}

func newReplays(most int, window time.Duration) *replays {
	r := &replays{window: window + stall}
	r.limit = (most + len(r.shards) - 1) / len(r.shards)
	return r
}

// use remembers a proof unless it is known, or there is no room: then none of
// the others is forgotten before its time.
func (r *replays) use(thumbprint, jti string, now time.Time) outcome {
	mark := r.mark(thumbprint, jti)
	s := &r.shards[mark[0]%byte(len(r.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now, r.window)
	if _, known := s.younger[mark]; known {
		return replayed
	}
	if _, known := s.elder[mark]; known {
		return replayed
	}
	if len(s.younger)+len(s.elder) >= r.limit {
		return full
	}
	s.younger[mark] = struct{}{}
	return used
}

func (r *replays) mark(thumbprint, jti string) (mark fingerprint) {
	b := append(make([]byte, 0, 256), r.secret[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(thumbprint)))
	b = append(b, thumbprint...)
	sum := sha256.Sum256(append(b, jti...))
	return fingerprint(sum[:])
}

func (s *shard) turn(now time.Time, window time.Duration) {
	passed := now.Sub(s.turned)
	switch {
	case s.younger == nil, passed >= 2*window:
		s.elder = nil
	case passed >= window:
		s.elder = s.younger
	default:
		return
	}
	s.younger, s.turned = map[fingerprint]struct{}{}, now
}
