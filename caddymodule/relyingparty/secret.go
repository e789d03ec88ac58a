package relyingparty

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

// secretKey is where the generated secret is in Caddy's storage, for all
// relying parties and all nodes that share it.
const secretKey = "gatehouse/login/secret"

// seal returns what sessions are sealed with.
func (h *Handler) seal(ctx context.Context) (*sealer, error) {
	if h.sealer != nil {
		return h.sealer, nil
	}
	s, _, err := h.shared.generated.get(ctx, h.generated)
	return s, unavailable("cookie secret", err)
}

// generated reads the secret of the storage, which is made for a storage that
// has none. One that cannot be read is not replaced: the sessions of the other
// nodes would be lost, and nobody would know why.
func (h *Handler) generated(ctx context.Context) (*sealer, error) {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	text, err := h.storage.Load(ctx, secretKey)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = h.generate(ctx)
	}
	if err != nil {
		return nil, err
	}
	secret, err := parseSecret(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s in Caddy's storage: %w", secretKey, err)
	}
	return newSealer([][]byte{secret}, h.party())
}

func (h *Handler) generate(ctx context.Context) ([]byte, error) {
	unlock, err := h.lock(ctx, secretKey)
	if err != nil {
		return nil, err
	}
	defer unlock()
	text, err := h.storage.Load(ctx, secretKey)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err // another node was first
	}
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails
	text = []byte(hex.EncodeToString(secret))
	return text, h.storage.Store(ctx, secretKey, text)
}
