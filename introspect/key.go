package introspect

import (
	"crypto/sha256"
	"encoding/binary"
)

// digest names a token at one engine for one client. It is the cache's key:
// everything that an answer depends on is in it.
type digest [sha256.Size]byte

// short is the digest's part that ristretto is keyed with. It may collide, so
// an entry holds the whole digest and is used only if that is the same.
func (d *digest) short() uint64 { return binary.LittleEndian.Uint64(d[:]) }

// keyer computes digests. Its prefix is the SHA-256 of the length-prefixed
// identity and client, so that the part of the key that never changes costs one
// fixed 32 bytes.
type keyer struct{ prefix digest }

func newKeyer(identity, client string) keyer {
	var b []byte
	for _, part := range [...]string{identity, client} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return keyer{prefix: sha256.Sum256(b)}
}

// digest hashes prefix, length and token. Tokens that are longer than the
// buffer, as JWTs are, cost one allocation.
func (k *keyer) digest(token string) digest {
	var buffer [256]byte
	b := append(buffer[:0], k.prefix[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(token)))
	b = append(b, token...)
	return sha256.Sum256(b)
}
