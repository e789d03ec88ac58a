package relyingparty

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	secretSize  = 32   // bytes
	maxSecrets  = 8    // the one in use, and those before it
	sealVersion = 0x01 // the first byte of what is sealed
)

var errSeal = errors.New("not sealed by any of the secrets in use")

// sealer encrypts and authenticates what browsers and the storage keep for us.
type sealer struct {
	keys []cipher.AEAD // the first seals, all open
}

// newSealer derives keys from secrets (RFC 5869). Two relying parties with one
// secret have different keys.
func newSealer(secrets [][]byte, party string) (*sealer, error) {
	s := &sealer{}
	for _, secret := range secrets {
		key, err := hkdf.Key(sha256.New, secret, nil, "gatehouse_login session "+party, chacha20poly1305.KeySize)
		if err != nil {
			return nil, err
		}
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

// seal seals a text for a purpose: nothing opens it for another. Nonces of 24
// bytes may be random.
func (s *sealer) seal(plain []byte, purpose string) []byte {
	out := make([]byte, 1+chacha20poly1305.NonceSizeX, 1+chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	out[0] = sealVersion
	_, _ = rand.Read(out[1:]) // never fails
	return s.keys[0].Seal(out, out[1:], plain, []byte(purpose))
}

func (s *sealer) open(sealed []byte, purpose string) ([]byte, error) {
	if len(sealed) < 1+chacha20poly1305.NonceSizeX || sealed[0] != sealVersion {
		return nil, errSeal
	}
	nonce, text := sealed[1:1+chacha20poly1305.NonceSizeX], sealed[1+chacha20poly1305.NonceSizeX:]
	for _, key := range s.keys {
		if plain, err := key.Open(nil, nonce, text, []byte(purpose)); err == nil {
			return plain, nil
		}
	}
	return nil, errSeal
}

// sealText is seal, for cookies.
func (s *sealer) sealText(plain []byte, purpose string) string {
	return base64.RawURLEncoding.EncodeToString(s.seal(plain, purpose))
}

func (s *sealer) openText(text, purpose string) ([]byte, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errSeal
	}
	return s.open(sealed, purpose)
}

// parseSecret reads 32 bytes in hexadecimal or base64. The error does not say
// what the text was.
func parseSecret(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == secretSize {
		return raw, nil
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if raw, err := encoding.DecodeString(text); err == nil && len(raw) == secretSize {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("expected %d bytes in hexadecimal or base64, as from openssl rand -hex %[1]d", secretSize)
}
