package relyingparty

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// retryAfter is when somebody may try again what could not be done. Seconds.
const retryAfter = 10

// secureHeaders are on every answer of ours.
func secureHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

func writeJSON(w http.ResponseWriter, status int, body map[string]string) {
	secureHeaders(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone; there is nobody to tell
}

func methodNotAllowed(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "method_not_allowed"})
}

// unavailable says that the provider or the storage cannot be asked, and tells
// the operator more.
func (h *Handler) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	h.outage(w, r, err, h.loginURL(h.returnTo(asked(r).RequestURI())))
}

// outage is unavailable with the address at which to try again.
func (h *Handler) outage(w http.ResponseWriter, r *http.Request, err error, again string) {
	if r.Context().Err() == nil { // else the client has given up
		h.logger.Error("no sign-in", zap.Error(err))
	}
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	if kindOf(r) == script {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "temporarily_unavailable"})
		return
	}
	h.show(w, r, http.StatusServiceUnavailable, messageUnavailable, again)
}

// refused says that an answer of the provider's is not believed.
func (h *Handler) refused(w http.ResponseWriter, r *http.Request, err error, again string) {
	h.logger.Warn("a sign-in is refused", zap.Error(err))
	h.show(w, r, http.StatusBadRequest, messageRefused, again)
}

// declined says that the provider has not signed the user in (RFC 6749
// §4.1.2.1). There is no other try until somebody asks for it.
func (h *Handler) declined(w http.ResponseWriter, r *http.Request, code, again string) {
	switch code {
	case "access_denied":
		h.show(w, r, http.StatusForbidden, messageDenied, again)
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		h.show(w, r, http.StatusForbidden, messageRequired, again)
	case "temporarily_unavailable", "server_error":
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		h.show(w, r, http.StatusServiceUnavailable, messageUnavailable, again)
	default:
		h.logger.Error("the provider does not accept the authorization request", zap.String("error", code))
		h.show(w, r, http.StatusBadRequest, messageRefused, again)
	}
}

// stripAuthorization takes a client's credentials away where the header is ours,
// and its name out of Connection, which would make a proxy drop it later.
func stripAuthorization(h http.Header) {
	h.Del("Authorization")
	for i, value := range h["Connection"] {
		var kept []string
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); !strings.EqualFold(name, "authorization") {
				kept = append(kept, name)
			}
		}
		h["Connection"][i] = strings.Join(kept, ", ")
	}
}

// uncached keeps an application's answer that sets a session's cookies out of
// caches, whatever the application says: they would give them to others.
type uncached struct {
	*caddyhttp.ResponseWriterWrapper
	wrote bool
}

func newUncached(w http.ResponseWriter) http.ResponseWriter {
	return &uncached{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
}

// WriteHeader is part of http.ResponseWriter.
func (w *uncached) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = status >= http.StatusOK || status == http.StatusSwitchingProtocols
		w.Header().Set("Cache-Control", "no-store")
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

// Write is part of http.ResponseWriter.
func (w *uncached) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom is part of io.ReaderFrom.
func (w *uncached) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

func (w *uncached) begin() {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
}

// Flush is part of http.Flusher, and sends the header as Write does.
func (w *uncached) Flush() {
	w.begin()
	_ = http.NewResponseController(w.ResponseWriter).Flush() // an application's stream is best effort
}
