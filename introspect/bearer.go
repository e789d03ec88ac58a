package introspect

import (
	"net/http"
	"net/url"
	"strings"
)

// DefaultMaxTokenLength is the longest token that is looked at, in bytes.
const DefaultMaxTokenLength = 8 << 10

// BearerToken reads the access token from a request's Authorization header
// (RFC 6750 §2.1). It has three results: a token; neither token nor refusal
// when the request carries no bearer credentials, another scheme's included;
// or a 400 invalid_request, when they are malformed, longer than maxLength
// bytes (0 means [DefaultMaxTokenLength]), given twice, or in the URL.
//
// A token in the query (RFC 6750 §2.3) is refused even alone: it would be in
// logs, histories and Referer headers by now (RFC 9700 §4.3.2). The body
// (§2.2) is never read.
func BearerToken(r *http.Request, maxLength int) (string, *Refusal) {
	if maxLength <= 0 {
		maxLength = DefaultMaxTokenLength
	}
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return "", invalidRequest("The request has more than one Authorization header.")
	}
	if r.URL != nil && r.URL.RawQuery != "" && queryHasToken(r.URL.RawQuery) {
		return "", invalidRequest("Send the access token in the Authorization header only, not in the URL.")
	}
	if len(values) == 0 {
		return "", nil
	}
	credentials, bearer, ok := bearerCredentials(values[0])
	switch {
	case !ok, bearer && !isB64Token(credentials):
		return "", invalidRequest("The Authorization header is malformed.")
	case !bearer:
		return "", nil
	case len(credentials) > maxLength:
		return "", invalidRequest("The access token is too long.")
	}
	return credentials, nil
}

// bearerCredentials splits a field value into scheme and credentials (RFC 9110
// §11.4). It fails on a value whose scheme cannot be told for sure, since a
// server behind the gateway might tell it otherwise.
func bearerCredentials(value string) (credentials string, bearer, ok bool) {
	value = strings.Trim(value, " \t")
	end := 0
	for end < len(value) && isTokenChar(value[end]) {
		end++
	}
	if end == 0 {
		return "", false, value == ""
	}
	scheme, rest := value[:end], value[end:]
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false, rest == "" || rest[0] == ' '
	}
	credentials = strings.TrimLeft(rest, " ")
	return credentials, true, len(credentials) < len(rest)
}

// isB64Token reports whether s is a b64token: 1*( ALPHA / DIGIT / "-" / "." /
// "_" / "~" / "+" / "/" ) *"=" (RFC 6750 §2.1).
func isB64Token(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return s != ""
}

// isTokenChar reports whether c is a tchar (RFC 9110 §5.6.2).
func isTokenChar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// queryHasToken reports whether a query has an access_token parameter, however
// its name is encoded. Semicolons separate too: some servers still think so.
func queryHasToken(query string) bool {
	for query != "" {
		pair := query
		if i := strings.IndexAny(query, "&;"); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			query = ""
		}
		name, _, _ := strings.Cut(pair, "=")
		if strings.IndexByte(name, '%') >= 0 {
			if decoded, err := url.QueryUnescape(name); err == nil {
				name = decoded
			}
		}
		if name == "access_token" {
			return true
		}
	}
	return false
}
