package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// A page of another site must not reach this server through its visitor's browser. It could try in two ways: with
// requests across origins, which the browser marks with their origin; and by making its own name resolve to this
// server's address, so that the browser takes the server for the page's own. Then the name in Host is foreign.
// Neither gives access to a token that must be in the Authorization header, so both are allowed where such a token
// decides.

// byHeader reports whether a token in the Authorization header decides about r.
func (s *Server) byHeader(r *http.Request) bool {
	return s.o.Verifier != nil && len(bearersOf(r)) > 0
}

// checkHost refuses a foreign Host.
func (s *Server) checkHost(r *http.Request) *problem {
	if s.byHeader(r) {
		return nil
	}
	host := hostname(r.Host)
	// RFC 6761 §6.3
	if host == "localhost" || strings.HasSuffix(host, ".localhost") ||
		slices.Contains(s.hosts, host) {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil &&
		(ip.IsLoopback() || ip.Unmap() == localAddr(r)) {
		return nil
	}
	return &problem{code: "host-not-allowed", field: "Host",
		detail: fmt.Sprintf(
			"Host %.64q is not allowed; add it with --allow-host",
			host)}
}

// hostname returns the host of a host and an optional port, in lower case.
func hostname(hostport string) string {
	host := strings.Trim(hostport, "[]")
	if strings.Contains(hostport, ":") { // otherwise there would be an error to allocate
		if name, _, err := net.SplitHostPort(hostport); err == nil {
			host = name
		}
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// localAddr returns the local address of r's connection, the zero Addr if it has none.
func localAddr(r *http.Request) netip.Addr {
	tcp, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

// protection has the defaults.
var protection http.CrossOriginProtection

// checkOrigin refuses a write by a page of a foreign origin. Where no token identifies the caller it also refuses a
// read: the page could not see the response, but it would cost a copy of the log, a stream's place or a long wait.
// With a key, an admin's cookie is enough to cause that from a page of the same site, so admin reads are refused too.
func (s *Server) checkOrigin(r *http.Request, a access) *problem {
	if s.byHeader(r) || slices.Contains(s.o.CORSOrigins, r.Header.Get("Origin")) {
		return nil
	}
	if r.Method != http.MethodPost && (a == admin || s.o.Verifier == nil && a != open) {
		asWrite := *r
		asWrite.Method = http.MethodPost // protection lets every GET through
		r = &asWrite
	}
	if protection.Check(r) == nil {
		return nil
	}
	return &problem{code: "origin-forbidden", field: "Origin",
		detail: "pages of other origins may neither write nor make expensive requests; " +
			"to allow this one, list it with --cors-origin"}
}
