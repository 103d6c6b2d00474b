package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddr returns the address of the client: the peer's, or what trusted proxies report. That is the last address
// in X-Forwarded-For that is not a trusted proxy: the client may have written what comes before it. Forwarded (RFC
// 7239) is not read. The zero Addr stands for a peer without an IP address.
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

// parseHop reads an address as proxies write it: with or without a port, an IPv6 address with or without brackets.
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

// checkForwarded refuses, while there is no key, a request that a proxy passed on: listening on loopback only is then
// no protection. A proxy uses a loopback name as Host, unless configured otherwise.
func (s *Server) checkForwarded(r *http.Request) *problem {
	if s.o.Verifier != nil || s.o.AllowForwarded {
		return nil
	}
	found := ""
	for name := range r.Header {
		if isForwarding(name) && (found == "" || name < found) {
			found = name
		}
	}
	if found == "" {
		return nil
	}
	return &problem{code: "proxy-not-allowed", field: found,
		detail: "this server has no key, so anyone may do anything, and the request came " +
			"through a proxy; start it with a key, or with --insecure if this is intended"}
}

// isForwarding reports whether a header, in its canonical form, is one that proxies, load balancers
// and tunnels add.
func isForwarding(name string) bool {
	switch name {
	case "Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip",
		"Client-Ip", "Cdn-Loop", "X-Proxyuser-Ip", "X-Amzn-Trace-Id":
		return true
	}
	return slices.ContainsFunc([]string{"X-Forwarded", "Forwarded-", "X-Original-", "X-Envoy-", "Cf-",
		"X-Amz-Cf-", "X-Azure-", "X-Arr-", "X-Appengine-", "Fly-", "Fastly-", "Tailscale-"},
		func(prefix string) bool { return strings.HasPrefix(name, prefix) })
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
