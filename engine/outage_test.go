package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// failing is a store to which another request redeemed a code first, and which
// then cannot be read.
type failing struct {
	store.Store
	spent bool
}

// Write is part of store.Store.
func (f *failing) Write(ctx context.Context, steps ...store.Step) error {
	if s, redeems := steps[0].(store.RedeemHandle); redeems && s.Kind == model.HandleCode {
		f.spent = true
		if err := f.Store.Write(ctx, steps[0]); err != nil {
			return err
		}
		return store.ErrSpent
	}
	return f.Store.Write(ctx, steps...)
}

// Handle is part of store.Store.
func (f *failing) Handle(ctx context.Context, service model.ID, kind model.HandleKind, id model.ID) (model.Handle, error) {
	if f.spent && kind == model.HandleCode {
		return model.Handle{}, store.ErrUnavailable
	}
	return f.Store.Handle(ctx, service, kind, id)
}

// RFC 6749 §4.1.2: a code that was used before ends what its first use gave. When
// the store cannot say whether it was, that is no refusal, which the client would
// take for the end of the matter: it is to try again.
func TestThreat06StoreFailsAfterSecondUse(t *testing.T) {
	t.Parallel()
	st := &failing{Store: newStore(t)}
	h := openOn(t, st, declareWith(t, issuer, nil, nil))
	code := h.code("spa")
	form, credentials := h.as("spa", "grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", verifier)
	resp, err := h.engine.Token(t.Context(), h.service.ID, engine.TokenRequest{Parameters: form, Basic: credentials})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %+v, %v", resp, err)
	}
}
