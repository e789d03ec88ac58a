package sqlite

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Scopes are words (RFC 6749 §3.3), kept as on the wire. Other lists and maps
// are kept as JSON. What is empty is NULL.

func joinWords(words []string) string { return strings.Join(words, " ") }

func splitWords(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func bytesOrNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

func thumbprint(t model.Thumbprint) any {
	if t.IsZero() {
		return nil
	}
	return t[:]
}

// notNull keeps a missing value from being taken for NULL.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func encodeList(list []string) (any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	return encode(list)
}

func encodeMap(m map[string]json.RawMessage) (any, error) {
	if len(m) == 0 {
		return nil, nil
	}
	return encode(m)
}

func encodeClaims(c *model.GrantClaims) (any, error) {
	if c.Empty() {
		return nil, nil
	}
	return encode(c)
}

// encode fails for what is not JSON, such as a malformed json.RawMessage.
func encode(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return string(b), nil
}

func decode(s string, v any) error {
	if s == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(s), v); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}
