package front

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// answer carries out the action of an endpoint that clients call directly.
func answer(w http.ResponseWriter, run *running, action model.Action, content string) {
	switch action {
	case model.ActionOK:
		if content == "" { // RFC 7009 §2.2
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusOK)
			return
		}
		writeJSON(w, http.StatusOK, content)
	case model.ActionInvalidClient:
		// RFC 6749 §5.2: always 401, with the scheme that clients may use.
		w.Header().Set("WWW-Authenticate", basicChallenge(run))
		writeJSON(w, http.StatusUnauthorized, content)
	default:
		writeJSON(w, http.StatusBadRequest, content)
	}
}

// basicChallenge asks for a name and a password (RFC 7617 §2).
func basicChallenge(run *running) string {
	return `Basic realm="` + run.service.Issuer + `", charset="UTF-8"`
}

// challenge answers with a WWW-Authenticate header (RFC 6750 §3).
func challenge(w http.ResponseWriter, action model.Action, content string) {
	status := http.StatusBadRequest
	switch action {
	case model.ActionUnauthorized:
		status = http.StatusUnauthorized
	case model.ActionForbidden:
		status = http.StatusForbidden
	}
	w.Header().Set("WWW-Authenticate", content)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}

// Header values that are set on every answer, shared so that none is allocated.
var (
	valueJSON    = []string{"application/json"}
	valueNoStore = []string{"no-store"}
	valueNoSniff = []string{"nosniff"}
)

func writeJSON(w http.ResponseWriter, status int, content string) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = valueJSON, valueNoStore, valueNoSniff
	w.WriteHeader(status)
	_, _ = io.WriteString(w, content)
}

// write answers with what is for one client alone.
func write(w http.ResponseWriter, status int, contentType, content string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h["Cache-Control"], h["X-Content-Type-Options"] = valueNoStore, valueNoSniff
	w.WriteHeader(status)
	_, _ = io.WriteString(w, content)
}

// writePublic answers with a document that anyone may keep for a quarter of an
// hour, which is less than a new key is announced before it signs.
func writePublic(w http.ResponseWriter, contentType string, document []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "public, max-age=900")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(document)
}

// allowOrigin lets scripts of any origin call an endpoint that looks at no
// cookie, and answers their preflight requests. It reports whether it did.
func allowOrigin(e endpoint, w http.ResponseWriter, r *http.Request) (answered bool) {
	if r.Header.Get("Origin") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, DPoP-Nonce")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(e.methods, ", "))
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// finish answers for an endpoint that could not: the client's fault, as the
// specification's error, or ours, as 503 or 500.
func (h *Handler) finish(run *running, e endpoint, w http.ResponseWriter, r *http.Request, err error) error {
	if err == nil {
		return nil
	}
	var bad *httpError
	switch {
	case errors.As(err, &bad):
		if bad.status == http.StatusUnauthorized {
			answer(w, run, model.ActionInvalidClient, errorJSON(bad.code, bad.description))
			return nil
		}
		return h.refuse(run, e, w, r, bad.status, bad.description)
	case errors.Is(err, context.Canceled):
		return caddyhttp.Error(499, err) // the client has gone
	case errors.Is(err, engine.ErrTooManyFollowers):
		return h.later(run, e, w, r, "a follower was turned away", err)
	case errors.Is(err, login.ErrBusy):
		return h.later(run, e, w, r, "a sign-in was turned away", err)
	case errors.Is(err, login.ErrUnavailable):
		return h.later(run, e, w, r, "nobody can be authenticated", err)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return h.later(run, e, w, r, "the store is unavailable", err)
	default:
		h.logger.Error("request failed", zap.String("endpoint", e.name), zap.Error(err))
		return h.fail(run, e, w, r, http.StatusInternalServerError, "server_error", "The server failed to answer this request.")
	}
}

// later answers for what the server cannot do now.
func (h *Handler) later(run *running, e endpoint, w http.ResponseWriter, r *http.Request, what string, err error) error {
	h.logger.Error(what, zap.String("endpoint", e.name), zap.Error(err))
	return h.busy(run, e, w, r)
}

// busy asks to come again (RFC 9110 §10.2.3).
func (h *Handler) busy(run *running, e endpoint, w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Retry-After", "2") // seconds
	return h.fail(run, e, w, r, http.StatusServiceUnavailable, "temporarily_unavailable", "The server is busy. Please try again in a moment.")
}

func (h *Handler) refuse(run *running, e endpoint, w http.ResponseWriter, r *http.Request, status int, description string) error {
	return h.fail(run, e, w, r, status, "invalid_request", description)
}

// fail answers with an error, as a page to people and as JSON to clients.
func (h *Handler) fail(run *running, e endpoint, w http.ResponseWriter, r *http.Request, status int, code, description string) error {
	if e.browser {
		run.login.ErrorPage(w, r, status, http.StatusText(status), description)
		return nil
	}
	writeJSON(w, status, errorJSON(code, description))
	return nil
}

func errorJSON(code, description string) string {
	body, _ := json.Marshal(map[string]string{"error": code, "error_description": description})
	return string(body)
}
