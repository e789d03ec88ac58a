package authorize

import "strings"

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
