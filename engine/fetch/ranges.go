package fetch

import "net/netip"

// block is a range of addresses that no public service lives in.
type block struct {
	prefix netip.Prefix
	name   string
}

func blockOf(prefix, name string) block { return block{netip.MustParsePrefix(prefix), name} }

// special4 is IANA's IPv4 Special-Purpose Address Registry (RFC 6890) with all
// of its ranges: those that are globally reachable carry no web servers
// either. Multicast is a registry of its own (RFC 5771). The last one is an
// ordinary public address that Azure answers inside every virtual machine, as
// other clouds do 169.254.169.254.
var special4 = []block{
	blockOf("0.0.0.0/8", "this network"),
	blockOf("10.0.0.0/8", "private use"),
	blockOf("100.64.0.0/10", "shared address space"),
	blockOf("127.0.0.0/8", "loopback"),
	blockOf("169.254.0.0/16", "link-local"),
	blockOf("172.16.0.0/12", "private use"),
	blockOf("192.0.0.0/24", "protocol assignments"),
	blockOf("192.0.2.0/24", "documentation"),
	blockOf("192.31.196.0/24", "AS112"),
	blockOf("192.52.193.0/24", "multicast tunnelling"),
	blockOf("192.88.99.0/24", "6to4 relay"),
	blockOf("192.168.0.0/16", "private use"),
	blockOf("192.175.48.0/24", "AS112"),
	blockOf("198.18.0.0/15", "benchmarking"),
	blockOf("198.51.100.0/24", "documentation"),
	blockOf("203.0.113.0/24", "documentation"),
	blockOf("224.0.0.0/4", "multicast"),
	blockOf("240.0.0.0/4", "reserved or broadcast"),
	blockOf("168.63.129.16/32", "the cloud's host"),
}

// special6 names what IANA's IPv6 Special-Purpose Address Registry sets aside
// of 2000::/3, and what else deserves a name. Of everything outside 2000::/3
// nothing is allocated as global unicast, so special refuses it unlisted.
var special6 = []block{
	blockOf("::/128", "unspecified"),
	blockOf("::1/128", "loopback"),
	blockOf("fc00::/7", "unique local"),
	blockOf("fe80::/10", "link-local"),
	blockOf("fec0::/10", "site-local"),
	blockOf("ff00::/8", "multicast"),
	blockOf("2001::/23", "protocol assignments"), // Teredo too
	blockOf("2001:db8::/32", "documentation"),
	blockOf("2002::/16", "6to4"), // embeds any IPv4 address; abandoned by RFC 7526
	blockOf("2620:4f:8000::/48", "AS112"),
	blockOf("3fff::/20", "documentation"),
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")     // RFC 4291 §2.4 and IANA's allocations
	translated    = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052 §2.1
)

// special says why an address is not an ordinary public one; "" means that it
// is. A translated address is judged by the IPv4 address in it, since on a
// network without IPv4 every IPv4 host has such an address (RFC 6147). The
// prefix for local use, 64:ff9b:1::/48, hides the position of the IPv4 address
// (RFC 8215) and is refused with all that is not global unicast.
func special(addr netip.Addr) string {
	switch {
	case !addr.IsValid():
		return "not an address"
	case addr.Zone() != "":
		return "of one link only"
	case translated.Contains(addr):
		bytes := addr.As16()
		return special(netip.AddrFrom4([4]byte(bytes[12:])))
	case addr.Is4():
		return nameIn(special4, addr)
	}
	if name := nameIn(special6, addr); name != "" {
		return name
	}
	if !globalUnicast.Contains(addr) {
		return "not global unicast"
	}
	return ""
}

func nameIn(blocks []block, addr netip.Addr) string {
	for _, b := range blocks {
		if b.prefix.Contains(addr) {
			return b.name
		}
	}
	return ""
}
