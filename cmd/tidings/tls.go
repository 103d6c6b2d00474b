package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// tlsFlags name the certificate; without one the server speaks plain HTTP.
type tlsFlags struct {
	TLSCert string `help:"Certificate and chain, in PEM. Reloaded when it changes." type:"path" placeholder:"FILE"`
	TLSKey  string `help:"Private key of the certificate, in PEM. Reloaded when it changes." type:"path" placeholder:"FILE"`
}

func (t *tlsFlags) validate() error {
	if (t.TLSCert == "") != (t.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key: expected both or neither, got one")
	}
	return nil
}

func (t *tlsFlags) scheme() string {
	if t.TLSCert == "" {
		return "http"
	}
	return "https"
}

// config returns nil if no certificate is named.
func (t *tlsFlags) config(logger *slog.Logger) (*tls.Config, error) {
	if t.TLSCert == "" {
		return nil, nil
	}
	c := &certificate{files: [2]string{t.TLSCert, t.TLSKey}, logger: logger}
	if err := c.renew(); err != nil {
		return nil, usageError{fmt.Errorf("--tls-cert and --tls-key: %w", err)}
	}
	warnIfOpen(t.TLSKey, logger)
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, CipherSuites: suites,
		NextProtos: []string{"h2", "http/1.1"}}, nil
}

// suites are the TLS 1.2 suites that RFC 9325 §4.2 recommends; Go's own list includes CBC suites. TLS 1.3 has no
// others.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// certificate holds the last good content of the two files. It checks them for each new connection, which costs
// little beside the handshake.
type certificate struct {
	files  [2]string
	logger *slog.Logger

	mu     sync.Mutex
	seen   [2]fs.FileInfo // as of the last attempt
	loaded *tls.Certificate
}

// get is tls.Config.GetCertificate. If the files do not match, because one was replaced before the other, it keeps
// the old certificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.renew(); err != nil {
		c.logger.Warn("reloading the certificate failed, keeping the old one", "error", err)
	}
	return c.loaded, nil
}

// renew reads the files if they have changed since the last read.
func (c *certificate) renew() error {
	changed := false
	for i, path := range c.files {
		now, err := os.Stat(path)
		if err != nil {
			now = nil
		}
		if !sameFile(c.seen[i], now) || c.loaded == nil {
			changed = true
		}
		c.seen[i] = now
	}
	if !changed {
		return nil
	}
	loaded, err := tls.LoadX509KeyPair(c.files[0], c.files[1])
	if err != nil {
		return err
	}
	if now := time.Now(); now.After(loaded.Leaf.NotAfter) {
		c.logger.Warn("the certificate has expired", "file", c.files[0], "not_after",
			loaded.Leaf.NotAfter)
	}
	c.loaded = &loaded
	return nil
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
