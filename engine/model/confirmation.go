package model

import (
	"encoding/base64"
	"errors"
)

// Thumbprint is a SHA-256 that names a key (RFC 7638 §3) or a certificate (RFC
// 8705 §3.1); zero names none.
type Thumbprint [32]byte

var errThumbprint = errors.New("not the base64url form of a SHA-256")

// IsZero reports whether there is none.
func (t Thumbprint) IsZero() bool { return t == Thumbprint{} }

// String is the base64url form, empty when there is none.
func (t Thumbprint) String() string {
	if t.IsZero() {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(t[:])
}

// MarshalText writes the base64url form.
func (t Thumbprint) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the base64url form, and nothing else: not that of zero either.
func (t *Thumbprint) UnmarshalText(text []byte) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) != len(t) || base64.RawURLEncoding.EncodedLen(len(raw)) != len(text) || Thumbprint(raw).IsZero() {
		return errThumbprint
	}
	*t = Thumbprint(raw)
	return nil
}

// Confirmation is what a token is bound to: whoever presents it proves to hold
// each of these. As JSON it is the claim cnf (RFC 7800 §3.1). The zero value
// binds a token to nothing.
type Confirmation struct {
	JKT Thumbprint `json:"jkt,omitzero"`      // of a DPoP key (RFC 9449 §6.1)
	X5T Thumbprint `json:"x5t#S256,omitzero"` // of a client certificate (RFC 8705 §3.1)
}

// IsZero reports whether a token is bound to nothing.
func (c Confirmation) IsZero() bool { return c == Confirmation{} }

// Covers reports whether whoever holds what c names may use what is bound to other.
func (c Confirmation) Covers(other Confirmation) bool {
	return (other.JKT.IsZero() || c.JKT == other.JKT) && (other.X5T.IsZero() || c.X5T == other.X5T)
}
