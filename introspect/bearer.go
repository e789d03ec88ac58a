package introspect

import (
	"net/http"
	"net/url"
	"strings"
)

// DefaultMaxTokenLength is the longest token that is looked at, in bytes.
const DefaultMaxTokenLength = 8 << 10

// The schemes by which a request carries an access token.
const (
	SchemeBearer = "Bearer" // RFC 6750
	SchemeDPoP   = "DPoP"   // RFC 9449 §7.1
)

// Credentials are a request's access token and the scheme that it came under,
// one of the two above in that spelling. The zero value says that it came
// without one.
type Credentials struct{ Scheme, Token string }

// ReadCredentials reads the access token from a request's Authorization header
// (RFC 6750 §2.1, RFC 9449 §7.1). It has three results: credentials; neither
// those nor a refusal when the request carries no access token, but perhaps
// another scheme's credentials; or a 400 invalid_request, when they are
// malformed, longer than maxLength bytes (0 means [DefaultMaxTokenLength]),
// given twice, or in the URL.
//
// A token in the query (RFC 6750 §2.3) is refused even alone: it would be in
// logs, histories and Referer headers by now (RFC 9700 §4.3.2). The body
// (§2.2) is never read.
func ReadCredentials(r *http.Request, maxLength int) (Credentials, *Refusal) {
	if maxLength <= 0 {
		maxLength = DefaultMaxTokenLength
	}
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return Credentials{}, invalidRequest("The request has more than one Authorization header.")
	}
	if r.URL != nil && r.URL.RawQuery != "" && queryHasToken(r.URL.RawQuery) {
		return Credentials{}, invalidRequest("Send the access token in the Authorization header only, not in the URL.")
	}
	if len(values) == 0 {
		return Credentials{}, nil
	}
	c, ok := splitCredentials(values[0])
	switch {
	case !ok, c.Scheme != "" && !isB64Token(c.Token):
		return Credentials{}, invalidRequest("The Authorization header is malformed.")
	case len(c.Token) > maxLength:
		return Credentials{}, invalidRequest("The access token is too long.")
	}
	return c, nil
}

// splitCredentials splits a field value into scheme and token (RFC 9110
// §11.4). It fails on a value whose scheme cannot be told for sure, since a
// server behind the gateway might tell it otherwise.
func splitCredentials(value string) (c Credentials, ok bool) {
	value = strings.Trim(value, " \t")
	end := 0
	for end < len(value) && isTokenChar(value[end]) {
		end++
	}
	if end == 0 {
		return c, value == ""
	}
	scheme, rest := value[:end], value[end:]
	switch {
	case strings.EqualFold(scheme, SchemeBearer):
		c.Scheme = SchemeBearer
	case strings.EqualFold(scheme, SchemeDPoP):
		c.Scheme = SchemeDPoP
	default:
		return c, rest == "" || rest[0] == ' '
	}
	c.Token = strings.TrimLeft(rest, " ")
	return c, len(c.Token) < len(rest)
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
