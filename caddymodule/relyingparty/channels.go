package relyingparty

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"

	"go.uber.org/zap"
)

const (
	maxLogoutToken = 64 << 10 // bytes of a request
	maxSID         = 1 << 10  // bytes
)

// backchannel takes a logout token from the provider (OpenID Connect
// Back-Channel Logout §2.5 to §2.8). What it ends is noted in the storage before
// the answer.
func (h *Handler) backchannel(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		methodNotAllowed(w, "POST")
		return
	}
	raw, err := readLogoutToken(w, r)
	if err != nil {
		h.refuseLogout(w, err)
		return
	}
	m, err := h.shared.provider.about(r.Context())
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	token, err := h.shared.provider.verifyLogoutToken(r.Context(), m, raw)
	if errors.Is(err, errRefused) {
		h.refuseLogout(w, err)
		return
	}
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	for _, key := range loggedOutKeys(token.SessionID, token.Subject) {
		if err := h.shared.ended.add(r.Context(), h.storage, key, token.IssuedAt.Unix(), h.lasts); err != nil {
			h.unavailable(w, r, err)
			return
		}
	}
	secureHeaders(w.Header())
	w.WriteHeader(http.StatusOK)
}

func readLogoutToken(w http.ResponseWriter, r *http.Request) (string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return "", errors.New("the body is no form")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLogoutToken))
	if err != nil {
		return "", err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["logout_token"]) != 1 {
		return "", errors.New("there is not one logout_token")
	}
	return form.Get("logout_token"), nil
}

func (h *Handler) refuseLogout(w http.ResponseWriter, err error) {
	h.logger.Warn("a logout token is refused", zap.Error(err))
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request"})
}

const frontchannelPage = `<!DOCTYPE html><html lang="en"><title>Signed out</title>`

// frontchannel is loaded in an iframe of the provider's when the user signs out
// there (OpenID Connect Front-Channel Logout §2). It ends the session of the
// browser if it is the one that is named: who can name none can end none. A
// browser sends no cookie of ours into a frame of another site; a provider of
// another site needs the back channel.
func (h *Handler) frontchannel(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		methodNotAllowed(w, "GET")
		return
	}
	query := asked(r).Query()
	iss, sid := query.Get("iss"), query.Get("sid")
	if iss != h.issuer || sid == "" || len(sid) > maxSID {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request"})
		return
	}
	s, err := h.keeper.read(r.Context(), r)
	if err == nil && s != nil && s.SID == sid {
		err = h.keeper.end(r.Context(), w, r, s)
	}
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	secureHeaders(w.Header())
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, frontchannelPage) // the browser has gone; there is nobody to tell
}
