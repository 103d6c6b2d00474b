package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"tidings/internal/loopback"
)

// healthTimeout is below the 30 s that container engines give a health check.
const healthTimeout = 5 * time.Second

// healthCmd checks that the server is alive, not that it accepts writes: a supervisor would restart it, which does
// not help against a full disk and cuts every stream.
type healthCmd struct {
	URL   *baseURL `name:"url" help:"URL of the server (default: where serve listens, by its variables, so that container health checks need no arguments)."`
	Token bearer   `help:"Bearer token, sent only with --url; empty sends none." placeholder:"JWT"`
}

// Run does not verify the certificate of a server on this machine, or at the address that serve listens on: it is
// for another name, and nothing sent or received is secret.
func (c *healthCmd) Run(ctx context.Context, app *app, env environment) error {
	from, transport := client{Token: c.Token}, app.transport
	if c.URL != nil {
		from.URL = *c.URL
	} else if err := from.URL.ofServe(env); err != nil {
		return usageError{err}
	} else {
		from.Token = ""
	}
	if c.URL == nil || loopback.IsHost(from.URL.url.Hostname()) {
		transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := from.request(ctx, http.MethodGet, nil, "healthz")
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport,
		CheckRedirect: app.httpClient().CheckRedirect}).Do(req)
	if err != nil {
		return fmt.Errorf("not healthy: %w", shorten(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %w", readProblem(resp))
	}
	return nil
}

// ofServe sets the URL of a server that is configured by these variables.
func (b *baseURL) ofServe(env environment) error {
	host, port, err := net.SplitHostPort(cmp.Or(env["TIDINGS_LISTEN"], "127.0.0.1:8080"))
	if err != nil {
		return fmt.Errorf("TIDINGS_LISTEN: expected HOST:PORT, got %q", env["TIDINGS_LISTEN"])
	}
	if port == "0" {
		return errors.New("TIDINGS_LISTEN has no fixed port: expected --url")
	}
	t := tlsFlags{TLSCert: env["TIDINGS_TLS_CERT"]}
	b.url = &url.URL{Scheme: t.scheme(), Host: reachable(net.JoinHostPort(host, port))}
	return nil
}
