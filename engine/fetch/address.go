package fetch

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxAddress bounds a URL, in bytes.
const maxAddress = 4096

// rules judge where a request may go. They are constant.
type rules struct {
	allow []netip.Prefix
	plain bool // allow has loopback addresses: http may be used with them
}

func newRules(allow []netip.Prefix) rules {
	r := rules{allow: allow}
	for _, p := range allow {
		r.plain = r.plain || p.IsValid() && p.Addr().IsLoopback()
	}
	return r
}

// check judges the address that a connection goes to; an IPv4-mapped one as
// what a socket makes of it, IPv4. Over http it must be an allowed loopback
// address: everywhere else somebody may listen.
func (r rules) check(addr netip.Addr, scheme string) error {
	addr = addr.Unmap()
	allowed := false
	for _, p := range r.allow {
		allowed = allowed || p.Contains(addr)
	}
	if scheme != "https" && !(allowed && addr.IsLoopback()) {
		return fail(ErrForbidden, "http to %s, which is not an allowed loopback address", addr)
	}
	if allowed {
		return nil
	}
	if name := special(addr); name != "" {
		return fail(ErrForbidden, "the address %s is special (%s)", addr, name)
	}
	return nil
}

// parse judges a URL by its text and brings it into the form that is sent:
// lower-case host, no fragment. The addresses of a host name come later, to
// check.
func (r rules) parse(text string) (*url.URL, error) {
	if len(text) > maxAddress {
		return nil, fail(ErrForbidden, "a URL of more than %d bytes", maxAddress)
	}
	for i := range len(text) {
		if c := text[i]; c <= 0x20 || c >= 0x7f || c == '\\' {
			return nil, fail(ErrForbidden, "a URL with a character that no URL may contain")
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fail(ErrForbidden, "not a URL")
	case u.Scheme != "https" && !(u.Scheme == "http" && r.plain):
		return nil, fail(ErrForbidden, "the scheme is not https")
	case u.Opaque != "" || u.Host == "":
		return nil, fail(ErrForbidden, "a URL without a host")
	case u.User != nil:
		return nil, fail(ErrForbidden, "a URL with user information")
	}
	if err := r.parseHost(u); err != nil {
		return nil, err
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// parseHost checks a URL's host and port and normalises both.
func (r rules) parseHost(u *url.URL) error {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.HasSuffix(u.Host, ":") {
		return fail(ErrForbidden, "a URL with an empty port")
	}
	if port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || !portAllowed(uint16(number)) {
			return fail(ErrForbidden, "a port that is not for https")
		}
		port = strconv.FormatUint(number, 10)
	}
	switch addr, err := netip.ParseAddr(host); {
	case err != nil:
		if strings.HasPrefix(u.Host, "[") || !isHostName(host) {
			return fail(ErrForbidden, "the host is neither a host name nor an address in its usual form")
		}
	case addr.Is4In6(), addr.Is6() != strings.HasPrefix(u.Host, "["):
		return fail(ErrForbidden, "the host is an address in an unusual form")
	default:
		if err := r.check(addr, u.Scheme); err != nil {
			return err
		}
		host = addr.String()
	}
	u.Host = joinHost(host, port)
	return nil
}

func joinHost(host, port string) string {
	switch {
	case port != "":
		return net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

// isHostName accepts letters, digits, hyphens and underscores in labels of 1 to
// 63 characters (RFC 1123 §2.1). A last label that is a number makes the whole
// an IPv4 address for some resolvers, though not for Go's parser: 127.1,
// 0x7f.1, 2130706433, 0177.0.0.1. Those are refused.
func isHostName(host string) bool {
	if len(host) > 253 {
		return false
	}
	label := ""
	for label = range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return !isNumber(label)
}

// isNumber reports whether inet_aton would read a label as a number, or would
// have if its digits were in range.
func isNumber(label string) bool {
	if digits, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// portAllowed refuses the ports below 1024 but those of the web, and above
// those of some protocols that skip over what they do not understand, or that
// have no business being spoken to (compare "port blocking" in the Fetch
// Standard). A TLS handshake can carry another protocol's commands: its server
// name is chosen by whoever chose the URL.
func portAllowed(port uint16) bool {
	switch port {
	case 80, 443:
		return true
	case 1719, 1720, 1723, // H.323, PPTP
		2049, 4045, // NFS
		2375, 2376, 2379, 2380, // Docker, etcd
		3306, 5432, 6379, 11211, 27017, // databases and caches
		4190, 5060, 5061, // Sieve, SIP
		6000, 6566, // X11, SANE
		6665, 6666, 6667, 6668, 6669, 6679, 6697, // IRC
		10080: // Amanda
		return false
	}
	return port >= 1024
}
