package introspect

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Error codes of RFC 6750 §3.1, and of RFC 6749 §4.1.2.1 for a 503.
const (
	CodeInvalidRequest         = "invalid_request"
	CodeInvalidToken           = "invalid_token"
	CodeInsufficientScope      = "insufficient_scope"
	CodeTemporarilyUnavailable = "temporarily_unavailable"
)

// DefaultRetryAfter is what a 503 asks clients to wait.
const DefaultRetryAfter = 5 * time.Second

// Refusal says why a request may not go on. The client is told Status, Code,
// Description and Scope; Cause is for the log.
type Refusal struct {
	Status      int           // 400, 401, 403 or 503
	Code        string        // OAuth error code; empty when no credentials were given (RFC 6750 §3.1)
	Description string        // one sentence for the client's developer
	Scope       string        // the scope that would suffice, space-separated
	RetryAfter  time.Duration // of a 503
	Cause       error
}

// Error describes the refusal for the log, cause included.
func (r *Refusal) Error() string {
	s := strconv.Itoa(r.Status)
	if r.Code != "" {
		s += " " + r.Code
	}
	if r.Description != "" {
		s += ": " + r.Description
	}
	if r.Cause != nil {
		s += " (" + r.Cause.Error() + ")"
	}
	return s
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

func invalidRequest(description string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: CodeInvalidRequest, Description: description}
}

func invalidToken(description string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: CodeInvalidToken, Description: description}
}

func insufficientScope(scope string) *Refusal {
	return &Refusal{
		Status: http.StatusForbidden, Code: CodeInsufficientScope, Scope: scope,
		Description: "The access token was not granted the scope that this request needs.",
	}
}

func noCredentials(scope string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Scope: scope}
}

func engineDown(cause error, retryAfter time.Duration) *Refusal {
	if retryAfter <= 0 {
		retryAfter = DefaultRetryAfter
	}
	return &Refusal{
		Status: http.StatusServiceUnavailable, Code: CodeTemporarilyUnavailable, RetryAfter: retryAfter, Cause: cause,
		Description: "Access tokens cannot be checked at the moment. Try again later.",
	}
}

// Refuse answers a request with a refusal: status, WWW-Authenticate (of a 503,
// Retry-After), Cache-Control: no-store and, when there is an error code, a
// small JSON object with error and error_description as in RFC 6749 §5.2.
func Refuse(w http.ResponseWriter, c Challenge, r *Refusal) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if r.Status == http.StatusServiceUnavailable {
		seconds := int64((r.RetryAfter + time.Second - 1) / time.Second)
		h.Set("Retry-After", strconv.FormatInt(max(seconds, 1), 10))
	} else {
		h.Set("WWW-Authenticate", c.Header(r))
	}
	if r.Code == "" {
		h.Set("Content-Length", "0")
		w.WriteHeader(r.Status)
		return
	}
	body, err := json.Marshal(struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{r.Code, r.Description})
	if err != nil { // two strings: cannot fail
		body = nil
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(r.Status)
	_, _ = w.Write(body) // the client may be gone
}
