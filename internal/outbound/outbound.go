// Package outbound makes the server's own requests, only to addresses that an administrator configured, and of those
// only to permitted ones.
//
//	client := outbound.New(outbound.Options{Allow: prefixes}).Client()
//
// Refusal is decided when a connection is made, by the address that the name has resolved to by then: a name that
// resolves to another address a moment later gets nowhere either.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Options configures New. The zero value allows only HTTPS to public addresses.
type Options struct {
	Allow []netip.Prefix   // addresses that may be reached though not public
	HTTP  bool             // allow http:// too
	Proxy bool             // use the proxies of the environment; they check no address
	Own   []netip.AddrPort // listeners of this server, which are never reached
	Push  bool             // for push services, which readers name: refusals name their own flag
}

// Guard decides which requests get out. It may be used concurrently.
type Guard struct {
	o        Options
	resolver *net.Resolver // nil: the system's
}

// New returns a Guard.
func New(o Options) *Guard { return &Guard{o: o} }

const (
	dialTimeout  = 10 * time.Second
	tlsTimeout   = 10 * time.Second
	idleTimeout  = 90 * time.Second // for an idle connection
	idlePerHost  = 64               // idle connections kept
	idleInAll    = 1024
	maxHeader    = 64 << 10
	maxURLLength = 2048
)

// Client returns a client that follows no redirects and connects to no refused address.
func (g *Guard) Client() *http.Client {
	t := &http.Transport{
		DialContext:       g.Dial,
		ForceAttemptHTTP2: true, TLSHandshakeTimeout: tlsTimeout,
		MaxIdleConns: idleInAll, MaxIdleConnsPerHost: idlePerHost, IdleConnTimeout: idleTimeout,
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	if g.o.Proxy {
		t.Proxy = http.ProxyFromEnvironment
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// Dial connects to an address unless it is refused. It uses no proxy.
func (g *Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Resolver: g.resolver, Control: g.control}
	return d.DialContext(ctx, network, address)
}

// ErrURL is wrapped by those errors of CheckURL that no flag changes.
var ErrURL = errors.New("expected a URL such as https://shop.example.com/hooks")

// CheckURL parses the URL of a receiver. What its host resolves to is checked when it is dialled. Errors: ErrURL, and a
// *Refused.
func (g *Guard) CheckURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURLLength:
		return nil, fmt.Errorf("%w, of at most %d bytes", ErrURL, maxURLLength)
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, ErrURL // the text may hold a secret
	case u.User != nil:
		return nil, fmt.Errorf("%w, without a user and a password", ErrURL)
	case u.Fragment != "":
		return nil, fmt.Errorf("%w, without a fragment", ErrURL)
	case u.Scheme == "http" && !g.o.HTTP:
		refused := &Refused{what: "http:// is refused because anyone on the network path could read and change the " +
			"messages"}
		if !g.o.Push {
			refused.Flag = "--deliver-http"
		}
		return nil, refused
	}
	return u, g.checkHost(u)
}

// ErrMailURL is the error of CheckMailURL that no flag changes.
var ErrMailURL = errors.New("expected a mail server such as smtps://mail.example.com, or smtp:// if it has STARTTLS")

// CheckMailURL parses the URL of a mail server. Errors: ErrMailURL, and a *Refused.
func (g *Guard) CheckMailURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURLLength || u.Scheme != "smtps" && u.Scheme != "smtp" || u.Hostname() == "" ||
		u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, ErrMailURL
	}
	return u, g.checkHost(u)
}

// checkHost returns a *Refused if the host is an address that may not be reached.
func (g *Guard) checkHost(u *url.URL) error {
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil
	}
	return g.check(netip.AddrPortFrom(addr, Port(u)))
}

// Port is the port of a URL that CheckURL or CheckMailURL accepts: its scheme's default if it names none.
func Port(u *url.URL) uint16 {
	if p, err := net.LookupPort("tcp", u.Port()); err == nil && u.Port() != "" {
		return uint16(p)
	}
	return map[string]uint16{"http": 80, "https": 443, "smtp": 587, "smtps": 465}[u.Scheme]
}

// Refused is the error for an address that may not be reached.
type Refused struct {
	what string
	Flag string // of serve that allows it, with its value; "" if none does
}

func (r *Refused) Error() string {
	if r.Flag == "" {
		return r.what
	}
	return r.what + "; serve with " + r.Flag + " to allow it"
}

// control is called with each address before connecting to it.
func (g *Guard) control(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return &Refused{what: fmt.Sprintf("%s address %s is refused", network, address)}
	}
	return g.check(at)
}

// check returns a *Refused unless the address may be reached.
func (g *Guard) check(at netip.AddrPort) error {
	addr := at.Addr().Unmap()
	if g.isOwn(netip.AddrPortFrom(addr, at.Port())) {
		return &Refused{what: fmt.Sprintf("%s is this server itself", at)}
	}
	what := special(addr)
	if what == "" {
		return nil
	}
	if addr.Zone() == "" {
		for _, p := range g.o.Allow {
			if p.Contains(addr) {
				return nil
			}
		}
	}
	flag := "--deliver-to "
	if g.o.Push {
		flag = "--push-to "
	}
	return &Refused{fmt.Sprintf("%s is refused: it is %s", addr, what),
		flag + netip.PrefixFrom(addr.WithZone(""), addr.BitLen()).String()}
}

// isOwn reports whether this server listens there.
func (g *Guard) isOwn(at netip.AddrPort) bool {
	for _, own := range g.o.Own {
		listens := own.Addr().Unmap()
		if own.Port() == at.Port() && (listens == at.Addr() || listens.IsUnspecified() && isLocal(at.Addr())) {
			return true
		}
	}
	return false
}

// isLocal reports whether the address belongs to this machine, or may.
func isLocal(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	all, err := net.InterfaceAddrs()
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == addr.WithZone("") {
			return true
		}
	}
	return err != nil
}
