package fetch

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

var forbiddenURLs = []string{
	"", "/path", "//example.com/", "example.com", "https:", "https://", "https:///path", "https:example.com", "https://:443/",
	"http://example.com/", "http://127.0.0.1/", "HTTP://example.com/", "ftp://example.com/", "file:///etc/passwd",
	"gopher://example.com/", "data:text/plain,x", "javascript:alert(1)", "unix:///run/docker.sock",

	"https://user@example.com/", "https://user:password@example.com/", "https://@example.com/", "https://example.com@127.0.0.1/",
	"https://127.0.0.1\\@example.com/", "https://example.com\\@127.0.0.1/", "https://exam ple.com/", "https://example.com/\r\nX: y",
	"https://example.com/\x00", "https://example.com/\u00e9", "https://ex\u00e4mple.com/", "https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020.0.1/",

	"https://127.0.0.1/", "https://127.0.0.1:8443/", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://017700000001/",
	"https://0177.0.0.1/", "https://0x7f.1/", "https://0x7f000001/", "https://0X7F.0.0.1/", "https://127.0.0.0x1/", "https://127.0.0.01/",
	"https://127.0.0.1./", "https://8.8.8.8./", "https://8.8/", "https://010.8.8.8/", "https://1.2.3.4.5/", "https://256.1.1.1/",
	"https://99999999999/", "https://0/", "https://0x/", "https://example.1/", "https://example.0x7f/",
	"https://%31%32%37.0.0.1/", "https://127%2e0.0.1/", "https://[127.0.0.1]/",
	"https://10.0.0.1/", "https://169.254.169.254/latest/meta-data/", "https://192.168.1.1/", "https://0.0.0.0/", "https://255.255.255.255/",

	"https://[::]/", "https://[::1]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/",
	"https://[::FFFF:8.8.8.8]/", "https://[::127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[fe80::1]/",
	"https://[fe80::1%25eth0]/", "https://[2606:4700::1111%25eth0]/", "https://[fd00::1]/", "https://[v1.x]/", "https://[example.com]/",
	"https://2606:4700::1111/", "https://[::1/", "https://::1/",

	"https://example..com/", "https://.example.com/", "https://example.com./", "https://exa$mple.com/", "https://a,b/", "https://*/",
	"https://" + strings.Repeat("a", 64) + ".com/", "https://" + strings.Repeat("abc.", 70) + "com/",
	"https://example.com:/", "https://example.com:0/", "https://example.com:22/", "https://example.com:25/", "https://example.com:6379/",
	"https://example.com:11211/", "https://example.com:65536/", "https://example.com:65979/", "https://example.com:-1/", "https://example.com:https/",
	"https://example.com:443:443/", "https://example.com/" + strings.Repeat("a", maxAddress),
}

// TestThreat21Spellings (CVE-2025-67494, CVE-2026-27945): an address that is
// forbidden, or that anybody might read as one, is refused before it is dialled.
func TestThreat21Spellings(t *testing.T) {
	r := newRules(nil)
	for _, text := range forbiddenURLs {
		if u, err := r.parse(text); !errors.Is(err, ErrForbidden) {
			t.Errorf("%q passes as %v: %v", text, u, err)
		}
	}
}

func TestPermittedURLs(t *testing.T) {
	r := newRules(prefixes("127.0.0.0/8"))
	for text, want := range map[string]string{
		"https://example.com":                    "https://example.com",
		"HTTPS://Example.COM/A?b=c":              "https://example.com/A?b=c",
		"https://example.com:443/":               "https://example.com:443/",
		"https://example.com:0443/":              "https://example.com:443/",
		"https://example.com:8443/jwks":          "https://example.com:8443/jwks",
		"https://example.com/request#hash":       "https://example.com/request",
		"https://xn--exmple-cua.com/":            "https://xn--exmple-cua.com/",
		"https://a_b.1.example/":                 "https://a_b.1.example/",
		"https://0x7f.example/":                  "https://0x7f.example/",
		"https://8.8.8.8/":                       "https://8.8.8.8/",
		"https://[2606:4700:0:0::1111]:8443/":    "https://[2606:4700::1111]:8443/",
		"https://[2606:4700::1111]/":             "https://[2606:4700::1111]/",
		"https://example.com/?u=https://a@b/%2e": "https://example.com/?u=https://a@b/%2e",
		"http://127.0.0.1:8080/":                 "http://127.0.0.1:8080/",
		"http://localhost/":                      "http://localhost/", // judged when it is resolved
	} {
		u, err := r.parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if u.String() != want {
			t.Errorf("%s became %s, not %s", text, u, want)
		}
	}
}

