package model

import (
	"errors"
	"fmt"
	"net"
	neturl "net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// URLRule says what an address must be.
type URLRule struct {
	Most      int  // characters
	NoQuery   bool // neither query nor fragment; a fragment is never allowed
	Redirect  bool // a redirect address: private-use schemes are allowed
	PathOrURL bool // "/token" stands for the issuer's host with that path
}

func (r URLRule) String() string {
	s := fmt.Sprintf("https (http on loopback hosts), ASCII, no fragment, at most %d characters", r.Most)
	if r.NoQuery {
		s += ", no query"
	}
	if r.Redirect {
		s += "; or a private-use scheme with a dot in its name"
	}
	if r.PathOrURL {
		s += "; or a path"
	}
	return s
}

// CheckURL holds an address against a rule. https is required but on loopback
// hosts (RFC 9700 §2.6); user information never has a use.
func CheckURL(text string, rule URLRule) error {
	if len(text) > rule.Most {
		return fmt.Errorf("longer than %d characters", rule.Most)
	}
	for i := range len(text) {
		if c := text[i]; c <= 0x20 || c >= 0x7f || c == '\\' || c == '"' || c == '<' || c == '>' {
			return errors.New("contains a character that no URL may contain")
		}
	}
	if strings.Contains(text, "#") {
		return errors.New("must not have a fragment")
	}
	if rule.NoQuery && strings.Contains(text, "?") {
		return errors.New("must not have a query")
	}
	if rule.PathOrURL && strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") {
		return nil
	}
	u, err := neturl.Parse(text)
	switch {
	case err != nil || u.Scheme == "":
		return errors.New("is not an absolute URL")
	case u.User != nil:
		return errors.New("must not contain user information")
	case u.Scheme == "https" && u.Host != "":
		return nil
	case u.Scheme == "http" && u.Host != "":
		if Loopback(u.Hostname()) {
			return nil
		}
		return errors.New("must use https: http is for loopback hosts alone")
	case rule.Redirect && strings.Contains(u.Scheme, "."):
		return nil // RFC 8252 §7.1
	default:
		return errors.New("must use https")
	}
}

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

const (
	maxScopes         = 255
	maxName           = 100
	maxDescription    = 200
	maxASCII          = 200
	scopeLimits       = "printable ASCII but space, double quotation mark and backslash, at most 200 characters"
	descriptionLimits = "at most 200 characters"
)

// checkScope is RFC 6749 §3.3.
func checkScope(name string) error {
	if name == "" || len(name) > maxASCII {
		return errors.New("expected 1 to 200 characters")
	}
	for i := range len(name) {
		if c := name[i]; c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return errors.New("expected " + scopeLimits)
		}
	}
	return nil
}

func checkDescription(s string) error { return checkText(s, maxDescription) }

// checkText accepts what can be shown to people on one line.
func checkText(s string, most int) error {
	if utf8.RuneCountInString(s) > most {
		return fmt.Errorf("longer than %d characters", most)
	}
	if !utf8.ValidString(s) {
		return errors.New("is not UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return errors.New("contains a control character")
		}
	}
	return nil
}

// checkName accepts a claim's name: ASCII, at most 200 characters.
func checkName(s string) error {
	if s == "" || len(s) > maxASCII {
		return errors.New("expected 1 to 200 characters")
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return errors.New("expected printable ASCII without spaces")
		}
	}
	return nil
}

// CheckAlias accepts a client_id: RFC 6749 §A.1 without spaces, at most 100 characters.
func CheckAlias(s string) error {
	if s == "" || len(s) > maxName {
		return errors.New("expected 1 to 100 characters")
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return errors.New("expected printable ASCII without spaces")
		}
	}
	return nil
}

func checkSecret(s string) error {
	if len(s) < 8 || len(s) > maxASCII {
		return errors.New("expected 8 to 200 characters")
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return errors.New("expected printable ASCII")
		}
	}
	return nil
}
