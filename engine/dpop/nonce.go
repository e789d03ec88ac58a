package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	nonceSlot    = 5 * time.Minute
	nonceKeySize = 32
)

// nonces are stateless: one is the HMAC of a slot of time, so that every node
// with the key makes the same and nobody can foretell the next.
type nonces struct{ key [nonceKeySize]byte }

func slotOf(now time.Time) int64 { return now.Unix() / int64(nonceSlot/time.Second) }

func (n *nonces) at(slot int64) string {
	mac := hmac.New(sha256.New, n.key[:])
	mac.Write(binary.BigEndian.AppendUint64([]byte("DPoP-Nonce"), uint64(slot)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// valid reports whether a nonce is that of this slot, of the one before it, or
// of the next, in which a node whose clock is ahead may be already.
func (n *nonces) valid(nonce string, now time.Time) bool {
	slot := slotOf(now)
	for _, candidate := range [...]int64{slot, slot - 1, slot + 1} {
		if hmac.Equal([]byte(nonce), []byte(n.at(candidate))) {
			return true
		}
	}
	return false
}
