package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"tidings/api"
	"tidings/internal/auth"
	"tidings/internal/loopback"
)

// keyFlags say which tokens count. Without a key everybody may do everything.
type keyFlags struct {
	JWTKey      secret `help:"Key that tokens are verified with: an HMAC secret of 32 bytes or more, or a PEM public key. Better given by its variable, for processes show their flags." placeholder:"KEY"`
	JWTKeyFile  string `help:"File with that key." type:"path" placeholder:"FILE"`
	JWKSURL     string `name:"jwks-url" help:"Address of a JSON Web Key Set with those keys." placeholder:"URL"`
	JWTIssuer   string `help:"Issuer that a token must name (iss)." placeholder:"NAME"`
	JWTAudience string `help:"Audience that a token must name (aud)." placeholder:"NAME"`
	Insecure    bool   `help:"Without a key, listen on an address that is not loopback, for everybody to read and write."`
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

func (k *keyFlags) validate(listen string) error {
	given := k.given()
	switch {
	case len(given) > 1:
		return fmt.Errorf("%s and %s: expected one key, got two", given[0], given[1])
	case len(given) == 1:
		return nil
	case k.JWTIssuer != "" || k.JWTAudience != "":
		return errors.New(
			"--jwt-issuer and --jwt-audience: expected a key too, such as --jwt-key-file")
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
	key := []byte(k.JWTKey)
	if k.JWTKeyFile != "" {
		var err error
		if key, err = readKey(k.JWTKeyFile, logger); err != nil {
			return nil, usageError{fmt.Errorf("--jwt-key-file: %w", err)}
		}
	}
	v, err := auth.NewVerifier(ctx, auth.Options{Key: key, JWKSURL: k.JWKSURL, Issuer: k.JWTIssuer,
		Audience: k.JWTAudience, Logger: logger})
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", given[0], err)}
	}
	return v, nil
}

// readKey reads a file that only its owner should be able to read.
func readKey(path string, logger *slog.Logger) ([]byte, error) {
	warnIfOpen(path, logger)
	return os.ReadFile(path)
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
