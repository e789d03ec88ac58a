package relyingparty

import (
	"context"
	"net/http"
)

// inCookies keeps sessions in the browsers. What ends one before its time is
// the list of ended sessions.
type inCookies struct{ h *Handler }

const sessionPurpose = "session"

func (c inCookies) read(ctx context.Context, r *http.Request) (*session, error) {
	text := c.h.cookies.readSession(r)
	if text == "" {
		return nil, nil
	}
	seal, err := c.h.seal(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := seal.openText(text, sessionPurpose)
	if err != nil {
		return nil, nil // of another secret, or not ours
	}
	s, err := unmarshalSession(plain, c.h.clientID)
	if err != nil {
		return nil, nil // of another version
	}
	return s, nil
}

func (c inCookies) begin(ctx context.Context, w http.ResponseWriter, r *http.Request, s *session) error {
	return c.give(ctx, w, r, s)
}

func (c inCookies) change(ctx context.Context, s *session, f func(context.Context, *session) (*session, error)) (*session, error) {
	changed, err := f(ctx, s)
	if err != nil {
		return nil, err
	}
	return changed, changed.derive(c.h.clientID)
}

func (c inCookies) give(ctx context.Context, w http.ResponseWriter, r *http.Request, s *session) error {
	seal, err := c.h.seal(ctx)
	if err != nil {
		return err
	}
	plain, err := s.marshal()
	if err != nil {
		return err
	}
	return c.h.cookies.setSession(w, r, seal.sealText(plain, sessionPurpose))
}

// end notes the end, so that a copy of the cookie is worth nothing.
func (c inCookies) end(ctx context.Context, w http.ResponseWriter, r *http.Request, s *session) error {
	c.h.cookies.clearSession(w, r)
	return c.h.shared.ended.add(ctx, c.h.storage, s.endKey(), s.SignedIn, c.h.lasts)
}
