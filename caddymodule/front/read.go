package front

import (
	"cmp"
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/engine"
)

// httpError is a request that never reaches the engine.
type httpError struct {
	status      int
	code        string // the OAuth error code
	description string
}

func (e *httpError) Error() string { return e.description }

// text is the body of a request that has been admitted, unless it is longer than
// that many bytes.
func text(r *http.Request, most int64) (text string, fits bool) {
	body, there := r.Body.(*arriving)
	if !there {
		return "", true
	}
	if body.Size() > most {
		return "", false
	}
	return string(body.text), true
}

// form reads an application/x-www-form-urlencoded body as it is, of at most
// that many bytes.
func form(r *http.Request, most int64) (string, error) {
	if kind := r.Header.Get("Content-Type"); kind != "application/x-www-form-urlencoded" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/x-www-form-urlencoded" {
			return "", &httpError{http.StatusBadRequest, "invalid_request", "the Content-Type must be application/x-www-form-urlencoded"}
		}
	}
	parameters, fits := text(r, most)
	if !fits {
		return "", &httpError{http.StatusRequestEntityTooLarge, "invalid_request", "the request body is too large"}
	}
	return parameters, nil
}

// accepts reports whether the request asks for a media type by its name
// (RFC 9110 §12.5.1); wildcards ask for what is usual.
func accepts(r *http.Request, media string) bool {
	for _, header := range r.Header.Values("Accept") {
		for item := range strings.SplitSeq(header, ",") {
			name, parameters, err := mime.ParseMediaType(item)
			if err != nil || name != media {
				continue
			}
			weight, err := strconv.ParseFloat(cmp.Or(parameters["q"], "1"), 64)
			return err == nil && weight > 0
		}
	}
	return false
}

// clientRequest reads the form and the Authorization header of a request that
// a client makes directly.
func clientRequest(r *http.Request, most int64) (string, engine.ClientCredentials, error) {
	basic, err := basicCredentials(r.Header.Values("Authorization"))
	if err != nil {
		return "", basic, err
	}
	parameters, err := form(r, most)
	return parameters, basic, err
}

const maxCredentials = 4 << 10 // bytes

var errBasic = &httpError{http.StatusUnauthorized, "invalid_client", "the Authorization header is not HTTP Basic with a form-encoded client_id and client_secret"}

// basicCredentials reads the header of client_secret_basic: user and password
// are form-encoded before they are joined (RFC 6749 §2.3.1).
func basicCredentials(headers []string) (engine.ClientCredentials, error) {
	var none engine.ClientCredentials
	switch {
	case len(headers) == 0:
		return none, nil
	case len(headers) > 1:
		return none, &httpError{http.StatusBadRequest, "invalid_request", "there is more than one Authorization header"}
	}
	scheme, encoded, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return none, errBasic
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil || len(raw) > maxCredentials || !utf8.Valid(raw) {
		return none, errBasic
	}
	user, password, found := strings.Cut(string(raw), ":")
	id, idErr := url.QueryUnescape(user)
	secret, secretErr := url.QueryUnescape(password)
	if !found || idErr != nil || secretErr != nil || !utf8.ValidString(id) || !utf8.ValidString(secret) {
		return none, errBasic
	}
	return engine.ClientCredentials{ClientID: id, ClientSecret: secret, Present: true}, nil
}
