package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"tidings/internal/e2e"
	"time"
)

// writePair creates a certificate with the given serial number and replaces the files.
func writePair(t *testing.T, certFile, keyFile string, serial int64, until time.Time) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   until.Add(-2 * time.Hour), NotAfter: until,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template,
		private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	replace(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// replace does what programs do that renew certificates.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// serial completes a handshake on a new connection and returns the certificate's serial number.
func serial(t *testing.T, url string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"),
		&tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestTLS: HTTP/2 or HTTP/1.1, as the client supports, and a certificate that is renewed without a restart.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, 1, time.Now().Add(time.Hour))
	var log e2e.Output
	url := servingTo(t, &log, "--data-dir", t.TempDir(), "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(url, "https://") {
		t.Fatalf("listens on %s", url)
	}
	for version, want := range map[int]func(*http.Protocols){1: func(
		p *http.Protocols) {
		p.SetHTTP1(true)
	}, 2: func(p *http.Protocols) { p.SetHTTP2(true) }} {
		protocols := new(http.Protocols)
		want(protocols)
		transport := &http.Transport{Protocols: protocols,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		r, err := http.NewRequestWithContext(context.Background(), "GET", url+"/v1/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.ProtoMajor != version || resp.StatusCode != 200 {
			t.Errorf("HTTP/%d: %s %s", version, resp.Proto, resp.Status)
		}
		resp.Body.Close()
		transport.CloseIdleConnections()
	}

	writePair(t, cert, key, 2, time.Now().Add(time.Hour))
	if got := serial(t, url); got != 2 {
		t.Errorf("after renewal: certificate %d, want 2", got)
	}
	replace(t, cert, []byte("half a certificate"))
	for range 3 {
		if got := serial(t, url); got != 2 {
			t.Errorf("with a broken file: certificate %d, want 2", got)
		}
	}
	logged := func(text string) { // lines are written after the event they report
		t.Helper()
		e2e.Eventually(t, "a line that says "+text, func() bool {
			return strings.Contains(log.String(), text)
		})
	}
	logged("keeping the old one")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if got := serial(t, url); got != 2 {
		t.Errorf("without a file: certificate %d, want 2", got)
	}
	writePair(t, cert, key, 3, time.Now().Add(-time.Minute))
	if got := serial(t, url); got != 3 {
		t.Errorf("after that: certificate %d, want 3", got)
	}
	logged("expired")
	if got := strings.Count(log.String(), "keeping the old one"); got != 2 {
		t.Errorf("warned %d times, want once of the broken file and once of the missing one:\n%s", got, log.String())
	}
}

// TestServeWithKey: with a key the server requires tokens, which the verbs can create and send.
func TestServeWithKey(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte("fD0aVn8yqZ2sXw4mKc7uJr1pTgEoLhBi\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(keyFile, 0o644); err != nil { // whatever the umask
		t.Fatal(err)
	}
	var log e2e.Output
	url := servingTo(t, &log, "--data-dir", t.TempDir(), "--jwt-key-file", keyFile, "--jwt-issuer",
		"shop", "--jwt-audience", "tidings", "--listen", "0.0.0.0:0")
	url = strings.Replace(strings.Replace(url, "0.0.0.0", "127.0.0.1", 1), "[::]", "127.0.0.1", 1)
	e2e.Eventually(t, "a warning about the key's file", func() bool { // which is written after the start
		return strings.Contains(log.String(), "key file is world-readable")
	})
	token := func(args ...string) string {
		args = append([]string{"token", "--jwt-key-file", keyFile, "--publish", "orders",
			"--issuer", "shop"}, args...)
		return strings.TrimSpace(runCLI(t, args...).ended(t, exitOK).stdout)
	}
	publish := func(args ...string) outcome {
		return runCLI(t, append([]string{"publish", "--url", url}, args...)...)
	}
	publish("orders", "1").want(t, exitFailure, "", "401")
	publish("--token", token(), "orders", "1").want(t, exitFailure, "", "401")
	good := token("--audience", "tidings")
	publish("--token", good, "orders", "1").ended(t, exitOK)
	publish("--token", good, "tickets", "1").want(t, exitFailure, "", "403")
	runCLI(t, "health", "--url", url).ended(t, exitOK)
}

// TestServeInsecure: open to everyone, on purpose.
func TestServeInsecure(t *testing.T) {
	url := serving(t, "--data-dir", t.TempDir(), "--listen", "0.0.0.0:0", "--insecure")
	url = strings.Replace(strings.Replace(url, "0.0.0.0", "127.0.0.1", 1), "[::]", "127.0.0.1", 1)
	runCLI(t, "publish", "--url", url, "orders", "1").ended(t, exitOK)
}

// TestCipherSuites: a TLS 1.2 client that supports only CBC suites is refused.
func TestCipherSuites(t *testing.T) {
	dir := t.TempDir()
	flags := tlsFlags{TLSCert: filepath.Join(dir, "cert"), TLSKey: filepath.Join(dir, "key")}
	writePair(t, flags.TLSCert, flags.TLSKey, 1, time.Now().Add(time.Hour))
	config, err := flags.config(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, suite := range tls.CipherSuites() {
		if suite.SupportedVersions[0] > tls.VersionTLS12 ||
			!strings.Contains(suite.Name, "ECDSA") { // of the certificate's kind
			continue
		}
		client, server := net.Pipe()
		shaken := make(chan error, 1)
		go func() {
			shaken <- tls.Server(server, config).Handshake()
			server.Close()
		}()
		err := tls.Client(client, &tls.Config{InsecureSkipVerify: true,
			MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}}).Handshake()
		if taken := err == nil; taken == strings.Contains(suite.Name, "CBC") {
			t.Errorf("%s: %v", suite.Name, err)
		}
		client.Close()
		<-shaken
	}
}
