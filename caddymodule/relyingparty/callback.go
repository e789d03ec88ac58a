package relyingparty

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// maxAnswerQuery bounds what the provider sends by way of the browser.
const maxAnswerQuery = 8 << 10 // bytes

// callback takes the provider's answer (OpenID Connect Core §3.1.2.5).
func (h *Handler) callback(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		methodNotAllowed(w, "GET")
		return
	}
	answer, err := readAnswer(asked(r).RawQuery)
	if err != nil {
		h.show(w, r, http.StatusBadRequest, messageMalformed, h.loginURL("/"))
		return
	}
	pending, err := h.takePending(w, r, answer.Get("state"))
	switch {
	case err != nil:
		h.unavailable(w, r, err)
	case pending == nil:
		h.late(w, r)
	default:
		h.finish(w, r, answer, pending)
	}
}

// readAnswer refuses a parameter that is there twice (RFC 6749 §3.1).
func readAnswer(query string) (url.Values, error) {
	if len(query) > maxAnswerQuery {
		return nil, errors.New("the answer is too long")
	}
	answer, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	for name, values := range answer {
		if len(values) > 1 {
			return nil, fmt.Errorf("%q is there twice", name)
		}
	}
	return answer, nil
}

// late is for an answer to a sign-in that this browser has not under way: it
// comes a second time, as when going back in the history, or too late, or is
// somebody else's.
func (h *Handler) late(w http.ResponseWriter, r *http.Request) {
	switch s, err := h.session(w, r); {
	case err != nil:
		h.unavailable(w, r, err)
	case s != nil:
		h.redirect(w, h.local("/"))
	default:
		h.show(w, r, http.StatusBadRequest, messageLate, h.loginURL("/"))
	}
}

// finish ends a sign-in with a session, or with a page that says why not.
func (h *Handler) finish(w http.ResponseWriter, r *http.Request, answer url.Values, p *pending) {
	again := h.loginURL(p.Return)
	m, err := h.shared.provider.about(r.Context())
	if err != nil {
		h.outage(w, r, err, again)
		return
	}
	if err := h.checkIssuer(m, answer); err != nil {
		h.refused(w, r, err, again)
		return
	}
	if code := answer.Get("error"); code != "" {
		h.declined(w, r, errorCode(code), again)
		return
	}
	s, err := h.newSession(r.Context(), m, answer.Get("code"), p)
	switch {
	case errors.Is(err, errRefused):
		h.refused(w, r, err, again)
		return
	case err != nil:
		h.outage(w, r, err, again)
		return
	}
	if err := h.replace(w, r, s); err != nil {
		h.outage(w, r, err, again)
		return
	}
	h.redirect(w, h.local(h.returnTo(p.Return)))
}

// checkIssuer finds answers of other providers (RFC 9207 §2.4).
func (h *Handler) checkIssuer(m *metadata, answer url.Values) error {
	if iss := answer.Get("iss"); iss != h.issuer && (iss != "" || m.SaysIssuer) {
		return fmt.Errorf("%w: the answer does not name the issuer", errRefused)
	}
	return nil
}

// newSession redeems a code. The error is errRefused or errUnavailable.
func (h *Handler) newSession(ctx context.Context, m *metadata, code string, p *pending) (*session, error) {
	provider := h.shared.provider
	if code == "" {
		return nil, fmt.Errorf("%w: the answer has no code", errRefused)
	}
	t, err := provider.exchange(ctx, m, h.redirectURI(), code, p.Verifier)
	if err != nil {
		return nil, err
	}
	id, err := provider.verifyIDToken(ctx, m, t.idToken, p.Nonce, t.access)
	if err == nil && !h.suffices(id.acr, id.authTime) {
		err = fmt.Errorf("%w: acr is none of acr_values, or auth_time longer ago than max_age", errRefused)
	}
	if err == nil && h.PassToken && t.kind != "Bearer" {
		err = fmt.Errorf("%w: the access token is no bearer token", errRefused)
	}
	if err != nil {
		return nil, err
	}
	now := h.now().Unix()
	s := session{
		ID: rand.Text(), Subject: id.subject, SID: id.session, ACR: id.acr, AuthTime: id.authTime, SignedIn: id.issuedAt,
		Begun: now, Ends: now + seconds(h.lasts), Seen: now, Scope: strings.Join(h.Scopes, " "),
	}
	if h.UserInfo {
		if s.UserInfo, err = provider.userInfo(ctx, m, t.access, id.subject); err != nil {
			return nil, err
		}
	}
	begun := s.withTokens(t, now)
	return begun, begun.derive(h.clientID)
}

// suffices judges how and when the user authenticated (OpenID Connect Core
// §3.1.3.7, steps 12 and 13).
func (h *Handler) suffices(acr string, authTime int64) bool {
	if len(h.ACRValues) > 0 && !slices.Contains(h.ACRValues, acr) {
		return false
	}
	return h.MaxAge == 0 || h.now().Unix()-authTime <= seconds(time.Duration(h.MaxAge)+clockSkew)
}

// replace begins a session, whose id is new (CVE-2024-28197), and ends the one
// from before, if there is one.
func (h *Handler) replace(w http.ResponseWriter, r *http.Request, s *session) error {
	ctx := r.Context()
	if before, err := h.keeper.read(ctx, r); err == nil && before != nil {
		if err := h.keeper.end(ctx, w, r, before); err != nil {
			h.logger.Warn("the end of a session is not noted", zap.Error(err))
		}
	}
	h.sweep()
	return h.keeper.begin(ctx, w, r, s)
}
