// Package handle makes and reads the opaque strings that the engine hands out:
// access tokens, refresh tokens, codes, tickets, session cookies.
//
// A handle is a type prefix and the base64url form of a 64-bit id followed by
// a 256-bit secret. The id is the row's key; the row keeps SHA-256 of the
// secret, so that whoever reads the database cannot use what is in it.
package handle

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Prefix names the type of a handle, for people and for secret scanners.
type Prefix string

// The prefixes. All have the same length.
const (
	AccessToken  Prefix = "ga_"
	RefreshToken Prefix = "gr_"
	Code         Prefix = "gc_"
	Ticket       Prefix = "gt_"
	Session      Prefix = "gs_"
	Login        Prefix = "gl_"
	Registration Prefix = "gm_" // manages a registered client (RFC 7592 §3)
)

const (
	prefixLen = 3
	secretLen = 32
	rawLen    = 8 + secretLen
)

// Len is the length of every handle in characters.
var Len = prefixLen + encoding.EncodedLen(rawLen)

// Strict: without it, several strings would decode to one handle, and an
// altered handle would be accepted (CVE-2026-27840).
var encoding = base64.RawURLEncoding.Strict()

// ErrMalformed says that a string is no handle of the wanted type.
var ErrMalformed = errors.New("malformed handle")

// Secret is the part of a handle that proves possession.
type Secret [secretLen]byte

// NewSecret draws a secret from r, which is crypto/rand but in tests.
func NewSecret(r io.Reader) (s Secret, err error) {
	_, err = io.ReadFull(r, s[:])
	return s, err
}

// Hash is what a row keeps of a secret.
func (s *Secret) Hash() [32]byte { return sha256.Sum256(s[:]) }

// Matches compares the secret with a row's hash in constant time.
func (s *Secret) Matches(hash [32]byte) bool {
	own := s.Hash()
	return subtle.ConstantTimeCompare(own[:], hash[:]) == 1
}

// Format returns the handle for an id and its secret.
func Format(p Prefix, id model.ID, s *Secret) string {
	var raw [rawLen]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(id))
	copy(raw[8:], s[:])
	buf := make([]byte, 0, 64)
	buf = append(buf, p...)
	return string(encoding.AppendEncode(buf, raw[:]))
}

// Parse reads a handle of the given type. Anything but the exact form that
// Format gives is ErrMalformed.
func Parse(p Prefix, text string) (model.ID, Secret, error) {
	var s Secret
	if len(text) != Len || text[:prefixLen] != string(p) {
		return 0, s, ErrMalformed
	}
	// The decoder skips line breaks; a handle has none.
	var raw [rawLen]byte
	n, err := encoding.Decode(raw[:], []byte(text[prefixLen:]))
	if err != nil || n != rawLen {
		return 0, s, ErrMalformed
	}
	id := binary.BigEndian.Uint64(raw[:8])
	if id == 0 || id > 1<<63-1 {
		return 0, s, ErrMalformed
	}
	copy(s[:], raw[8:])
	return model.ID(id), s, nil
}
