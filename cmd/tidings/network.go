package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// networkFlags define where the server listens, and by which names and from where it may be called.
type networkFlags struct {
	Listen          string        `default:"127.0.0.1:8080" help:"Address to listen on; port 0 picks a free port."`
	AllowHost       []string      `help:"Accept this Host name on requests without an Authorization header (localhost always is). Repeatable." placeholder:"NAME"`
	CORSOrigin      []origin      `name:"cors-origin" help:"Allow pages of this origin to call the API, e.g. https://app.example.com. Repeatable." placeholder:"ORIGIN"`
	TrustedProxy    []subnet      `help:"Trust X-Forwarded-For and X-Forwarded-Proto from this network. Repeatable." placeholder:"CIDR"`
	IdleTimeout     time.Duration `default:"620s" help:"Close a connection after this long without a request. Must exceed your load balancer's own timeout."`
	ShutdownTimeout time.Duration `default:"9s" help:"Grace period for streams and publishes on SIGTERM."`
}

func (n *networkFlags) validate() error {
	if err := checkAddress("listen", n.Listen); err != nil {
		return err
	}
	for _, name := range n.AllowHost {
		if name == "" || strings.ContainsAny(name, "*/@ ") {
			return fmt.Errorf("--allow-host: expected a name such as tidings.example.com, got %q",
				name)
		}
	}
	return cmp.Or(positive("idle-timeout", n.IdleTimeout),
		positive("shutdown-timeout", n.ShutdownTimeout))
}

// listenOn listens on the address of a flag. An error that may pass, such as an address that another process still
// holds or that the machine does not have yet, is not a wrong setting: after its exit code supervisors restart the
// process.
func listenOn(flag, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	var wrong *net.AddrError
	switch {
	case err == nil:
		return listener, nil
	case errors.As(err, &wrong), errors.Is(err, fs.ErrPermission):
		return nil, usageError{fmt.Errorf("--%s: %w", flag, err)}
	}
	return nil, fmt.Errorf("--%s: %w", flag, err)
}

// checkAddress refuses anything that is not an address to listen on.
func checkAddress(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("--%s: expected HOST:PORT, got %q", flag, address)
	}
	return nil
}

// reachable returns where a client on this machine finds a server that listens on the address: a listener on all
// interfaces, dual-stack ones included, accepts connections to 127.0.0.1.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip, notIP := netip.ParseAddr(host); err == nil && (host == "" ||
		notIP == nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// positive refuses a time-out or an interval that is not above 0.
func positive(flag string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("--%s: expected a duration above 0, got %v", flag, d)
	}
	return nil
}

// hosts returns the names that clients may call the server by: those of --allow-host, and the one in --listen.
func (n *networkFlags) hosts() []string {
	host, _, _ := net.SplitHostPort(n.Listen) // validate has checked it
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return n.AllowHost // the address of a connection is always allowed
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

// origin is a web origin as browsers send it (RFC 6454 §6.2). "*" and "null" are refused: with the first every site
// could use a visitor's cookie, and any sandboxed page sends the second.
type origin string

// UnmarshalText is called by kong. Apps in a native shell have their own schemes, such as capacitor://localhost.
func (o *origin) UnmarshalText(text []byte) error {
	lower := strings.ToLower(string(text))
	u, err := url.Parse(lower)
	if err != nil || u.Hostname() == "" || lower != u.Scheme+"://"+u.Host ||
		u.Scheme == "file" || strings.ContainsAny(u.Host, "*%,") {
		return fmt.Errorf("expected an origin such as https://app.example.com, got %q", text)
	}
	host, err := originHost(u.Hostname())
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	port := u.Port()
	if strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("expected a port after the colon, got %q", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return fmt.Errorf("expected a port of 1 to 65535, got %q", text)
	}
	if port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		host += ":" + strings.TrimLeft(port, "0")
	}
	*o = origin(u.Scheme + "://" + host)
	return nil
}

// originHost writes a host as browsers do (URL §3.5): an IPv6 address in its shortest form.
func originHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return "[" + addr.String() + "]", nil
	}
	if strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }) {
		return "", errors.New("browsers send such a name in its ASCII form (xn--...); " +
			"use that form")
	}
	return host, nil
}

// subnet is a range of addresses, such as 10.0.0.0/8, or a single address.
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
