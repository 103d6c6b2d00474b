package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddr is the address of the client: the peer's, or what trusted proxies say about it. It is
// the last address of X-Forwarded-For that is no trusted proxy: what stands before it, the client
// may have written. Forwarded (RFC 7239) is not read. The zero Addr stands for a peer without an IP address.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	addr := peerAddr(r)
	if !s.trusts(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		hop = strings.TrimSpace(hop)
		if hop == "" {
			continue
		}
		next, ok := parseHop(hop)
		if !ok {
			break
		}
		if addr = next; !s.trusts(addr) {
			break
		}
	}
	return addr
}

// parseHop reads an address as proxies write it: alone or with a port, an IPv6 address with or without
// brackets.
func parseHop(hop string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(hop, "["), "]"))
	if withPort, portErr := netip.ParseAddrPort(hop); portErr == nil {
		addr, err = withPort.Addr(), nil
	}
	return addr.Unmap().WithZone(""), err == nil
}

// secure reports whether the client's side of the connection is encrypted.
func (s *Server) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	scheme, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",") // the first is the client's
	return strings.EqualFold(strings.TrimSpace(scheme), "https") && s.trusts(peerAddr(r))
}

func (s *Server) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(s.o.TrustedProxies, func(p netip.Prefix) bool {
		return p.Contains(addr)
	})
}

func peerAddr(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}
