package relyingparty

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// refreshedLasts is how long requests that come with the session from before
	// a refresh get the one from after it: those that were under way, and those of
	// a browser that has not stored the new cookies yet.
	refreshedLasts = 2 * time.Minute
	// refreshPause is between a refresh that could not be done and the next try.
	refreshPause = 5 * time.Second
)

// refreshes lets one refresh token be redeemed once, however many requests need
// it. Across nodes, sessions in the storage are locked meanwhile; that of a
// cookie may be refreshed by two nodes at once, and it is the provider that must
// take the second for what it is (a Gatehouse gives both the same tokens). It is
// safe for concurrent use.
type refreshes struct {
	in  *background
	now func() time.Time

	mu       sync.Mutex
	underway map[string]chan struct{}
	outcomes *shelf[outcome]
}

type outcome struct {
	session *session
	err     error
}

func newRefreshes(in *background, now func() time.Time) *refreshes {
	return &refreshes{in: in, now: now, underway: map[string]chan struct{}{}, outcomes: newShelf[outcome](maxRefreshes)}
}

// do returns the outcome of f for a key: of the one that is under way, or has
// been, or begins now. It goes on when who waits for it gives up.
func (f *refreshes) do(ctx context.Context, key string, refresh func(context.Context) (*session, error)) (*session, error) {
	for {
		f.mu.Lock()
		if o, ok := f.outcomes.get(key, f.now()); ok {
			f.mu.Unlock()
			return o.session, o.err
		}
		done, err := f.start(key, refresh)
		f.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-done:
		}
	}
}

// start begins a refresh, unless it is under way. The lock is held.
func (f *refreshes) start(key string, refresh func(context.Context) (*session, error)) (<-chan struct{}, error) {
	if done, ok := f.underway[key]; ok {
		return done, nil
	}
	done := make(chan struct{})
	err := f.in.run(func(ctx context.Context) {
		s, err := refresh(ctx)
		lasts := refreshedLasts
		if err != nil && !errors.Is(err, errOver) {
			lasts = refreshPause
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.outcomes.put(key, outcome{s, err}, f.now(), lasts)
		delete(f.underway, key)
		close(done)
	})
	if err == nil {
		f.underway[key] = done
	}
	return done, err
}

// fresh returns a session whose access token is good for a while, if there is a
// way to have it. While the provider cannot be asked, the token is used to its
// end; after that the session goes on where who the user is suffices, and is
// errUnavailable where the token is sent on. errOver: the provider has ended it.
func (h *Handler) fresh(ctx context.Context, s *session) (*session, error) {
	now := h.now().Unix()
	if s.RefreshAt == 0 || now < s.RefreshAt {
		return s, nil
	}
	expired := now >= s.ExpiresAt
	if s.RefreshToken == "" {
		if expired && h.PassToken {
			return nil, errOver
		}
		return s, nil
	}
	digest := sha256.Sum256([]byte(s.RefreshToken))
	next, err := h.shared.refreshes.do(ctx, string(digest[:]), func(ctx context.Context) (*session, error) {
		return h.keeper.change(ctx, s, h.refresh)
	})
	if err == nil || errors.Is(err, errOver) || expired && h.PassToken {
		return next, err
	}
	return s, nil
}

// refresh redeems the refresh token of a session, unless another node has.
func (h *Handler) refresh(ctx context.Context, s *session) (*session, error) {
	if h.now().Unix() < s.RefreshAt {
		return s, nil
	}
	m, err := h.shared.provider.about(ctx)
	if err != nil {
		return nil, err
	}
	t, err := h.shared.provider.refresh(ctx, m, s.RefreshToken)
	if err == nil && t.idToken != "" {
		if err = h.sameUser(ctx, m, s, t); errors.Is(err, errUnavailable) {
			t.idToken, err = "", nil // the one from before says who it is; the refresh token is used up
		}
	}
	switch {
	case errors.Is(err, errRefused):
		h.logger.Info("a session ends, since it cannot be refreshed", zap.Error(err))
		return nil, fmt.Errorf("%w: %w", errOver, err)
	case err != nil:
		h.logger.Error("a session cannot be refreshed", zap.Error(err))
		return nil, err
	}
	return s.withTokens(t, h.now().Unix()), nil
}

// sameUser checks the ID token of a refresh (OpenID Connect Core §12.2).
func (h *Handler) sameUser(ctx context.Context, m *metadata, s *session, t *tokens) error {
	id, err := h.shared.provider.verifyIDToken(ctx, m, t.idToken, "", t.access)
	if err == nil && id.subject != s.Subject {
		return fmt.Errorf("%w: the ID token is about somebody else", errRefused)
	}
	return err
}
