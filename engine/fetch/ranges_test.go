package fetch

import (
	"errors"
	"net/netip"
	"testing"
)

// specialAddresses has the ends of every special-purpose range (threat 21), and
// the forms in which IPv6 hides them.
var specialAddresses = []string{
	"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.100.100.200", "100.127.255.255",
	"127.0.0.0", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255",
	"172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.192", "192.0.0.255", "192.0.2.0", "192.0.2.255",
	"192.31.196.1", "192.52.193.1", "192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "192.175.48.1",
	"198.18.0.0", "198.19.255.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255",
	"224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255", "168.63.129.16",

	"::", "::1", "::2", "::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
	"::ffff:0:8.8.8.8", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::192.168.0.1", "64:ff9b::1:8.8.8.8",
	"64:ff9b:1::", "64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::1",
	"2001::", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:1::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
	"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:7f00:1::1", "2002:808:808::1", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"2620:4f:8000::1", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::1", "5f00::", "5f00::1", "1fff::1",
	"fc00::", "fd00:ec2::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "fe80::1", "febf:ffff::1", "fec0::1", "feff::1",
	"ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::1%eth0", "2606:4700::1111%eth0",
}

// publicAddresses are the neighbours of the ranges above.
var publicAddresses = []string{
	"1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
	"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0",
	"192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255",
	"198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "168.63.129.15", "168.63.129.17",
	"64:ff9b::8.8.8.8", "2000::1", "2001:200::", "2001:db7:ffff::1", "2001:db9::1", "2003::1", "2606:4700::1111", "3ffe:ffff::1", "3fff:1000::1",
}

func TestThreat21SpecialPurposeRanges(t *testing.T) {
	none := newRules(nil)
	for _, text := range specialAddresses {
		addr := netip.MustParseAddr(text)
		if err := none.check(addr, "https"); !errors.Is(err, ErrForbidden) || special(addr) == "" {
			t.Errorf("%s passes: %v", text, err)
		}
	}
	for _, text := range publicAddresses {
		addr := netip.MustParseAddr(text)
		if err := none.check(addr, "https"); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := none.check(addr, "http"); !errors.Is(err, ErrForbidden) {
			t.Errorf("http to %s passes: %v", text, err)
		}
	}
	if err := none.check(netip.Addr{}, "https"); !errors.Is(err, ErrForbidden) {
		t.Errorf("no address passes: %v", err)
	}
}

func TestThreat21AllowOpensNothingElse(t *testing.T) {
	r := newRules(prefixes("127.0.0.0/8", "10.1.0.0/16", "fd00:1::/32"))
	for _, test := range []struct {
		addr        string
		https, http bool
	}{
		{"127.0.0.1", true, true},
		{"127.1.2.3", true, true},
		{"::ffff:127.0.0.1", true, true}, // what a resolver makes of an A record
		{"10.1.2.3", true, false},
		{"fd00:1::5", true, false},
		{"8.8.8.8", true, false},
		{"::1", false, false},
		{"0.0.0.0", false, false},
		{"10.2.0.0", false, false},
		{"fd00:2::5", false, false},
		{"fd00:1::5%eth0", false, false},
		{"::127.0.0.1", false, false},
		{"64:ff9b::127.0.0.1", false, false},
		{"64:ff9b::10.1.2.3", false, false},
		{"169.254.169.254", false, false},
	} {
		addr := netip.MustParseAddr(test.addr)
		if err := r.check(addr, "https"); (err == nil) != test.https {
			t.Errorf("https to %s: %v", test.addr, err)
		}
		if err := r.check(addr, "http"); (err == nil) != test.http {
			t.Errorf("http to %s: %v", test.addr, err)
		}
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}
