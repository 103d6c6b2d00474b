package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// networkFlags say where the server listens, and by which names and from where it may be called.
type networkFlags struct {
	Listen          string        `default:"127.0.0.1:8080" help:"Address to listen on; port 0 takes any free one."`
	AllowHost       []string      `help:"Name that clients may call the server by without a token in a header, beside localhost; repeatable." placeholder:"NAME"`
	CORSOrigin      []origin      `name:"cors-origin" help:"Origin whose pages may call, such as https://app.example.com; repeatable." placeholder:"ORIGIN"`
	TrustedProxy    []subnet      `help:"Network of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; repeatable." placeholder:"CIDR"`
	ShutdownTimeout time.Duration `default:"10s" help:"Time for streams and publishes to end on SIGTERM."`
}

func (n *networkFlags) validate() error {
	if _, _, err := net.SplitHostPort(n.Listen); err != nil {
		return fmt.Errorf("--listen: expected HOST:PORT, got %q", n.Listen)
	}
	for _, name := range n.AllowHost {
		if name == "" || strings.ContainsAny(name, "*/@ ") {
			return fmt.Errorf("--allow-host: expected a name such as tidings.example.com, got %q",
				name)
		}
	}
	return positive("shutdown-timeout", n.ShutdownTimeout)
}

// positive refuses a time-out or interval that is none.
func positive(flag string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("--%s: expected a duration above 0, got %v", flag, d)
	}
	return nil
}

// hosts returns the names that clients may call the server by: those of --allow-host, and the one
// in --listen.
func (n *networkFlags) hosts() []string {
	host, _, _ := net.SplitHostPort(n.Listen) // validate has checked it
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return n.AllowHost // the address of a connection is allowed by itself
	}
	return append([]string{host}, n.AllowHost...)
}

func (n *networkFlags) proxies() []netip.Prefix {
	proxies := make([]netip.Prefix, len(n.TrustedProxy))
	for i, proxy := range n.TrustedProxy {
		proxies[i] = netip.Prefix(proxy)
	}
	return proxies
}

func (n *networkFlags) origins() []string {
	origins := make([]string, len(n.CORSOrigin))
	for i, o := range n.CORSOrigin {
		origins[i] = string(o)
	}
	return origins
}

// origin is a web origin as browsers send it (RFC 6454 §6.2). Neither "*" nor "null" is one: with
// the first every site could use a visitor's cookie, and the second is what any sandboxed page
// sends.
type origin string

// UnmarshalText is called by kong.
func (o *origin) UnmarshalText(text []byte) error {
	lower := strings.ToLower(string(text))
	err := http.NewCrossOriginProtection().AddTrustedOrigin(lower)
	if err != nil || !strings.HasPrefix(lower, "https://") &&
		!strings.HasPrefix(lower, "http://") || strings.Contains(lower, "*") {
		return fmt.Errorf("expected an origin such as https://app.example.com, got %q", text)
	}
	scheme, _, _ := strings.Cut(lower, ":")
	// browsers leave it out
	*o = origin(strings.TrimSuffix(lower,
		map[string]string{"https": ":443", "http": ":80"}[scheme]))
	return nil
}

// subnet is a range of addresses, such as 10.0.0.0/8, or one address.
type subnet netip.Prefix

// UnmarshalText is called by kong.
func (n *subnet) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if addr, notOne := netip.ParseAddr(string(text)); notOne == nil {
		prefix, err = addr.Prefix(addr.BitLen())
	}
	if err != nil {
		return fmt.Errorf("expected a network such as 10.0.0.0/8, or an address, got %q", text)
	}
	*n = subnet(prefix)
	return nil
}
