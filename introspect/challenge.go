package introspect

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Challenge holds what every WWW-Authenticate header of a resource says.
type Challenge struct {
	// Realm names the protected space (RFC 9110 §11.5); empty leaves it out.
	Realm string
	// ResourceMetadata is the URL of the resource's metadata document (RFC
	// 9728 §5.1); empty leaves it out. [MetadataURL] computes it.
	ResourceMetadata string
	// DPoPAlgs are the algorithms of proofs that are accepted (RFC 9449 §7.1);
	// without any, DPoP is not offered.
	DPoPAlgs []string
	// DPoPOnly says that bearer tokens are not accepted.
	DPoPOnly bool
}

// Headers returns the WWW-Authenticate values for a refusal, one a scheme (RFC
// 6750 §3, RFC 9449 §7.1). They are safe to send whatever the parts hold: every
// one of them ends up within its quotes and within the characters that its
// specification allows.
func (c Challenge) Headers(r *Refusal) []string {
	var list []string
	if !c.DPoPOnly {
		list = append(list, c.header(SchemeBearer, r)) // first: some clients look no further
	}
	if len(c.DPoPAlgs) > 0 {
		list = append(list, c.header(SchemeDPoP, r))
	}
	return list
}

// header is the challenge of one scheme. The error stands in that of the scheme
// which the client has used.
func (c Challenge) header(scheme string, r *Refusal) string {
	var b challengeBuilder
	b.WriteString(scheme)
	b.param("realm", quotedText(c.Realm))
	if cmp.Or(r.Scheme, SchemeBearer) == scheme || c.DPoPOnly {
		b.param("error", plain(r.Code))
		if r.Code != "" {
			b.param("error_description", plain(r.Description))
		}
		b.param("acr_values", scopeText(strings.Join(r.ACR, " ")))
		if r.MaxAge > 0 {
			b.param("max_age", strconv.FormatInt(int64(r.MaxAge/time.Second), 10))
		}
	}
	b.param("scope", scopeText(r.Scope))
	if scheme == SchemeDPoP {
		b.param("algs", scopeText(strings.Join(c.DPoPAlgs, " ")))
	}
	b.param("resource_metadata", uriText(c.ResourceMetadata))
	return b.String()
}

type challengeBuilder struct {
	strings.Builder
	more bool
}

// param adds an auth-param as a quoted string; empty values are left out.
func (b *challengeBuilder) param(name, quoted string) {
	if quoted == "" {
		return
	}
	if b.more {
		b.WriteByte(',')
	}
	b.more = true
	b.WriteByte(' ')
	b.WriteString(name)
	b.WriteString(`="`)
	b.WriteString(quoted)
	b.WriteByte('"')
}

// quotedText escapes a quoted-string's content (RFC 9110 §5.6.4) and replaces
// what is not printable ASCII.
func quotedText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// plain keeps the characters of error and error_description: %x20-21 /
// %x23-5B / %x5D-7E (RFC 6750 §3). Quotes become apostrophes; the rest, '?'.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c < ' ' || c > '~' || c == '\\':
			return '?'
		}
		return c
	}, s)
}

// scopeText keeps the scope-tokens made of %x21 / %x23-5B / %x5D-7E (RFC 6749
// §3.3). Any other is none that could be asked for, and is left out.
func scopeText(s string) string {
	var kept []string
	for scope := range strings.SplitSeq(s, " ") {
		if scope != "" && plain(scope) == scope {
			kept = append(kept, scope)
		}
	}
	return strings.Join(kept, " ")
}

// uriText percent-encodes what cannot stand in a URI (RFC 3986 §2).
func uriText(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c > '~' || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
