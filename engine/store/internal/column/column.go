// Package column says how the stores keep what is more than a number, a text
// or bytes. Scopes are words (RFC 6749 §3.3), kept as on the wire. Other lists
// and maps are kept as JSON. What is empty is NULL.
package column

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

var (
	// ErrMalformed is a write that no store could do.
	ErrMalformed = errors.New("malformed write")
	// ErrDamaged says that a row is not as it was written.
	ErrDamaged = errors.New("the database is damaged")
)

// JoinWords is the text of scopes.
func JoinWords(words []string) string { return strings.Join(words, " ") }

// SplitWords reads what JoinWords wrote.
func SplitWords(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

// OrNull is a text, or NULL.
func OrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// BytesOrNull are bytes, or NULL.
func BytesOrNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// NotNull keeps a missing value from being taken for NULL.
func NotNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Thumbprint are the bytes of what a token is bound to, or NULL.
func Thumbprint(t model.Thumbprint) any {
	if t.IsZero() {
		return nil
	}
	return t[:]
}

// List is a list as JSON.
func List(list []string) (any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	return JSON(list)
}

// Map is a map as JSON.
func Map(m map[string]json.RawMessage) (any, error) {
	if len(m) == 0 {
		return nil, nil
	}
	return JSON(m)
}

// Claims are a grant's claims as JSON.
func Claims(c *model.GrantClaims) (any, error) {
	if c.Empty() {
		return nil, nil
	}
	return JSON(c)
}

// JSON fails for what is not JSON, such as a malformed json.RawMessage.
func JSON(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return string(b), nil
}

// Decode reads what JSON wrote. Nothing is empty.
func Decode(s string, v any) error {
	if s == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(s), v); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// Hash reads a SHA-256 value.
func Hash(b []byte) (h [32]byte, err error) {
	if len(b) != len(h) {
		return h, fmt.Errorf("a hash of %d bytes: %w", len(b), ErrDamaged)
	}
	copy(h[:], b)
	return h, nil
}
