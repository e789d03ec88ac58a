package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const (
	lifeUnsaid    = time.Minute // of a token without expires_in
	maxKept       = time.Hour   // however long it is said to live
	maxMargin     = 30 * time.Second
	maxErrorCode  = 40
	unusableToken = "the answer's %s is missing or of no use"
)

// ReasonDenied is that of a refusal by the server that exchanges tokens.
const ReasonDenied introspect.Reason = "exchange_denied"

// readAnswer reads an answer of a token endpoint (RFC 8693 §2.2): the token and
// for how long to keep it, a [*introspect.Refusal] if the exchange is denied, or
// what is wrong. No error quotes anything of the answer but its error code.
func readAnswer(status int, contentType string, body []byte, requested string) (string, time.Duration, error) {
	media, _, _ := mime.ParseMediaType(contentType)
	members := map[string]json.RawMessage{} // not a struct: encoding/json would take Access_Token for access_token
	isJSON := media == "application/json" && json.Unmarshal(body, &members) == nil
	switch {
	case status != http.StatusOK:
		return "", 0, failed(status, text(members["error"]))
	case !isJSON:
		return "", 0, errors.New("the answer is not a JSON object")
	}
	token := text(members["access_token"])
	if !isB64Token(token) || len(token) > introspect.DefaultMaxTokenLength {
		return "", 0, fmt.Errorf(unusableToken, "access_token")
	}
	switch issued := text(members["issued_token_type"]); {
	case requested != "" && issued == requested:
	case requested == "" && (issued == TypeAccessToken || issued == TypeJWT):
	default: // a refresh token, or an assertion: nothing that a request carries
		return "", 0, fmt.Errorf(unusableToken, "issued_token_type")
	}
	// The gateway has no key to prove possession of, so DPoP is no use (§2.2.1).
	if kind := text(members["token_type"]); !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "N_A") {
		return "", 0, fmt.Errorf(unusableToken, "token_type")
	}
	life, err := keepFor(members["expires_in"])
	return token, life, err
}

// keepFor is for how long a token is kept whose expires_in (RFC 6749 §5.1) this
// is: it should still be good when it arrives.
func keepFor(expiresIn json.RawMessage) (time.Duration, error) {
	if len(expiresIn) == 0 || string(expiresIn) == "null" {
		return lifeUnsaid, nil
	}
	seconds, err := strconv.ParseFloat(string(expiresIn), 64)
	if err != nil || seconds < 1 {
		return 0, fmt.Errorf(unusableToken, "expires_in")
	}
	life := time.Duration(min(seconds, maxKept.Seconds()) * float64(time.Second))
	return life - min(life/10, maxMargin), nil
}

// failed tells a denial, which concerns this token, from what concerns every
// request: a server that is down, or that does not know the gateway.
func failed(status int, code string) error {
	if status == http.StatusBadRequest || status == http.StatusForbidden {
		switch code {
		case "invalid_request", "invalid_target", // RFC 8693 §2.2.2
			"invalid_grant", "invalid_scope", // RFC 6749 §5.2: many say it of the subject token
			"access_denied":
			return &introspect.Refusal{
				Status: http.StatusForbidden, Code: introspect.CodeInsufficientScope, Reason: ReasonDenied,
				Description: "The access token does not reach as far as this resource.",
				Cause:       fmt.Errorf("token exchange: denied with %d %s", status, code),
			}
		}
	}
	if !isB64Token(code) || len(code) > maxErrorCode {
		return fmt.Errorf("the server answers %d", status)
	}
	return fmt.Errorf("the server answers %d %s", status, code)
}

// text reads a JSON string; anything else is "".
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// isB64Token reports whether a token can stand in Authorization (RFC 6750 §2.1).
func isB64Token(s string) bool {
	c, refusal := introspect.ReadCredentials(&http.Request{Header: http.Header{"Authorization": {"Bearer " + s}}}, len(s))
	return refusal == nil && c.Token == s && s != ""
}
