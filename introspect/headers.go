package introspect

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Forward says that a claim is sent to the resource in a header.
type Forward struct{ Claim, Header string }

// Headers are a gateway's identity headers. What a client sends under their
// names never reaches the resource. A nil Headers manages none.
type Headers struct {
	forwards []Forward // Header in canonical form
	names    []string  // folded
	lengths  uint64    // bit n: a name is n bytes long; bit 63: 63 or more
}

// NewHeaders compiles forwards. It fails on names that are no header's (RFC
// 9110 §5.1), on headers that belong to HTTP and not to the application, and on
// two that a server might take for the same.
func NewHeaders(forwards ...Forward) (*Headers, error) {
	s := &Headers{}
	var errs []error
	for _, f := range forwards {
		name := fold(f.Header)
		switch {
		case f.Claim == "":
			errs = append(errs, fmt.Errorf("header %q: names no claim", f.Header))
		case f.Header == "" || strings.ContainsFunc(f.Header, func(c rune) bool { return c > '~' || !isTokenChar(byte(c)) }):
			errs = append(errs, fmt.Errorf("header %q: not a header name", f.Header))
		case slices.Contains(reservedHeaders[:], name):
			errs = append(errs, fmt.Errorf("header %q: belongs to HTTP itself and cannot carry a claim", f.Header))
		case slices.Contains(s.names, name):
			errs = append(errs, fmt.Errorf("header %q: is there twice; case, '-', '_' and '.' make no difference", f.Header))
		default:
			f.Header = textproto.CanonicalMIMEHeaderKey(f.Header)
			s.forwards = append(s.forwards, f)
			s.names = append(s.names, name)
			s.lengths |= lengthBit(name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("identity headers: %w", err)
	}
	return s, nil
}

// reservedHeaders, folded: hop-by-hop (RFC 9110 §7.6.1), framing and routing,
// credentials, and what the proxy says itself.
var reservedHeaders = [...]string{
	"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"proxy-authenticate", "proxy-authorization", "proxy-authentication-info",
	"authorization", "cookie", "set-cookie", "www-authenticate", "dpop",
	"host", "content-length", "content-type", "content-encoding", "content-range", "expect", "range",
	"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip",
}

// fold returns the one spelling of a name that is compared. CGI and its heirs
// tell letters and digits apart only: X-User, x_user and X.User are HTTP_X_USER
// to them, on some servers X~User is, too.
func fold(name string) string {
	b := make([]byte, len(name))
	for i := range len(name) {
		b[i] = foldByte(name[i])
	}
	return string(b)
}

func foldByte(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	}
	return '-'
}

func sameName(folded, name string) bool {
	if len(folded) != len(name) {
		return false
	}
	for i := range len(name) {
		if foldByte(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

func lengthBit(name string) uint64 { return 1 << min(len(name), 63) }

func (s *Headers) manages(name string) bool {
	if s.lengths&lengthBit(name) == 0 {
		return false
	}
	for _, managed := range s.names {
		if sameName(managed, name) {
			return true
		}
	}
	return false
}

// Strip deletes the managed headers in every spelling, and takes their names out
// of Connection, which would make a proxy drop the ones that are set later
// (CVE-2024-45410), and out of Trailer, which would bring them back.
func (s *Headers) Strip(h http.Header) {
	if s == nil || len(s.names) == 0 {
		return
	}
	for key, values := range h {
		switch {
		case s.manages(key):
			delete(h, key)
		case sameName("connection", key), sameName("trailer", key):
			s.stripList(h, key, values)
		}
	}
}

// StripRequest does what [Headers.Strip] does for a request, its trailers
// included: net/http adds them to r.Trailer at the body's end, announced or
// not, and Caddy's reverse_proxy sends them on.
func (s *Headers) StripRequest(r *http.Request) {
	if s == nil || len(s.names) == 0 {
		return
	}
	s.Strip(r.Header)
	s.Strip(r.Trailer)
	// A body of known length has no trailers unless they are announced.
	if r.Body != nil && r.Body != http.NoBody && (r.Trailer != nil || r.ContentLength < 0) {
		r.Body = &strippedBody{ReadCloser: r.Body, request: r, headers: s}
	}
}

// strippedBody strips the request's trailers in the Read that brings them.
type strippedBody struct {
	io.ReadCloser
	request *http.Request
	headers *Headers
}

func (b *strippedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.headers.Strip(b.request.Trailer)
	}
	return n, err
}

// stripList takes managed names out of a header that lists names.
func (s *Headers) stripList(h http.Header, key string, values []string) {
	if !slices.ContainsFunc(values, s.lists) {
		return
	}
	kept := make([]string, 0, len(values)) // values may be another header's too
	for _, value := range values {
		if !s.lists(value) {
			kept = append(kept, value)
			continue
		}
		var names []string
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" && !s.manages(name) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			kept = append(kept, strings.Join(names, ", "))
		}
	}
	if len(kept) == 0 {
		delete(h, key)
		return
	}
	h[key] = kept
}

// lists reports whether a comma-separated list holds a managed name.
func (s *Headers) lists(value string) bool {
	for value != "" {
		name, rest, _ := strings.Cut(value, ",")
		if s.manages(textproto.TrimString(name)) {
			return true
		}
		value = rest
	}
	return false
}

// Set sets the headers whose claims the token has, in the form of
// [HeaderValue]; the others stay as Strip left them, absent.
func (s *Headers) Set(h http.Header, f *Facts) {
	if s == nil || f == nil {
		return
	}
	values := make([]string, len(s.forwards)) // one allocation for all
	for i, forward := range s.forwards {
		if values[i] = f.headerValue(forward.Claim); values[i] != "" {
			h[forward.Header] = values[i : i+1 : i+1]
		}
	}
}
