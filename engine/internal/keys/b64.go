package keys

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// b64 is bytes that JSON has in base64url (RFC 7515 §2).
type b64 []byte

// MarshalJSON is part of json.Marshaler.
func (b b64) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.RawURLEncoding.EncodeToString(b))
}

// UnmarshalJSON is part of json.Unmarshaler.
func (b *b64) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	v, err := base64.RawURLEncoding.DecodeString(text)
	*b = v
	return err
}

// thumbprint is RFC 7638 for any key whose public JWK holds it: the required
// members in order, hashed.
func thumbprint(public json.RawMessage) (string, error) {
	var m struct {
		CRV string `json:"crv,omitempty"`
		E   string `json:"e,omitempty"`
		KTY string `json:"kty"`
		N   string `json:"n,omitempty"`
		X   string `json:"x,omitempty"`
		Y   string `json:"y,omitempty"`
	}
	if err := json.Unmarshal(public, &m); err != nil {
		return "", err
	}
	text, err := json.Marshal(m) // the members are in lexicographic order (§3.3)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
