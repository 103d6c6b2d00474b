package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"tidings/internal/auth"
	"tidings/store"
)

// tokenCmd needs no server: anyone who has the key can make tokens.
type tokenCmd struct {
	JWTKey     secret        `placeholder:"SECRET" help:"Signing key: an HMAC secret of at least 32 bytes, or a PEM private key."`
	JWTKeyFile string        `placeholder:"FILE" type:"path" help:"File with that key."`
	Subject    string        `help:"Who the token is for. Tokens of one subject share idempotency keys, read marks and limits; a token without a subject has its own until it expires."`
	Publish    []string      `placeholder:"PATTERN" help:"Topics to publish to, e.g. orders.>. Repeatable."`
	Subscribe  []string      `placeholder:"PATTERN" help:"Topics to read. Repeatable."`
	Answer     []string      `placeholder:"PATTERN" help:"Topics whose alerts to answer. Repeatable."`
	Admin      bool          `help:"Grant admin requests, such as trim and backup (a copy of all events), but no publishing or streams."`
	Expires    time.Duration `default:"24h" help:"Lifetime of the token."`
	Issuer     string        `help:"Issuer (iss), for servers with --jwt-issuer."`
	Audience   string        `help:"Audience (aud), for servers with --jwt-audience."`
}

// Validate is called by kong.
func (c *tokenCmd) Validate() error {
	switch {
	case c.JWTKey != "" && c.JWTKeyFile != "":
		return errors.New("--jwt-key and --jwt-key-file are mutually exclusive")
	case c.JWTKey == "" && c.JWTKeyFile == "":
		return errors.New(
			"expected --jwt-key or --jwt-key-file; make a key with: openssl rand -base64 32")
	case c.Expires < time.Second:
		return fmt.Errorf("--expires: expected a duration of 1s or more, got %v", c.Expires)
	}
	_, err := c.grant()
	return err
}

func (c *tokenCmd) grant() (auth.Grant, error) {
	publish, err := store.NewFilter(c.Publish...)
	if err != nil {
		return auth.Grant{}, fmt.Errorf("--publish: %w", err)
	}
	subscribe, err := store.NewFilter(c.Subscribe...)
	if err != nil {
		return auth.Grant{}, fmt.Errorf("--subscribe: %w", err)
	}
	answer, err := store.NewFilter(c.Answer...)
	if err != nil {
		return auth.Grant{}, fmt.Errorf("--answer: %w", err)
	}
	return auth.Grant{Subject: c.Subject, Publish: publish, Subscribe: subscribe, Answer: answer,
		Admin: c.Admin}, nil
}

func (c *tokenCmd) Run(app *app) error {
	grant, err := c.grant()
	if err != nil {
		return usageError{err}
	}
	key, flag, err := c.key(app)
	if err != nil {
		return err
	}
	now := time.Now()
	grant.Expires = now.Add(c.Expires)
	token, err := auth.Mint(key, grant,
		auth.MintOptions{ID: rand.Text(), Issuer: c.Issuer, Audience: c.Audience, IssuedAt: now})
	switch {
	case errors.Is(err, auth.ErrClaims):
		return usageError{err}
	case err != nil:
		return usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	return app.print("%s", token)
}

// key returns the key and the flag that it came from.
func (c *tokenCmd) key(app *app) (key []byte, flag string, err error) {
	if c.JWTKeyFile == "" {
		return []byte(c.JWTKey), "--jwt-key", nil
	}
	flag = "--jwt-key-file"
	key, err = os.ReadFile(c.JWTKeyFile)
	if err != nil {
		return nil, flag, usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	if info, err := os.Stat(c.JWTKeyFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		app.say("warning: %s is world-readable; consider chmod 600",
			c.JWTKeyFile)
	}
	return key, flag, nil
}

// secret is a flag value that no error message repeats.
type secret string

// Decode is called by kong. It takes the next argument as it is: kong's own decoding of a string would take the
// dashes of a PEM block for a flag, and quote the block in its error.
func (s *secret) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	if token.IsEOL() {
		return errors.New("expected a value")
	}
	*s = secret(fmt.Sprint(token.Value))
	return nil
}

// String is what kong prints, if anything.
func (secret) String() string { return "…" }
