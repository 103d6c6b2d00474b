// Package loopback reports whether a connection to a host stays on this machine.
package loopback

import (
	"net"
	"net/netip"
)

// IsHost reports whether host, a name or an IP address, is this machine's loopback. The only such name is localhost:
// it is never looked up elsewhere (RFC 6761 §6.3).
func IsHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// IsAddress is IsHost for HOST:PORT; no other text is loopback.
func IsAddress(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	return err == nil && IsHost(host)
}
