package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/golang-jwt/jwt/v5"

	"tidings/internal/auth"
)

// TestAlgorithmConfusion tries each kind of key with tokens of each other kind, and with tokens signed by HMAC with
// everything an attacker may know of the key.
func TestAlgorithmConfusion(t *testing.T) {
	pairs := newPairs(t)
	keys := map[string][]byte{"HS256": []byte(secret)}
	tokens := map[string]string{"HS256": hs256(t, payload())}
	for _, p := range pairs {
		keys[p.alg] = p.publicPEM(t)
		tokens[p.alg] = p.token(t, "")
	}
	for keyAlg, text := range keys {
		v := newVerifier(t, auth.Options{Key: text})
		for alg, token := range tokens {
			want := auth.ErrToken
			if alg == keyAlg {
				want = nil
			}
			if _, err := v.Verify(t.Context(), token); !errors.Is(err, want) {
				t.Errorf("80 %s token, %s key: got %v, want %v", alg, keyAlg, err, want)
			}
		}
	}
	for _, p := range pairs {
		v := newVerifier(t, auth.Options{Key: p.publicPEM(t)})
		block, _ := pem.Decode(p.publicPEM(t))
		for _, known := range [][]byte{p.publicPEM(t), bytes.TrimSpace(p.publicPEM(t)),
			block.Bytes, []byte("")} {
			for _, alg := range []string{"HS256", p.alg} {
				token := forge(t, jwt.SigningMethodHS256, known, `{"alg":"`+alg+`"}`, payload())
				if _, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrToken) {
					t.Errorf("80 %s key as an HMAC secret, alg %s: got %v, want %v", p.alg, alg,
						err, auth.ErrToken)
				}
			}
		}
		pss := forge(t, nil, nil, `{"alg":"PS256"}`, payload())
		if _, err := v.Verify(t.Context(), pss); !errors.Is(err, auth.ErrToken) {
			t.Errorf("80 PS256: got %v", err)
		}
	}
}

func TestKeyForms(t *testing.T) {
	rsaPair, esPair := newPairs(t)[0], newES256(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "id"}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template,
		esPair.private.Public(), esPair.private)
	for name, k := range map[string]struct {
		key  []byte
		pair pair
	}{
		"PKIX": {rsaPair.publicPEM(t), rsaPair},
		"PKCS #1": {toPEM(t, "RSA PUBLIC KEY",
			x509.MarshalPKCS1PublicKey(rsaPair.private.Public().(*rsa.PublicKey)), nil), rsaPair},
		"certificate":     {toPEM(t, "CERTIFICATE", certificate, err), esPair},
		"byte order mark": {append([]byte("\ufeff\n "), esPair.publicPEM(t)...), esPair},
		"line ends with CR": {bytes.ReplaceAll(esPair.publicPEM(t), []byte("\n"),
			[]byte("\r\n")), esPair},
		"no line end at end": {bytes.TrimSpace(esPair.publicPEM(t)), esPair},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, auth.Options{Key: k.key})
			if _, err := v.Verify(t.Context(), k.pair.token(t, "")); err != nil {
				t.Error(err)
			}
		})
	}
}

// derEndingWith returns a public key in DER whose last byte is end.
func derEndingWith(t *testing.T, end byte) []byte {
	t.Helper()
	for {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		if der[len(der)-1] == end {
			return der
		}
	}
}

