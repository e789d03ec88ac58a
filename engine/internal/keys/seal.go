// Package keys holds the signing keys of services: made at first start, kept
// sealed in the store, several at once, rotated with an overlap.
package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Master is the key that encrypts everything in the store that must be read
// back, and from which each service's derivation key comes.
type Master [32]byte

// ErrWrongMaster says that what is in the store was sealed under another key.
var ErrWrongMaster = errors.New("the master key does not open what the store holds; was it replaced or restored from elsewhere?")

// Seal encrypts plain with AES-256-GCM, bound to the service and the name, so
// that a row moved to another place does not open.
func (m *Master) Seal(service model.ID, name string, plain []byte) ([]byte, error) {
	aead, err := m.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, plain, binding(service, name)), nil
}

// Open decrypts what Seal has made for the same service and name.
func (m *Master) Open(service model.ID, name string, sealed []byte) ([]byte, error) {
	aead, err := m.aead()
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, ErrWrongMaster
	}
	nonce, body := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, body, binding(service, name))
	if err != nil {
		return nil, ErrWrongMaster
	}
	return plain, nil
}

func (m *Master) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(m[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// binding is the additional data that ties a sealed value to its place.
func binding(service model.ID, name string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(service)), name...)
}

// Derivation is a key of a service from which other secrets are derived.
type Derivation [32]byte

// What derivation keys are for.
const (
	PurposeSuccession = "gatehouse refresh token succession"
	PurposePairwise   = "gatehouse pairwise subjects"
	PurposeRevocation = "gatehouse revoked subjects"
	PurposeNonce      = "gatehouse DPoP nonces"
	// PurposeConfiguration is followed by a digest of the configuration.
	PurposeConfiguration = "gatehouse configuration "
)

// Derive returns the derivation key of a service for one purpose.
func (m *Master) Derive(service model.ID, purpose string) (d Derivation, err error) {
	info := string(binding(service, purpose))
	key, err := hkdf.Key(sha256.New, m[:], nil, info, len(d))
	copy(d[:], key)
	return d, err
}
