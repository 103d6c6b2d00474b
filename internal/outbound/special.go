package outbound

import "net/netip"

// global are the IPv6 addresses assigned to hosts of the Internet (RFC 4291 §2.4, IANA's IPv6 Address Space).
// Everything else is reserved, belongs to one machine, link or site, or embeds an IPv4 address: ::/96, ::ffff:0:0:0/96,
// 64:ff9b::/96 and 64:ff9b:1::/48 (RFC 4291, 2765, 6052, 8215).
var global = netip.MustParsePrefix("2000::/3")

// specials are the ranges without hosts of the Internet: IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC
// 6890), and multicast. The first match counts.
var specials = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified (RFC 791)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "of a carrier's NAT (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback (RFC 1122)"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, which serves cloud metadata (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "of IETF protocols (RFC 6890)"},
	{netip.MustParsePrefix("192.0.2.0/24"), "for documentation (RFC 5737)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "of 6to4 relays (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private (RFC 1918)"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks (RFC 2544)"},
	{netip.MustParsePrefix("198.51.100.0/24"), "for documentation (RFC 5737)"},
	{netip.MustParsePrefix("203.0.113.0/24"), "for documentation (RFC 5737)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 5771)"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved, or broadcast (RFC 1112, RFC 919)"},
	// an address of a public cloud, reachable only inside it
	{netip.MustParsePrefix("168.63.129.16/32"), "Azure's own, which serves metadata"},

	{netip.MustParsePrefix("::1/128"), "loopback (RFC 4291)"},
	{netip.MustParsePrefix("64:ff9b::/32"), "an IPv4 address behind NAT64 (RFC 6052, RFC 8215)"},
	{netip.MustParsePrefix("fc00::/7"), "private (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "link-local (RFC 4291)"},
	{netip.MustParsePrefix("ff00::/8"), "multicast (RFC 4291)"},
	{netip.MustParsePrefix("2001::/32"), "an IPv4 address in Teredo (RFC 4380)"},
	{netip.MustParsePrefix("2001::/23"), "of IETF protocols (RFC 2928)"},
	{netip.MustParsePrefix("2001:db8::/32"), "for documentation (RFC 3849)"},
	{netip.MustParsePrefix("2002::/16"), "an IPv4 address in 6to4 (RFC 3056)"},
	{netip.MustParsePrefix("3fff::/20"), "for documentation (RFC 9637)"},
}

// special describes an address that does not belong to a host of the Internet; "" for others. IPv4 mapped into IPv6 has
// been unmapped.
func special(addr netip.Addr) string {
	plain := addr.WithZone("")
	for _, s := range specials {
		if s.prefix.Contains(plain) {
			return s.what
		}
	}
	switch {
	case addr.Is4():
		return ""
	case !global.Contains(plain) || addr.Zone() != "":
		return "not global (RFC 4291)"
	case isISATAP(addr.As16()):
		return "an IPv4 address in ISATAP (RFC 5214)"
	}
	return ""
}

// isISATAP: the interface identifier is 0000:5efe or 0200:5efe and an IPv4 address (RFC 5214 §6.1).
func isISATAP(a [16]byte) bool {
	return a[8]&^2 == 0 && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe
}
