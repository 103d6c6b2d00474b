package outbound_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"tidings/internal/outbound"
)

// refused are addresses of each special kind, including the ends of ranges.
var refused = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.3",
	"169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192",
	"192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.7",
	"203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
	"::", "::1", "::127.0.0.1", "::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:a00:1", "::ffff:169.254.169.254",
	"::ffff:0:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::1",
	"64:ff9b:1:fffe::7f00:1", "100::1", "100:0:0:1::1", "2001::1", "2001:0:7f00:1::1", "2001:2::1", "2001:10::1",
	"2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "3fff:fff::1",
	"5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
	"2a00:1450::5efe:7f00:1", "2a00:1450::200:5efe:a00:1", "4000::1", "1fff::1", "2606:4700::1%lo",
}

var public = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
	"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255",
	"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "2606:4700:4700::1111",
	"2001:200::1", "2001:4860:4860::8888", "2a00:1450:4001::1", "2003::1",
}

func urlOf(address string) string {
	if strings.Contains(address, ":") {
		address = "[" + strings.ReplaceAll(address, "%", "%25") + "]" // RFC 6874
	}
	return "https://" + address + "/hook"
}

// TestAddresses checks what is refused, and that each refusal names the flag that allows just that.
func TestAddresses(t *testing.T) {
	for _, address := range refused {
		_, err := outbound.New(outbound.Options{}).CheckURL(urlOf(address))
		var refusal *outbound.Refused
		if !errors.As(err, &refusal) {
			t.Errorf("%s: %v, want a refusal", address, err)
			continue
		}
		text, ok := strings.CutPrefix(refusal.Flag, "--deliver-to ")
		prefix, err := netip.ParsePrefix(text)
		if !ok || err != nil || prefix.Bits() != prefix.Addr().BitLen() ||
			!strings.Contains(refusal.Error(), refusal.Flag) {
			t.Errorf("%s: the refusal %q names the flag %q", address, refusal, refusal.Flag)
			continue
		}
		_, err = outbound.New(outbound.Options{Allow: []netip.Prefix{prefix}}).CheckURL(urlOf(address))
		if allowed := !strings.Contains(address, "%"); (err == nil) != allowed {
			t.Errorf("%s with --deliver-to %s: %v, allowed %v", address, prefix, err, allowed)
		}
	}
	for _, address := range public {
		if _, err := outbound.New(outbound.Options{}).CheckURL(urlOf(address)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	inside := outbound.New(outbound.Options{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for address, allowed := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": true,
		"127.0.0.1": false, "64:ff9b::10.1.2.3": false, "2002:a01:203::1": false, "::10.1.2.3": false} {
		if _, err := inside.CheckURL(urlOf(address)); (err == nil) != allowed {
			t.Errorf("%s with --deliver-to 10.0.0.0/8: %v, allowed %v", address, err, allowed)
		}
	}
}

// TestPush: the guard for URLs that readers name refers to its own flag.
func TestPush(t *testing.T) {
	g := outbound.New(outbound.Options{Push: true})
	for url, flag := range map[string]string{"https://10.1.2.3/": "--push-to 10.1.2.3/32",
		"http://push.example.com/": ""} {
		var refusal *outbound.Refused
		if _, err := g.CheckURL(url); !errors.As(err, &refusal) || refusal.Flag != flag {
			t.Errorf("%s: %v, want a refusal that names %q", url, err, flag)
		}
	}
}

func TestURLs(t *testing.T) {
	g := outbound.New(outbound.Options{})
	for _, bad := range []string{"", "shop.example.com", "ftp://shop.example.com/", "https://", "https:///path",
		"https://user:secret@shop.example.com/", "https://shop.example.com/#part", "https://shop.example.com:x/",
		"https://shop.example.com/" + strings.Repeat("x", 2048), "file:///etc/passwd", "https://a\r\nb/"} {
		if _, err := g.CheckURL(bad); !errors.Is(err, outbound.ErrURL) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.60q: %v, want ErrURL", bad, err)
		}
	}
	var refusal *outbound.Refused
	if _, err := g.CheckURL("http://shop.example.com/"); !errors.As(err, &refusal) ||
		refusal.Flag != "--deliver-http" {
		t.Errorf("http: %v, want a refusal that names --deliver-http", err)
	}
	for _, good := range []string{"https://shop.example.com", "https://shop.example.com:8443/a?b=c"} {
		if _, err := g.CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// TestDial: the address is checked when it is dialled, whatever the name was a moment ago, and no redirect leads
// elsewhere.
func TestDial(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("Location", "http://127.0.0.2/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	at := netip.MustParseAddrPort(server.Listener.Addr().String())
	names := &dns{t: t}
	post := func(o outbound.Options) error {
		o.HTTP = true
		client := outbound.New(o).Resolving(names.resolver()).Client()
		defer client.CloseIdleConnections()
		resp, err := client.Post("http://shop.example.com:"+strings.Split(server.URL, ":")[2], "", nil)
		if err == nil {
			if resp.Body.Close(); resp.StatusCode != http.StatusTemporaryRedirect {
				t.Errorf("status %d, want the redirect itself", resp.StatusCode)
			}
		}
		return err
	}
	for _, c := range []struct {
		what    string
		answer  []string
		o       outbound.Options
		reached bool
	}{
		{"an allowed address", []string{"127.0.0.1"}, outbound.Options{Allow: loopback}, true},
		{"the same name, rebound", []string{"127.0.0.2"}, outbound.Options{Allow: loopback}, false},
		{"one of two addresses", []string{"127.0.0.2", "127.0.0.1"}, outbound.Options{Allow: loopback}, true},
		{"nothing allowed", []string{"127.0.0.1"}, outbound.Options{}, false},
		{"the unspecified address", []string{"0.0.0.0"}, outbound.Options{Allow: loopback}, false},
		{"its own listener", []string{"127.0.0.1"},
			outbound.Options{Allow: loopback, Own: []netip.AddrPort{at}}, false},
		{"its own listener, of every address", []string{"127.0.0.1"}, outbound.Options{Allow: loopback,
			Own: []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())}}, false},
		{"the port of another", []string{"127.0.0.1"}, outbound.Options{Allow: loopback,
			Own: []netip.AddrPort{netip.AddrPortFrom(at.Addr(), at.Port()-1)}}, true},
	} {
		names.answer.Store(&c.answer)
		before := calls.Load()
		err := post(c.o)
		var refusal *outbound.Refused
		if reached := calls.Load() > before; reached != c.reached || (err == nil) != c.reached ||
			!c.reached && !errors.As(err, &refusal) {
			t.Errorf("%s: %v, reached %v, want %v", c.what, err, reached, c.reached)
		}
	}
}

// TestProxy: a proxy of the environment is used only if configured.
func TestProxy(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		transport := outbound.New(outbound.Options{Proxy: allowed}).Client().Transport.(*http.Transport)
		if uses := transport.Proxy != nil; uses != allowed {
			t.Errorf("proxy allowed %v: used %v", allowed, uses)
		}
	}
}

// dns answers every question for an IPv4 address with answer.
type dns struct {
	t      *testing.T
	answer atomic.Pointer[[]string]
}

func (d *dns) resolver() *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	go func() {
		question := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(question)
			if err != nil {
				return
			}
			conn.WriteTo(d.reply(question[:n]), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// reply implements a bit of RFC 1035 §4.1.
func (d *dns) reply(question []byte) []byte {
	end := 12
	for question[end] != 0 {
		end += 1 + int(question[end])
	}
	kind := binary.BigEndian.Uint16(question[end+1:])
	reply := append([]byte{}, question[:end+5]...)
	reply[2], reply[3] = 0x81, 0x80 // an answer
	clear(reply[6:12])
	if kind != 1 {
		return reply
	}
	for _, address := range *d.answer.Load() {
		reply[7]++
		ip := netip.MustParseAddr(address).As4()
		reply = append(append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip[:]...)
	}
	return reply
}
