package keys

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Root is the secret from which each service's derivation keys come. It stays
// when the master key changes: what is derived, such as pairwise subjects, must
// not.
type Root [32]byte

// rootName is where a store keeps its root, under service 0.
const rootName = "root"

// OpenRoot returns the root of a store. A store that has none gets a master key
// as its root: versions before this one derived from that, and may serve beside
// this one. It is the one under which the services' keys are, or the current one.
func OpenRoot(ctx context.Context, st store.Store, m *Master, services []model.ID) (Root, error) {
	sealed, err := st.Secret(ctx, 0, rootName)
	if errors.Is(err, store.ErrNotFound) {
		err = m.insertRoot(ctx, st, services)
		if err == nil || errors.Is(err, store.ErrConflict) { // another process was first
			sealed, err = st.Secret(ctx, 0, rootName)
		}
	}
	if err != nil {
		return Root{}, fmt.Errorf("root secret: %w", err)
	}
	plain, err := m.Open(0, rootName, sealed)
	if err != nil {
		return Root{}, fmt.Errorf("root secret: %w", err)
	}
	var root Root
	if len(plain) != len(root) {
		return Root{}, fmt.Errorf("root secret: %d bytes, expected %d", len(plain), len(root))
	}
	return Root(plain), nil
}

// Rooted reports whether a store has a root.
func Rooted(ctx context.Context, st store.Secrets) (bool, error) {
	_, err := st.Secret(ctx, 0, rootName)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (m *Master) insertRoot(ctx context.Context, st store.Store, services []model.ID) error {
	origin := (*m.known.Load())[0]
	for _, service := range services {
		rows, err := st.Keys(ctx, service)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			continue
		}
		if _, origin, err = m.open(service, rows[0].KID, rows[0].Sealed); err != nil {
			return err // a root under a wrong master key would be there for good
		}
		break
	}
	sealed, err := m.Seal(0, rootName, origin[:])
	if err != nil {
		return err
	}
	return st.Write(ctx, store.InsertSecret{Name: rootName, Sealed: sealed})
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
func (r *Root) Derive(service model.ID, purpose string) (d Derivation, err error) {
	info := string(binding(service, purpose))
	key, err := hkdf.Key(sha256.New, r[:], nil, info, len(d))
	copy(d[:], key)
	return d, err
}
