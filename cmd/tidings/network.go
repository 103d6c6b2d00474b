package main

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// edgeFlags say by which names, from where and how often the server may be called.
type networkFlags struct {
	AllowHost    []string `help:"Name that clients may call the server by without a token in a header, beside localhost; repeatable." placeholder:"NAME"`
	CORSOrigin   []origin `name:"cors-origin" help:"Origin whose pages may call, such as https://app.example.com; repeatable." placeholder:"ORIGIN"`
	TrustedProxy []subnet `help:"Network of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; repeatable." placeholder:"CIDR"`

	RatePublish    perSecond `help:"Publish requests of each token, such as 100/s; without a key, of everybody together." placeholder:"N/s"`
	RateRead       perSecond `help:"The same for all other requests; a stream is one." placeholder:"N/s"`
	RatePerAddress bool      `help:"Hold each client address to these rates as well."`

	MaxStreams            int `default:"50000" help:"Streams at a time."`
	MaxStreamsPerToken    int `default:"1000" help:"Streams at a time with the same token."`
	MaxSubscriptionTopics int `default:"64" help:"Topics and patterns that one stream may name."`
}

func (e *networkFlags) validate() error {
	for _, f := range []struct {
		flag  string
		value int
	}{{"max-streams", e.MaxStreams}, {"max-streams-per-token", e.MaxStreamsPerToken},
		{"max-subscription-topics", e.MaxSubscriptionTopics}} {
		if f.value < 1 {
			return fmt.Errorf("--%s: expected 1 or more, got %d", f.flag, f.value)
		}
	}
	for _, name := range e.AllowHost {
		if name == "" || strings.ContainsAny(name, "*/@ ") {
			return fmt.Errorf("--allow-host: expected a name such as tidings.example.com, got %q",
				name)
		}
	}
	if e.RatePerAddress && e.RatePublish == 0 && e.RateRead == 0 {
		return errors.New("--rate-per-address: expected a rate too: --rate-publish or --rate-read")
	}
	return nil
}

func (e *networkFlags) proxies() []netip.Prefix {
	proxies := make([]netip.Prefix, len(e.TrustedProxy))
	for i, n := range e.TrustedProxy {
		proxies[i] = netip.Prefix(n)
	}
	return proxies
}

func (e *networkFlags) origins() []string {
	origins := make([]string, len(e.CORSOrigin))
	for i, o := range e.CORSOrigin {
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

// perSecond is a rate, such as 100/s or 0.5/s; 0 is no limit.
type perSecond float64

// UnmarshalText is called by kong.
func (p *perSecond) UnmarshalText(text []byte) error {
	number, unit := strings.CutSuffix(string(text), "/s")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !unit || n <= 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return fmt.Errorf("expected a rate above 0, such as 100/s, got %q", text)
	}
	*p = perSecond(n)
	return nil
}
