package clients_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// proxy is a reverse proxy with its configuration in deploy/, in which the tests change names and ports.
type proxy struct {
	name  string
	start func(t *testing.T, o proxyOptions) *runningProxy
}

var proxies = []proxy{{"nginx", startNginx}, {"Caddy", startCaddy}}

// proxyOptions are the values that the tests fill in.
type proxyOptions struct {
	upstream    string // host and port of the server
	readTimeout string // replaces the configuration's, if not empty
}

// runningProxy is a proxy that listens for TLS.
type runningProxy struct {
	addr    string
	version string
	clients net.IP // where its clients connect from
	cert    certificate
	reload  func(t *testing.T) // as an operator does
	// endsStreams reports that a reload ends the old streams after a while.
	endsStreams bool
}

// proxyURL is the URL at which clients reach the server.
const proxyURL = "https://" + siteName

// client returns a client that resolves siteName to the proxy, and speaks only this version of HTTP.
func (p *runningProxy) client(t *testing.T, major int) (context.Context, *http.Client) {
	t.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: p.clients}}
			return dialer.DialContext(ctx, network, p.addr)
		},
		TLSClientConfig:    &tls.Config{RootCAs: p.cert.pool},
		Protocols:          new(http.Protocols),
		DisableCompression: true,
	}
	transport.Protocols.SetHTTP1(major == 1)
	transport.Protocols.SetHTTP2(major == 2)
	ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
	t.Cleanup(func() { cancel(); transport.CloseIdleConnections() })
	return ctx, &http.Client{Transport: onlyVersion{major, transport}}
}

// onlyVersion fails if another version of HTTP is spoken.
type onlyVersion struct {
	major int
	next  http.RoundTripper
}

func (o onlyVersion) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := o.next.RoundTrip(r)
	if err == nil && resp.ProtoMajor != o.major {
		resp.Body.Close()
		return nil, fmt.Errorf("the proxy speaks %s, want version %d", resp.Proto, o.major)
	}
	return resp, err
}

// configure copies a configuration to a file and replaces in it each first string with the one after it. A missing
// string ends the test: it would test something else.
func configure(t *testing.T, from, to string, replacements ...string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(string(content), replacements[i]) {
			t.Fatalf("%s does not contain %q", from, replacements[i])
		}
	}
	text := strings.NewReplacer(replacements...).Replace(string(content))
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