// FuzzAddress: what passes parses back to a global unicast address that is not
// special, or to a name that nobody reads as an address (threat 21).
func FuzzAddress(f *testing.F) {
	for _, text := range forbiddenURLs {
		f.Add(text, []byte("\x7f\x00\x00\x01"))
	}
	for _, text := range append(specialAddresses, publicAddresses...) {
		f.Add("https://"+text+"/", netip.MustParseAddr(text).AsSlice())
		f.Add("https://["+text+"]:8443/#a", []byte("\x08\x08\x08\x08"))
	}
	r := newRules(nil)
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		if addr, ok := netip.AddrFromSlice(raw); ok && r.check(addr, "https") == nil && !isPublic(addr.Unmap()) {
			t.Errorf("%s passes", addr)
		}
		u, err := r.parse(text)
		if err != nil {
			if !errors.Is(err, ErrForbidden) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if u.Scheme != "https" || u.User != nil || u.Fragment != "" || strings.ContainsAny(u.Host, "@%\\") {
			t.Errorf("%q passes as %s", text, u)
		}
		if again, err := r.parse(u.String()); err != nil || again.String() != u.String() {
			t.Errorf("%q passes as %s, which becomes %v: %v", text, u, again, err)
		}
		host := u.Hostname()
		if addr, err := netip.ParseAddr(host); err == nil {
			if addr.String() != host || !isPublic(addr) {
				t.Errorf("%q passes as %s", text, u)
			}
		} else if net.ParseIP(host) != nil || likeAddress.MatchString(host) {
			t.Errorf("%q passes as the name %s", text, host)
		}
	})
}

// likeAddress matches what inet_aton reads, with parts of any number and size.
var likeAddress = regexp.MustCompile(`^((0x[0-9a-f]*|[0-9]+)(\.|$))+$`)

// isPublic says again, in numbers, what special says in prefixes.
func isPublic(addr netip.Addr) bool {
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Zone() != "" || addr.Is4In6() {
		return false
	}
	if addr.Is4() {
		bytes := addr.As4()
		return isPublic4(binary.BigEndian.Uint32(bytes[:]))
	}
	bytes := addr.As16()
	high := binary.BigEndian.Uint64(bytes[:8])
	if high == 0x0064_ff9b_0000_0000 && binary.BigEndian.Uint32(bytes[8:]) == 0 {
		return isPublic4(binary.BigEndian.Uint32(bytes[12:]))
	}
	switch {
	case high>>61 != 1, // 2000::/3
		high>>41 == 0x2001_0000>>9, // 2001::/23
		high>>32 == 0x2001_0db8,
		high>>48 == 0x2002,
		high>>16 == 0x2620_004f_8000,
		high>>44 == 0x3fff0:
		return false
	}
	return true
}

func isPublic4(a uint32) bool {
	switch first := a >> 24; {
	case first == 0, first == 10, first == 127, first >= 224:
		return false
	}
	switch a >> 16 {
	case 0xa9fe, 0xc0a8, 0xc612, 0xc613:
		return false
	}
	switch a >> 8 {
	case 0xc00000, 0xc00002, 0xc01fc4, 0xc034c1, 0xc05863, 0xc0af30, 0xc63364, 0xcb0071:
		return false
	}
	return a>>22 != 0x6440>>6 && a>>20 != 0xac1 && a != 0xa83f8110
}
