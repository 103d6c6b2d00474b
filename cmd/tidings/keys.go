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

// keyFlags say which tokens count. Without a key everybody may do everything.
type keyFlags struct {
	JWTKey          secret `help:"Key that tokens are verified with: an HMAC secret of 32 bytes or more, or a PEM public key. Better given by its variable, for processes show their flags." placeholder:"KEY"`
	JWTKeyFile      string `help:"File with that key, read again when it changes; of several HMAC secrets, one a line, the first makes tokens and all count." type:"path" placeholder:"FILE"`
	JWKSURL         string `name:"jwks-url" help:"Address of a JSON Web Key Set with those keys." placeholder:"URL"`
	JWTIssuer       string `help:"Issuer that a token must name (iss)." placeholder:"NAME"`
	JWTAudience     string `help:"Audience that a token must name (aud)." placeholder:"NAME"`
	CookieName      string `default:"tidings_token" help:"Name of the cookie that a browser's session is in; browsers do not tell ports or paths apart, so servers on one host need one each." placeholder:"NAME"`
	AllowQueryToken bool   `help:"Take a stream's token from access_token in its query too, for clients that can send no header; logs and browsers keep addresses."`
	Insecure        bool   `help:"Without a key, listen on an address that is not loopback, and answer what comes through a proxy, for everybody to read and write."`
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
			"--jwt-issuer and --jwt-audience: expected a key too, such as --jwt-key-file")
	case !k.Insecure && proxied:
		return errors.New("--trusted-proxy: without a key everybody who reaches the proxy could read " +
			`and write; set TIDINGS_JWT_KEY to what "openssl rand -base64 32" prints, or give ` +
			"--insecure if that is meant")
	case !k.Insecure && !loopback.IsAddress(listen):
		return fmt.Errorf(
			"--listen: %s is not loopback, and without a key everybody who reaches it could read and write; "+
				`set TIDINGS_JWT_KEY to what "openssl rand -base64 32" prints, or give `+
				`--insecure if that is meant`,
			listen)
	}
	return nil
}

// verifier returns nil when there is no key.
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
	seen   fs.FileInfo // of the last attempt to read it; nil when it was not there
}

// changed returns what the file has if it is not the one that was read last, else nil.
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

// warnIfOpen warns about a secret that others can read or replace. A group may read it: that is how
// services are given one.
func warnIfOpen(path string, logger *slog.Logger) {
	info, err := os.Stat(path)
	if err != nil {
		return // whoever reads it says so
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o004 != 0:
		logger.Warn("everybody on this machine can read the key", "file", path, "mode",
			mode.String())
	case mode&0o022 != 0:
		logger.Warn("others can replace the key", "file", path, "mode", mode.String())
	}
}
