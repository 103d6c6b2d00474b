package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"tidings/api"
	"tidings/internal/auth"
	"tidings/internal/loopback"
)

// keyFlags decide which tokens are valid. Without a key, anyone may do anything.
type keyFlags struct {
	JWTKey          secret `help:"Key to verify tokens with: an HMAC secret of at least 32 bytes, or a PEM public key. Prefer the variable: command lines are visible to other users." placeholder:"KEY"`
	JWTKeyFile      string `help:"File with the key to verify tokens with, reloaded when it changes. With several HMAC secrets, one per line, all are accepted and the first one signs." type:"path" placeholder:"FILE"`
	JWKSURL         string `name:"jwks-url" help:"URL of a JSON Web Key Set with the keys to verify tokens with." placeholder:"URL"`
	JWTIssuer       string `help:"Require this issuer (iss) in tokens." placeholder:"NAME"`
	JWTAudience     string `help:"Require this audience (aud) in tokens." placeholder:"NAME"`
	CookieName      string `default:"tidings_token" help:"Name of the browser session cookie. Servers on one host need different names: browsers send cookies to every port and path of a host." placeholder:"NAME"`
	AllowQueryToken bool   `help:"Also accept a stream's token in the query parameter access_token, for clients that cannot send headers. Logs and browsers record URLs."`
	Insecure        bool   `help:"Without a key, allow listening beyond loopback and requests through a proxy. Anyone can then read and write."`
}

// given returns the flags that name a key.
func (k *keyFlags) given() (flags []string) {
	for _, f := range []struct{ flag, value string }{{"--jwt-key", string(k.JWTKey)},
		{"--jwt-key-file", k.JWTKeyFile}, {"--jwks-url", k.JWKSURL}} {
		if f.value != "" {
			flags = append(flags, f.flag)
		}
	}
	return flags
}

func (k *keyFlags) validate(listen string, proxied bool) error {
	given := k.given()
	switch {
	case (&http.Cookie{Name: k.CookieName}).Valid() != nil || strings.HasPrefix(k.CookieName, "__"):
		return fmt.Errorf("--cookie-name: expected the name of a cookie, such as tidings_8080, got %q",
			k.CookieName)
	case len(given) > 1:
		return fmt.Errorf("%s and %s: expected one key, got two", given[0], given[1])
	case len(given) == 1:
		return nil
	case k.JWTIssuer != "" || k.JWTAudience != "":
		return errors.New(
			"--jwt-issuer and --jwt-audience need a key, such as --jwt-key-file")
	case !k.Insecure && proxied:
		return errors.New("--trusted-proxy: without a key anyone who reaches the proxy could read " +
			`and write; set TIDINGS_JWT_KEY to what "openssl rand -base64 32" prints, or give ` +
			"--insecure if this is intended")
	case !k.Insecure && !loopback.IsAddress(listen):
		return fmt.Errorf(
			"--listen: %s is not loopback, and without a key anyone who reaches it could read and write; "+
				`set TIDINGS_JWT_KEY to what "openssl rand -base64 32" prints, or give `+
				`--insecure if this is intended`,
			listen)
	}
	return nil
}

// verifier returns nil without a key.
func (k *keyFlags) verifier(ctx context.Context, logger *slog.Logger) (api.Verifier, error) {
	given := k.given()
	if len(given) == 0 {
		return nil, nil
	}
	o := auth.Options{Key: []byte(k.JWTKey), JWKSURL: k.JWKSURL, Issuer: k.JWTIssuer,
		Audience: k.JWTAudience, Logger: logger}
	if k.JWTKeyFile != "" {
		file := &keyFile{path: k.JWTKeyFile, logger: logger}
		var err error
		if o.Key, err = file.read(); err != nil {
			return nil, usageError{fmt.Errorf("--jwt-key-file: %w", err)}
		}
		o.NewKey = file.changed
	}
	v, err := auth.NewVerifier(ctx, o)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", given[0], err)}
	}
	return v, nil
}

// keyFile is a file that only its owner should be able to read.
type keyFile struct {
	path   string
	logger *slog.Logger
	seen   fs.FileInfo // as of the last attempt to read it; nil if it did not exist
}

// changed returns the content of the file if it has changed since it was last read, else nil.
func (f *keyFile) changed() ([]byte, error) {
	now, err := os.Stat(f.path)
	if err != nil {
		now = nil
	}
	if sameFile(f.seen, now) {
		return nil, nil
	}
	return f.read()
}

func (f *keyFile) read() ([]byte, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		f.seen = nil
		return nil, err
	}
	f.seen = info
	warnIfOpen(f.path, f.logger)
	return os.ReadFile(f.path)
}

// warnIfOpen warns about a secret that others can read or replace. A group may read it: services are given secrets
// that way.
func warnIfOpen(path string, logger *slog.Logger) {
	info, err := os.Stat(path)
	if err != nil {
		return // whoever reads it reports that
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o004 != 0:
		logger.Warn("key file is world-readable", "file", path, "mode",
			mode.String())
	case mode&0o022 != 0:
		logger.Warn("other users can replace the key file", "file", path, "mode", mode.String())
	}
}
