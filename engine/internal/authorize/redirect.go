package authorize

import (
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
)

// RedirectMatches compares a redirect address with the registered ones,
// character by character (RFC 9700 §4.1.3). Only the port of a loopback
// address may differ (RFC 8252 §7.3).
func RedirectMatches(registered []string, uri string) bool {
	for _, r := range registered {
		if r == uri || loopbackMatches(r, uri) {
			return true
		}
	}
	return false
}

func loopbackMatches(registered, uri string) bool {
	for _, host := range [...]string{"http://127.0.0.1", "http://[::1]"} {
		a, okA := strings.CutPrefix(registered, host)
		b, okB := strings.CutPrefix(uri, host)
		if okA && okB {
			restA, okA := cutPort(a)
			restB, okB := cutPort(b)
			return okA && okB && restA == restB
		}
	}
	return false
}

// cutPort takes a port, if there is one, off what follows a host, and says
// whether the host had ended there.
func cutPort(s string) (rest string, ok bool) {
	if digits, found := strings.CutPrefix(s, ":"); found {
		n := 0
		for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
			n++
		}
		if n == 0 || n > 5 {
			return "", false
		}
		s = digits[n:]
	}
	return s, s == "" || s[0] == '/' || s[0] == '?'
}

// location adds the answer to the redirect address (RFC 6749 §4.1.2), with
// the issuer that it comes from (RFC 9207 §2).
func (p *pending) location(r *realm.Realm, name, value string, more ...string) string {
	answer := url.Values{name: {value}, "iss": {r.Service.Issuer}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			answer.Set(more[i], more[i+1])
		}
	}
	if p.HasState {
		answer.Set("state", p.State)
	}
	separator := "?"
	if strings.Contains(p.RedirectURI, "?") {
		separator = "&"
	}
	return p.RedirectURI + separator + answer.Encode()
}

func (p *pending) errorLocation(r *realm.Realm, err *oautherr.Error) string {
	return p.location(r, "error", err.Code, "error_description", oautherr.Text(err.Description))
}
