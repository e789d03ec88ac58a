package model

import (
	"encoding/json"
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
	NoQuery   bool // no query
	Redirect  bool // a redirect address: private-use schemes are allowed
	Fragment  bool // a fragment is allowed
	PathOrURL bool // "/token" stands for the issuer's host with that path
}

func (r URLRule) String() string {
	s := fmt.Sprintf("https (http on loopback hosts), ASCII, at most %d characters", r.Most)
	if !r.Fragment {
		s += ", no fragment"
	}
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
	if !rule.Fragment && strings.Contains(text, "#") {
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
	maxTags           = 50
	maxAttributes     = 20
	maxLanguage       = 30
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

// checkASCII accepts printable ASCII without spaces, or nothing.
func checkASCII(most int) func(string) error {
	return func(s string) error {
		if len(s) > most {
			return fmt.Errorf("longer than %d characters", most)
		}
		for i := range len(s) {
			if s[i] <= 0x20 || s[i] >= 0x7f {
				return errors.New("expected printable ASCII without spaces")
			}
		}
		return nil
	}
}

// checkLanguage accepts a language tag (RFC 5646 §2.1) by its form.
func checkLanguage(tag string) error {
	if tag == "" || len(tag) > maxLanguage {
		return fmt.Errorf("expected a language tag of at most %d characters", maxLanguage)
	}
	for part := range strings.SplitSeq(tag, "-") {
		if part == "" || len(part) > 8 {
			return errors.New("is not a language tag such as ja or en-GB")
		}
		for i := range len(part) {
			if c := part[i] | 0x20; !(c >= 'a' && c <= 'z' || part[i] >= '0' && part[i] <= '9') {
				return errors.New("is not a language tag such as ja or en-GB")
			}
		}
	}
	return nil
}

// LanguageTag reports whether a text has the form of a language tag.
func LanguageTag(tag string) bool { return checkLanguage(tag) == nil }

// checkJWKS accepts a JWK Set by its form (RFC 7517 §5). Whether its keys are
// keys is found out where they are opened.
func checkJWKS(text string) error {
	if len(text) > MaxJWKS {
		return fmt.Errorf("longer than %d bytes", MaxJWKS)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal([]byte(text), &set) != nil || set.Keys == nil {
		return errors.New("expected a JWK Set: a JSON object with the member keys")
	}
	if len(set.Keys) > MaxKeys {
		return fmt.Errorf("more than %d keys", MaxKeys)
	}
	return nil
}

// Bounds of a JWK Set.
const (
	MaxJWKS = 64 << 10 // bytes
	MaxKeys = 50
)

// attributeSeconds reads a duration: seconds, or a text such as 10m.
func attributeSeconds(text string) (int64, error) {
	n, err := parseSeconds(text)
	if err != nil {
		return 0, err
	}
	if n < 1 || n > MaxDuration {
		return 0, fmt.Errorf("expected 1 to %d seconds", int64(MaxDuration))
	}
	return n, nil
}

// Seconds returns a duration among a scope's attributes, 0 if there is none.
func (s *Scope) Seconds(attribute string) int64 {
	for _, a := range s.Attributes {
		if a.Key == attribute {
			n, _ := attributeSeconds(a.Value)
			return n
		}
	}
	return 0
}

// checkAPIKey accepts what can stand in a path as it is.
func checkAPIKey(s string) error {
	if s == "" || len(s) > maxName || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return errors.New("expected 1 to 100 letters, digits, - and _")
	}
	return nil
}

// checkHostPattern accepts a host, or *. and the hosts below one.
func checkHostPattern(s string) error {
	host := strings.TrimPrefix(s, "*.")
	if host == "" || len(host) > 253 || strings.ContainsAny(host, "*/:@ ") || strings.ToLower(host) != host {
		return errors.New("expected a host name in lower case, such as app.example.com or *.example.com")
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

// checkBearer accepts what can be sent as a bearer token (RFC 6750 §2.1), or a
// placeholder for it.
func checkBearer(s string) error {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/={}:$") != "" {
		return errors.New("expected letters, digits and -._~+/ alone")
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
