package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/internal/auth"
)

const jwtSecret = "q3hTgCq0XG8vJ0o9lFf1m5bZyQ2rW7uKxN4eDpVsA6I="

// verified checks that the run printed a token and nothing else, and returns what it grants.
func (o outcome) verified(t *testing.T, key string) auth.Grant {
	t.Helper()
	if o.ended(t, exitOK); o.stderr != "" {
		t.Errorf("stderr: %s", o.stderr)
	}
	v, err := auth.NewVerifier(t.Context(),
		auth.Options{Key: []byte(key), Issuer: "shop", Audience: "tidings"})
	if err != nil {
		t.Fatal(err)
	}
	grant, err := v.Verify(t.Context(), strings.TrimSuffix(o.stdout, "\n"))
	if err != nil {
		t.Fatalf("%v: %q", err, o.stdout)
	}
	return grant
}

func TestToken(t *testing.T) {
	args := []string{"token", "--issuer=shop", "--audience=tidings", "--subject=ann",
		"--publish=orders.>", "--publish", "a", "--subscribe=*,b.c", "--admin", "--expires=90m"}
	before := time.Now().Truncate(time.Second)
	grant := runWith(t.Context(), []string{"TIDINGS_JWT_KEY=" + jwtSecret}, nil,
		args...).verified(t, jwtSecret)
	after := time.Now()
	if grant.Subject != "ann" || grant.Publish.String() != "a orders.>" ||
		grant.Subscribe.String() != "* b.c" || !grant.Admin ||
		grant.Expires.Before(before.Add(90*time.Minute)) ||
		grant.Expires.After(after.Add(90*time.Minute)) {
		t.Errorf("got %+v", grant)
	}
	grant = runCLI(t, "token", "--issuer=shop", "--audience=tidings", "--jwt-key",
		jwtSecret).verified(t, jwtSecret)
	if grant.Subject != "" || grant.Publish.String() != "" || grant.Subscribe.String() != "" ||
		grant.Admin ||
		grant.Expires.Before(before.Add(24*time.Hour)) {
		t.Errorf("without flags: got %+v", grant)
	}
}

func TestTokenFromFile(t *testing.T) {
	private, public := newKeyPair(t)
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"token", "--issuer=shop", "--audience=tidings", "--jwt-key-file", file}
	runCLI(t, args...).verified(t, public)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	got := runCLI(t, args...).ended(t, exitOK)
	// row 91
	if !strings.Contains(got.stderr, "warning: "+file+" is world-readable") {
		t.Errorf("stderr: %s", got.stderr)
	}
}

// A PEM block begins with dashes, as flags do.
func TestTokenFromPEMArgument(t *testing.T) {
	private, public := newKeyPair(t)
	for _, key := range [][]string{{"--jwt-key", private}, {"--jwt-key=" + private}} {
		runCLI(t, append([]string{"token", "--issuer=shop", "--audience=tidings"},
			key...)...).verified(t, public)
	}
}

func newKeyPair(t *testing.T) (private, public string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}))
}

func TestTokenUsage(t *testing.T) {
	const weak = "changeme-changeme-changeme-changeme"
	private, public := newKeyPair(t)
	mangled := strings.ReplaceAll(private, "\n", " ")
	noFile := filepath.Join(t.TempDir(), "none")
	tests := []struct {
		name, stderr string
		environ      []string
		args         []string
	}{
		{"no key", "expected --jwt-key or --jwt-key-file; make a key with: openssl rand -base64 32",
			nil, nil},
		{"empty key", "expected --jwt-key or --jwt-key-file", nil, []string{"--jwt-key="}},
		{"two keys", "are mutually exclusive", []string{"TIDINGS_JWT_KEY=" + jwtSecret},
			[]string{"--jwt-key-file=" + noFile}},
		{"key without a value", "--jwt-key: expected a value", nil, []string{"--jwt-key"}},
		{"91 weak", "--jwt-key: this HMAC secret is an example", nil, []string{"--jwt-key", weak}},
		{"91 weak, as a variable", "--jwt-key: this HMAC secret is an example",
			[]string{"TIDINGS_JWT_KEY=" + weak}, nil},
		{"91 short", "--jwt-key: an HMAC secret has at least 32 bytes, this one 31", nil,
			[]string{"--jwt-key=" + jwtSecret[:31]}},
		{"91 public key", "a token is signed with the private key", nil,
			[]string{"--jwt-key", public}},
		{"91 mangled", "--jwt-key: damaged PEM", nil, []string{"--jwt-key", mangled}},
		{"91 mangled, as a variable", "--jwt-key: damaged PEM",
			[]string{"TIDINGS_JWT_KEY=" + mangled}, nil},
		{"no such file", "--jwt-key-file: open " + noFile,
			nil, []string{"--jwt-key-file=" + noFile}},
		{"bad publish", `--publish: invalid pattern "a..b"`, nil,
			[]string{"--jwt-key", jwtSecret, "--publish=a..b"}},
		{"bad subscribe", `--subscribe: invalid pattern ">.a"`, nil,
			[]string{"--jwt-key", jwtSecret, "--subscribe", ">.a"}},
		{"expires at once", "--expires: expected a duration of 1s or more, got 10ms", nil,
			[]string{"--jwt-key", jwtSecret, "--expires=10ms"}},
		{"expires before", "--expires: expected a duration of 1s or more, got -1h0m0s", nil,
			[]string{"--jwt-key", jwtSecret, "--expires=-1h"}},
		{"expires when", "--expires", nil, []string{"--jwt-key", jwtSecret, "--expires=tomorrow"}},
		{"bad subject", "the token lacks required claims: sub", nil,
			[]string{"--jwt-key", jwtSecret, "--subject=a\nb"}},
		{"too long", "8192", nil, []string{"--jwt-key", jwtSecret,
			"--issuer=" + strings.Repeat("i", 9000)}},
		{"an argument", "unexpected argument", nil, []string{"--jwt-key", jwtSecret, "orders"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := runWith(t.Context(), tt.environ, nil, append([]string{"token"}, tt.args...)...)
			got.want(t, exitUsage, "", tt.stderr)
			if strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("stderr has more than one line: %q", got.stderr)
			}
			for _, key := range []string{jwtSecret[:31], weak, private[40:80], public[40:80]} {
				if strings.Contains(got.stderr, key) {
					t.Errorf("stderr tells the key: %s", got.stderr)
				}
			}
		})
	}
}
