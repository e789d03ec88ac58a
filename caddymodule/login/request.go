package login

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// MaxForm is how large a form of the pages may be, in bytes.
const MaxForm = 16 << 10

// refusal is a request that is answered with an error page.
type refusal struct {
	status int
	// key begins the keys of the page's texts, key.title and key.detail, of
	// which the latter has the arguments.
	key       string
	arguments []any
	// technical is in English, for those who look into the error; may be empty.
	technical string
	// back is an address of ours to go on from, with the key of its text; may be empty.
	back, backKey string
}

func (e *refusal) Error() string { return e.key }

func methodNotAllowed(w http.ResponseWriter, post bool) error {
	allow := "GET, HEAD"
	if post {
		allow += ", POST"
	}
	w.Header().Set("Allow", allow)
	return &refusal{status: http.StatusMethodNotAllowed, key: "error.method"}
}

var errMalformed = &refusal{status: http.StatusBadRequest, key: "error.malformed"}

// form reads a form that was sent from a page of ours.
func (s *Server) form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if err := s.checkSource(r); err != nil {
		return nil, err
	}
	text, err := body(w, r, MaxForm)
	if err != nil {
		return nil, err
	}
	return single(text)
}

// body reads a form as it is, of at most that many bytes.
func body(w http.ResponseWriter, r *http.Request, most int64) (string, error) {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, given := parameters["charset"]
	if err != nil || kind != "application/x-www-form-urlencoded" || given && !strings.EqualFold(charset, "utf-8") {
		return "", &refusal{status: http.StatusUnsupportedMediaType, key: "error.form_type"}
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return "", &refusal{status: http.StatusRequestEntityTooLarge, key: "error.form_size"}
	case err != nil:
		return "", errMalformed
	}
	return string(text), nil
}

// checkSource refuses what a browser says comes from another site. Pages
// without a referrer send the origin "null" (Fetch §3.2), so it proves
// nothing either way; the form's token decides.
func (s *Server) checkSource(r *http.Request) error {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	foreign := site != "" && site != "same-origin" && site != "none" ||
		origin != "" && origin != "null" && origin != s.origin ||
		len(r.Header.Values("Sec-Fetch-Site")) > 1 || len(r.Header.Values("Origin")) > 1
	if !foreign {
		return nil
	}
	return &refusal{status: http.StatusForbidden, key: "error.foreign", arguments: []any{"origin", s.origin}}
}

// query reads the parameters of a page's address.
func query(r *http.Request) (url.Values, error) {
	if len(r.URL.RawQuery) > MaxForm {
		return nil, errMalformed
	}
	return single(r.URL.RawQuery)
}

// single reads parameters of which each may be there once.
func single(text string) (url.Values, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, errMalformed
	}
	for name, list := range values {
		if len(list) != 1 || !utf8.ValidString(name) || !utf8.ValidString(list[0]) {
			return nil, errMalformed
		}
	}
	return values, nil
}

// seeOther redirects with 303, so that a form is never sent on (RFC 9700
// §4.12). The address may be of a private-use scheme.
func seeOther(w http.ResponseWriter, address string) error {
	secureHeaders(w.Header())
	w.Header().Set("Location", address)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
