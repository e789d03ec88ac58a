package mint

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Pair is an access token and perhaps the refresh token issued with it. Both
// have the same id, each in its own table, so that one number names the pair.
type Pair struct {
	Access  Access
	Refresh *model.RefreshToken
	// RefreshText is what the client gets of the refresh token.
	RefreshText string
	Of          Of
}

// Secrets are those of a pair.
type Secrets struct{ Access, Refresh handle.Secret }

// NewSecrets draws the secrets of a pair.
func NewSecrets(r *realm.Realm) (s Secrets, err error) {
	if s.Access, err = handle.NewSecret(r.Random); err != nil {
		return s, err
	}
	s.Refresh, err = handle.NewSecret(r.Random)
	return s, err
}

// NewPair makes a pair. refreshUntil is when the refresh token ends, in Unix
// seconds; 0: there is none.
func NewPair(ctx context.Context, r *realm.Realm, id model.ID, of Of, refreshUntil int64, s *Secrets) (*Pair, error) {
	a, err := NewAccess(ctx, r, id, of, &s.Access)
	if err != nil {
		return nil, err
	}
	t := &Pair{Access: a, Of: of}
	if refreshUntil != 0 {
		t.Refresh = &model.RefreshToken{
			Service: r.Service.ID, ID: id, Grant: of.Grant.ID, Hash: s.Refresh.Hash(), Access: id, ExpiresAt: refreshUntil,
		}
		if of.Client.Public() { // others' are bound to their credentials (RFC 9449 §5, RFC 8705 §7.1)
			t.Refresh.Confirmation = of.Confirmation
		}
		t.RefreshText = handle.Format(handle.RefreshToken, id, &s.Refresh)
	}
	return t, nil
}

// ExpiresAt is when the last of the pair ends.
func (t *Pair) ExpiresAt() int64 {
	if t.Refresh == nil {
		return t.Access.Row.ExpiresAt
	}
	return max(t.Access.Row.ExpiresAt, t.Refresh.ExpiresAt)
}

// Inserts are the steps that store the pair.
func (t *Pair) Inserts() []store.Step {
	steps := []store.Step{store.InsertAccessToken{Token: t.Access.Row}}
	if t.Refresh != nil {
		steps = append(steps, store.InsertRefreshToken{Token: *t.Refresh})
	}
	return steps
}
