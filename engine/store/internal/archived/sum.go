package archived

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Sum tells sets of rows apart without keeping them. It is for one goroutine.
type Sum map[store.Kind]Part

// Part is what a Sum knows of the rows of a kind. Those of the same rows are the
// same, in whatever order they came.
type Part struct {
	Rows    int64
	digests [4]uint64 // the sum of the SHA-256 of each row, modulo 2^256
}

// Add adds a row. It fails for one that no store can keep.
func (s Sum) Add(row store.Row) error {
	values, err := Values(row)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "%#v", values)) // which tells values apart as Go's syntax does
	part, carry := s[store.KindOf(row)], uint64(0)
	part.Rows++
	for i := range part.digests {
		part.digests[i], carry = bits.Add64(part.digests[i], binary.LittleEndian.Uint64(digest[8*i:]), carry)
	}
	s[store.KindOf(row)] = part
	return nil
}
