package dpop

import (
	"errors"
	"net/url"
	"strings"
)

func normalizeText(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", errors.New("not a URL") // the parser's words quote the input
	}
	return Normalize(u)
}

// Normalize returns the one form of an http or https URL without query and
// fragment (RFC 9449 §4.3; RFC 3986 §6.2.2, §6.2.3). It fails on anything else.
func Normalize(u *url.URL) (string, error) {
	if u == nil || u.User != nil || u.Hostname() == "" || strings.Contains(u.Host, "%") {
		return "", errors.New("not an absolute URL with a plain host")
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Host), u.Port()
	switch {
	case scheme != "http" && scheme != "https":
		return "", errors.New("neither http nor https")
	case port == "", scheme == "https" && port == "443", scheme == "http" && port == "80":
		host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	}
	path := removeDotSegments(normalizePercent(u.EscapedPath()))
	switch {
	case path == "":
		path = "/"
	case path[0] != '/':
		return "", errors.New("the path is not absolute") // OPTIONS *
	}
	return scheme + "://" + host + path, nil
}

// normalizePercent decodes unreserved characters, and writes the other
// percent-encodings in capitals.
func normalizePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			b = append(b, s[i])
			continue
		}
		encoding := strings.ToUpper(s[i : i+3])
		if decoded, err := url.PathUnescape(encoding); err == nil && unreserved(decoded[0]) {
			encoding = decoded
		}
		b = append(b, encoding...)
		i += 2
	}
	return string(b)
}

// unreserved reports whether c need not be encoded (RFC 3986 §2.3).
func unreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("-._~", c) >= 0
}

// removeDotSegments does what RFC 3986 §5.2.4 does to a path that is empty or
// begins with a slash.
func removeDotSegments(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	segments := strings.Split(path, "/")
	kept := segments[:1]
	for i, segment := range segments[1:] {
		last := i == len(segments)-2
		switch segment {
		case "..":
			kept = kept[:max(len(kept)-1, 1)]
		case ".":
		default:
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return strings.Join(kept, "/")
}
