package introspect

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Error codes of RFC 6750 §3.1, RFC 9470 §3, RFC 9449 §7.1 and §9, and of RFC
// 6749 §4.1.2.1 for a 503.
const (
	CodeInvalidRequest         = "invalid_request"
	CodeInvalidToken           = "invalid_token"
	CodeInsufficientScope      = "insufficient_scope"
	CodeInsufficientUserAuth   = "insufficient_user_authentication"
	CodeInvalidDPoPProof       = "invalid_dpop_proof"
	CodeUseDPoPNonce           = "use_dpop_nonce"
	CodeTemporarilyUnavailable = "temporarily_unavailable"
)

// Reason says in a word why a request was refused. There are a few, so that
// they can be a metric's label.
type Reason string

// The reasons of this package.
const (
	ReasonNoToken        Reason = "no_token"
	ReasonMalformed      Reason = "malformed"      // the request, or its credentials
	ReasonNotActive      Reason = "not_active"     // unknown, expired or revoked
	ReasonProof          Reason = "proof"          // the sender does not prove that the token is its own
	ReasonIssuer         Reason = "issuer"         // of another issuer
	ReasonAudience       Reason = "audience"       // for another resource
	ReasonAuthentication Reason = "authentication" // RFC 9470
	ReasonScope          Reason = "scope"
	ReasonClient         Reason = "client"
	ReasonClaim          Reason = "claim"
	ReasonUnavailable    Reason = "unavailable" // nobody could be asked
)

// DefaultRetryAfter is what a 503 asks clients to wait.
const DefaultRetryAfter = 5 * time.Second

// Refusal says why a request may not go on. The client is told everything but
// Cause, which is for the log.
type Refusal struct {
	Status      int           // 400, 401, 403 or 503
	Code        string        // OAuth error code; empty when no credentials were given (RFC 6750 §3.1)
	Description string        // one sentence for the client's developer
	Scope       string        // the scope that would suffice, space-separated
	ACR         []string      // authentication contexts of which one would (RFC 9470 §3)
	MaxAge      time.Duration // how old the user's authentication may be at most (RFC 9470 §3); 0 says nothing
	RetryAfter  time.Duration // of a 503
	Reason      Reason        // for counting
	Scheme      string        // whose challenge carries the error; empty means Bearer
	Nonce       string        // for the next DPoP proof (RFC 9449 §9)
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
	return &Refusal{Status: http.StatusBadRequest, Code: CodeInvalidRequest, Reason: ReasonMalformed, Description: description}
}

func invalidToken(reason Reason, description string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: CodeInvalidToken, Reason: reason, Description: description}
}

func insufficientScope(scope string) *Refusal {
	return &Refusal{
		Status: http.StatusForbidden, Code: CodeInsufficientScope, Reason: ReasonScope, Scope: scope,
		Description: "The access token was not granted the scope that this request needs.",
	}
}

// moreAuthentication asks for a sign-in that is stronger or more recent.
func moreAuthentication(acr []string, maxAge time.Duration) *Refusal {
	return &Refusal{
		Status: http.StatusUnauthorized, Code: CodeInsufficientUserAuth, Reason: ReasonAuthentication, ACR: acr, MaxAge: maxAge,
		Description: "This request needs another authentication of the user.",
	}
}

// forbidden refuses what no scope would mend.
func forbidden(reason Reason, description string) *Refusal {
	return &Refusal{Status: http.StatusForbidden, Code: CodeInsufficientScope, Reason: reason, Description: description}
}

func noCredentials(scope string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Reason: ReasonNoToken, Scope: scope}
}

func engineDown(cause error, retryAfter time.Duration) *Refusal {
	if retryAfter <= 0 {
		retryAfter = DefaultRetryAfter
	}
	return &Refusal{
		Status: http.StatusServiceUnavailable, Code: CodeTemporarilyUnavailable, Reason: ReasonUnavailable, RetryAfter: retryAfter, Cause: cause,
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
		h["Www-Authenticate"] = c.Headers(r)
	}
	if r.Nonce != "" {
		h.Set("DPoP-Nonce", r.Nonce)
		h.Add("Access-Control-Expose-Headers", "DPoP-Nonce, WWW-Authenticate") // RFC 9449 §8.2: scripts must see it
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
