package remote

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// maxErrorBytes bounds what is read of an answer that is no answer.
const maxErrorBytes = 4 << 10

// read makes facts of a response, or says why they cannot be had. ctx is that
// of the call.
func (i *Introspector) read(ctx context.Context, response *http.Response) (*introspect.Facts, *failure) {
	if response.StatusCode != http.StatusOK {
		return nil, i.refused(response)
	}
	for _, coding := range response.Header["Content-Encoding"] {
		if !strings.EqualFold(coding, "identity") { // none was asked for
			return nil, useless("the answer is compressed")
		}
	}
	if want := i.mediaType(); mediaType(response.Header) != want {
		return nil, useless("the answer is not %s", want)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, introspect.MaxFactsBytes+1))
	switch {
	case len(body) > introspect.MaxFactsBytes:
		return nil, useless("the answer has more than %d bytes", introspect.MaxFactsBytes)
	case err != nil:
		return nil, broken(ctx, err, i.options.Timeout)
	}
	if i.options.Signed.Verifier != nil {
		var f *failure
		if body, f = i.open(response.Request.Context(), body); f != nil {
			return nil, f
		}
	}
	return i.facts(body)
}

// facts reads the members of RFC 7662 §2.2.
func (i *Introspector) facts(body []byte) (*introspect.Facts, *failure) {
	facts, err := introspect.ParseFacts(body)
	if err != nil {
		return nil, useless("the answer is not that of RFC 7662: %s", err)
	}
	if !facts.Active {
		if !saysInactive(body) {
			return nil, useless("the answer does not say whether the token is active")
		}
		return &introspect.Facts{}, nil
	}
	if issuer := i.options.Issuer; issuer != "" && facts.Issuer != "" && facts.Issuer != issuer {
		return nil, useless("the answer is about a token of another issuer")
	}
	if !isAccessToken(facts) || i.isEarly(facts) {
		return &introspect.Facts{}, nil
	}
	return facts, nil
}

// saysInactive tells false from a member that is not there, or null.
func saysInactive(body []byte) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal(body, &members) == nil && string(members["active"]) == "false"
}

// isAccessToken judges the words that servers have for kinds of tokens.
func isAccessToken(f *introspect.Facts) bool {
	if strings.HasPrefix(strings.ToLower(f.TokenType), "refresh") {
		return false
	}
	for _, name := range [...]string{"token_use", "typ"} {
		kind, there := f.Claims[name]
		if !there {
			continue
		}
		text, _ := kind.(string)
		switch strings.ToLower(text) {
		case "access", "access_token", "bearer", "dpop", "jwt", "at+jwt", "application/at+jwt":
		default:
			return false
		}
	}
	return true
}

// isEarly is nbf, which is a time: ParseFacts has seen to that.
func (i *Introspector) isEarly(f *introspect.Facts) bool {
	notBefore, _ := f.Claims["nbf"].(json.Number)
	seconds, err := notBefore.Int64()
	return err == nil && seconds > i.options.Now().Add(i.options.Skew).Unix()
}

// refused tells what the status means. 401 and the like are about us and never
// about the token (RFC 7662 §2.3), so that they say what to do about it.
func (i *Introspector) refused(response *http.Response) *failure {
	status := response.StatusCode
	code := errorCode(response)
	switch {
	case status == http.StatusTooManyRequests, status >= http.StatusBadGateway && status <= http.StatusGatewayTimeout:
		f := useless("the endpoint cannot serve: %d%s", status, code)
		f.outcome, f.after = failed, retryAfter(response.Header, i.options.Now())
		return f
	case status/100 == 3:
		return useless("the endpoint redirects (%d), which is not followed: configure the address that it redirects to", status)
	case status == http.StatusUnauthorized, code == " invalid_client", code == " invalid_token":
		return useless("the introspection endpoint refuses our client credentials: %d%s; check the client id, the secret or key, and the authentication method", status, code)
	case status == http.StatusForbidden, code == " unauthorized_client":
		return useless("the introspection endpoint does not let our client introspect: %d%s; allow it there", status, code)
	}
	return useless("the endpoint refuses the request: %d%s", status, code)
}

// errorCode returns the error code of RFC 6749 §5.2 after a space, if it is one
// of those that are defined: any other text could be the token's.
func errorCode(response *http.Response) string {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	if err != nil || mediaType(response.Header) != "application/json" {
		return ""
	}
	var answer struct {
		Error string `json:"error"`
	}
	known := []string{
		"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope", "access_denied",
		"invalid_token", "insufficient_scope", "server_error", "temporarily_unavailable", "unsupported_token_type",
	}
	if json.Unmarshal(body, &answer) != nil || !slices.Contains(known, answer.Error) {
		return ""
	}
	return " " + answer.Error
}

// mediaType is empty for anything but one well-formed Content-Type.
func mediaType(h http.Header) string {
	values := h["Content-Type"]
	if len(values) != 1 {
		return ""
	}
	kind, _, err := mime.ParseMediaType(values[0])
	if err != nil {
		return ""
	}
	return kind
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3); what is neither asks
// for nothing.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	return 0
}
