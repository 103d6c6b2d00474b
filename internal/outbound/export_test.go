package outbound

import "net"

// Resolving makes g resolve names by r.
func (g *Guard) Resolving(r *net.Resolver) *Guard {
	g.resolver = r
	return g
}