func TestKeyRefused(t *testing.T) {
	es := newES256(t)
	public, private := es.publicPEM(t), es.privatePEM(t)
	body := strings.Join(strings.Split(strings.TrimSpace(string(public)), "\n")[1:3], "\n")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(es.private.(*ecdsa.PrivateKey))
	block, _ := pem.Decode(public)
	tests := []struct {
		name   string
		key    []byte
		reason string
	}{
		{"91 none", nil, "openssl rand -base64 32"},
		{"91 white space", []byte(" \n"), "openssl rand -base64 32"},
		{"91 secret of 31 bytes", []byte(secret[:31]), "openssl rand -base64 32"},
		{"91 secret of 31 bytes and a line end", []byte(secret[:31] + "\n"),
			"openssl rand -base64 32"},
		{"91 example of jwt.io, old", []byte("your-256-bit-secret"), "openssl rand -base64 32"},
		{"91 example of jwt.io", []byte("a-string-secret-at-least-256-bits-long"), "example"},
		{"91 example of Mercure", []byte("!ChangeThisMercureHubJWTSecretKey!"), "example"},
		{"91 example of Supabase", []byte(
			"super-secret-jwt-token-with-at-least-32-characters-long"), "example"},
		{"91 example of PostgREST", []byte("reallyreallyreallyreallyverysafe"), "example"},
		{"91 example of Centrifugo", []byte("bbe7d157-a253-4094-9759-06a8236543f9"), "example"},
		{"91 example of Spring tutorials",
			[]byte("404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970"), "example"},
		{"91 one character", bytes.Repeat([]byte("x"), 64), "example"},
		{"91 changeme", bytes.Repeat([]byte("changeme"), 5), "example"},
		{"91 secret, not to the end", bytes.Repeat([]byte("secret"), 9)[:50], "example"},
		{"91 digits", []byte("0123456789abcdef0123456789abcdef"), "example"},
		{"91 RSA of 1,024 bits", pair{private: small}.publicPEM(t), "2048 bits, this one 1024"},
		{"91 curve P-384", pair{private: p384}.publicPEM(t), "P-256"},
		{"91 private key", private, "private key where its public key is expected"},
		{"91 private key of SEC 1", toPEM(t, "EC PRIVATE KEY", sec1, err),
			"private key where its public key is expected"},
		{"91 PEM without line ends", bytes.ReplaceAll(public, []byte("\n"), nil), "damaged PEM"},
		{"91 PEM with escaped line ends", bytes.ReplaceAll(public, []byte("\n"), []byte(`\n`)),
			"damaged PEM"},
		{"91 PEM cut off", public[:len(public)-30], "damaged PEM"},
		{"91 PEM with a changed byte", bytes.Replace(public, []byte("M"), []byte("!"), 1),
			"damaged PEM"},
		{"91 PEM of nothing", []byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"),
			"public key"},
		{"91 PEM of something else", toPEM(t, "PUBLIC KEY", []byte("0123456789"), nil),
			"public key"},
		{"91 PEM of another type", toPEM(t, "CERTIFICATE REQUEST", block.Bytes, nil),
			"CERTIFICATE REQUEST"},
		{"91 PEM twice", append(bytes.Clone(public), public...), "more than one"},
		{"91 PEM damaged, then whole", append(public[:len(public)-30:len(public)-30], public...),
			"more than one"},
		{"91 PEM with quotes", append([]byte(`"`), public...), "damaged"},
		{"91 PEM with text before", append([]byte("subject=id\n"), public...), "damaged"},
		{"91 PEM without its first line", []byte(body + "\n-----END PUBLIC KEY-----"), "damaged"},
		{"91 PEM without its first dashes", public[5:], "damaged"},
		{"91 PEM without both lines", []byte(body), "damaged"},
		{"91 PEM in UTF-16", inUTF16(string(public)), "UTF-16"},
		{"91 secret in UTF-16", inUTF16(secret), "UTF-16"},
		{"91 DER", block.Bytes, "damaged"},
		{"91 DER that ends with white space", derEndingWith(t, ' '), "damaged"},
		{"91 DER that ends with a line end", derEndingWith(t, '\n'), "damaged"},
		{"91 SSH public key",
			[]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJYBnDKZp5i2DRbPZQzW3m5pJ7jX ann@example"),
			"damaged"},
		{"91 JWK",
			[]byte(`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}`),
			"damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := auth.NewVerifier(t.Context(), auth.Options{Key: tt.key})
			if err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Fatalf("got %v, want an error with %q", err, tt.reason)
			}
			if strings.Contains(err.Error(), "\n") || len(tt.key) > 10 &&
				strings.Contains(err.Error(), string(tt.key[len(tt.key)/2:])) {
				t.Errorf("the error is longer than a line, or tells the key: %v", err)
			}
		})
	}
}

func inUTF16(s string) []byte {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(s)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return out
}

func TestKeyAndJWKS(t *testing.T) {
	_, err := auth.NewVerifier(t.Context(),
		auth.Options{Key: []byte(secret), JWKSURL: "https://id.example/jwks"})
	if err == nil || !strings.Contains(err.Error(), "mutually exclusive") {
		t.Errorf("got %v", err)
	}
}
