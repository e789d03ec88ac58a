package relyingparty

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// revokeTimeout bounds what somebody who signs out waits for.
	revokeTimeout = 3 * time.Second
	// maxHint bounds the ID token that the address of a sign-out has in it.
	maxHint = 4096 // bytes
)

// logout signs out: here, and then at the provider (OpenID Connect RP-Initiated
// Logout §2). Other sites cannot make a browser do it: they get a page that asks.
func (h *Handler) logout(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		methodNotAllowed(w, "GET, HEAD, POST")
		return
	}
	if !h.meant(r) {
		// No form-action: Chromium holds it against the redirect that follows, and
		// nobody here knows where the provider's end.
		h.render(w, r, http.StatusOK, view{message: messageSignOut, To: h.LogoutPath, Post: true}, h.pages.policy)
		return
	}
	ctx := r.Context()
	s, err := h.keeper.read(ctx, r)
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	if s == nil {
		h.cookies.clearSession(w, r)
		h.redirect(w, h.local(h.AfterLogout))
		return
	}
	if err := h.keeper.end(ctx, w, r, s); err != nil {
		h.unavailable(w, r, err)
		return
	}
	h.leave(w, r, s)
}

// meant reports whether a sign-out comes from a page of this site, or from
// somebody who has typed the address, and not from a browser that loads pages
// before they are wanted.
func (h *Handler) meant(r *http.Request) bool {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	switch {
	case r.Method == http.MethodHead, r.Header.Get("Sec-Purpose") != "":
		return false
	case site != "":
		return site == "same-origin" || site == "none"
	}
	return origin == h.origin.String()
}

// leave revokes the tokens of a session and sends the browser to the provider's
// sign-out.
func (h *Handler) leave(w http.ResponseWriter, r *http.Request, s *session) {
	ctx, cancel := context.WithTimeout(r.Context(), revokeTimeout)
	defer cancel()
	m, err := h.shared.provider.about(ctx)
	if err != nil {
		h.logger.Warn("a session has ended here and not at the provider", zap.Error(err))
		h.show(w, r, http.StatusOK, messageSignedOut, h.AfterLogout)
		return
	}
	h.revoke(ctx, m, s)
	if m.EndSession == "" {
		h.show(w, r, http.StatusOK, messageSignedOut, h.AfterLogout)
		return
	}
	query := url.Values{"client_id": {h.clientID}, "post_logout_redirect_uri": {h.local(h.AfterLogout)}}
	if len(s.IDToken) <= maxHint {
		query.Set("id_token_hint", s.IDToken)
	}
	separator := "?"
	if strings.Contains(m.EndSession, "?") {
		separator = "&"
	}
	h.redirect(w, m.EndSession+separator+query.Encode())
}

func (h *Handler) revoke(ctx context.Context, m *metadata, s *session) {
	for _, token := range []struct{ token, hint string }{{s.RefreshToken, "refresh_token"}, {s.AccessToken, "access_token"}} {
		if err := h.shared.provider.revoke(ctx, m, token.token, token.hint); err != nil {
			h.logger.Warn("a token is not revoked", zap.String("hint", token.hint), zap.Error(err))
		}
	}
}
