// Package keys holds the signing keys of services: made at first start, kept
// sealed in the store, several at once, rotated with an overlap.
package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// MasterKey encrypts what the store must give back.
type MasterKey [32]byte

// ErrWrongMaster says that what is in the store was sealed under another key.
var ErrWrongMaster = errors.New("the master key does not open what the store holds; was it replaced or restored from elsewhere?")

// Master seals under one master key, and opens what was sealed under that or one
// before. It is safe for concurrent use, and takes no lock.
type Master struct {
	known atomic.Pointer[[]MasterKey] // the current one first
	read  func() ([]MasterKey, error)
}

// NewMaster knows the keys that read returns, the current one first. It reads
// again when something does not open: another process may have replaced the key.
func NewMaster(read func() ([]MasterKey, error)) (*Master, error) {
	m := &Master{read: read}
	return m, m.Refresh()
}

// Single is a master key that has none before it.
func Single(key MasterKey) *Master {
	m := &Master{read: func() ([]MasterKey, error) { return []MasterKey{key}, nil }}
	m.known.Store(&[]MasterKey{key})
	return m
}

// Refresh reads the keys again. After an error those before are known still.
func (m *Master) Refresh() error {
	known, err := m.read()
	if err != nil {
		return fmt.Errorf("master key: %w", err)
	}
	if len(known) == 0 {
		return errors.New("master key: there is none")
	}
	m.known.Store(&known)
	return nil
}

// Seal encrypts plain with AES-256-GCM, bound to the service and the name, so
// that a row moved to another place does not open.
func (m *Master) Seal(service model.ID, name string, plain []byte) ([]byte, error) {
	aead, err := (*m.known.Load())[0].aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, plain, binding(service, name)), nil
}

// Open decrypts what Seal has made for the same service and name. The error is
// ErrWrongMaster.
func (m *Master) Open(service model.ID, name string, sealed []byte) ([]byte, error) {
	plain, _, err := m.open(service, name, sealed)
	return plain, err
}

// open says under which key it was, too.
func (m *Master) open(service model.ID, name string, sealed []byte) (plain []byte, under MasterKey, err error) {
	tried := *m.known.Load()
	if plain, under, err = openWith(tried, service, name, sealed); err == nil {
		return plain, under, nil
	}
	if failed := m.Refresh(); failed != nil {
		return nil, under, fmt.Errorf("%w (%w)", ErrWrongMaster, failed)
	}
	if known := *m.known.Load(); !slices.Equal(known, tried) {
		return openWith(known, service, name, sealed)
	}
	return nil, under, err
}

func openWith(known []MasterKey, service model.ID, name string, sealed []byte) ([]byte, MasterKey, error) {
	for i := range known {
		aead, err := known[i].aead()
		if err != nil {
			return nil, MasterKey{}, err
		}
		if len(sealed) < aead.NonceSize() {
			break
		}
		nonce, body := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
		if plain, err := aead.Open(nil, nonce, body, binding(service, name)); err == nil {
			return plain, known[i], nil
		}
	}
	return nil, MasterKey{}, ErrWrongMaster
}

func (k *MasterKey) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// binding is the additional data that ties a sealed value to its place.
func binding(service model.ID, name string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(service)), name...)
}

// ClientName is the name under which the secrets of a registered client are sealed.
func ClientName(alias string) string { return "client " + alias }
