package relyingparty

import (
	"net/url"
	"strings"
)

// maxReturn bounds a return address, which cookies carry.
const maxReturn = 1024 // bytes

// isLocal reports whether a text is the path, and perhaps the query, of a page
// on this site, whoever reads it: //host, /\host and what decodes to them name
// other sites to some (CVE-2024-39694).
func isLocal(text string) bool {
	if len(text) == 0 || len(text) > maxReturn || text[0] != '/' {
		return false
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return false
	}
	path := u.Path
	for range 3 { // encoded once, twice, three times
		if strings.HasPrefix(path, "//") || strings.Contains(path, `\`) || strings.ContainsFunc(path, isControl) {
			return false
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			break // nothing more to decode
		}
		path = decoded
	}
	return true
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }
