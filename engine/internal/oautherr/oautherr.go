// Package oautherr is the one error type of the protocol: the OAuth error
// code and description that the client sees, and the cause that it does not.
package oautherr

import (
	"encoding/json"
	"fmt"
)

// Error is a refusal. Code and Description go to the client; Cause to the log.
type Error struct {
	Code        string
	Description string
	Cause       error
}

// New returns a refusal with a description for people (RFC 6749 §5.2).
func New(code, description string) *Error {
	return &Error{Code: code, Description: description}
}

// Newf is New with a format.
func Newf(code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...)}
}

// Because returns the refusal with a cause for the log.
func (e *Error) Because(cause error) *Error {
	return &Error{Code: e.Code, Description: e.Description, Cause: cause}
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Code + ": " + e.Description + ": " + e.Cause.Error()
	}
	return e.Code + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.Cause }

// JSON is the body of an error answer (RFC 6749 §5.2). Characters that the
// grammar of error_description does not allow are replaced.
func (e *Error) JSON() string {
	body, _ := json.Marshal(struct {
		Code        string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, Text(e.Description)})
	return string(body)
}

// Text keeps what RFC 6749 §5.2 allows in error_description
// (%x20-21 / %x23-5B / %x5D-7E) and turns the rest into question marks,
// but for the double quotation mark, which becomes a single one.
func Text(s string) string {
	clean := []byte(nil)
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c <= 0x7e && c != '"' && c != '\\' {
			if clean != nil {
				clean = append(clean, c)
			}
			continue
		}
		if clean == nil {
			clean = append(make([]byte, 0, len(s)), s[:i]...)
		}
		if c == '"' {
			clean = append(clean, '\'')
		} else {
			clean = append(clean, '?')
		}
	}
	if clean == nil {
		return s
	}
	return string(clean)
}

// Error codes, by the specification that defines them.
const (
	InvalidRequest          = "invalid_request"           // RFC 6749 §5.2, RFC 6750 §3.1
	InvalidClient           = "invalid_client"            // RFC 6749 §5.2
	InvalidGrant            = "invalid_grant"             // RFC 6749 §5.2
	UnauthorizedClient      = "unauthorized_client"       // RFC 6749 §5.2
	UnsupportedGrantType    = "unsupported_grant_type"    // RFC 6749 §5.2
	InvalidScope            = "invalid_scope"             // RFC 6749 §5.2
	AccessDenied            = "access_denied"             // RFC 6749 §4.1.2.1
	UnsupportedResponseType = "unsupported_response_type" // RFC 6749 §4.1.2.1
	ServerError             = "server_error"              // RFC 6749 §4.1.2.1
	TemporarilyUnavailable  = "temporarily_unavailable"   // RFC 6749 §4.1.2.1
	UnsupportedTokenType    = "unsupported_token_type"    // RFC 7009 §2.2.1
	InvalidToken            = "invalid_token"             // RFC 6750 §3.1
	InsufficientScope       = "insufficient_scope"        // RFC 6750 §3.1
	LoginRequired           = "login_required"            // OpenID Connect Core §3.1.2.6
	ConsentRequired         = "consent_required"          // OpenID Connect Core §3.1.2.6
	InteractionRequired     = "interaction_required"      // OpenID Connect Core §3.1.2.6
	AccountSelectionReq     = "account_selection_required"
	InvalidTarget           = "invalid_target"     // RFC 8707 §2
	InvalidDPoPProof        = "invalid_dpop_proof" // RFC 9449 §5
	UseDPoPNonce            = "use_dpop_nonce"     // RFC 9449 §8
	UnmetAuthentication     = "unmet_authentication_requirements"
	InvalidRequestObject    = "invalid_request_object"  // OpenID Connect Core §3.1.2.6
	InvalidRequestURI       = "invalid_request_uri"     // OpenID Connect Core §3.1.2.6
	InvalidRedirectURI      = "invalid_redirect_uri"    // RFC 7591 §3.2.2
	InvalidClientMetadata   = "invalid_client_metadata" // RFC 7591 §3.2.2
	InvalidSoftwareStmt     = "invalid_software_statement"
	UnapprovedSoftwareStmt  = "unapproved_software_statement"
	RequestNotSupported     = "request_not_supported"     // OpenID Connect Core §3.1.2.6
	RequestURINotSupported  = "request_uri_not_supported" // OpenID Connect Core §3.1.2.6
	RegistrationNotSupp     = "registration_not_supported"
)
