package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings/internal/auth"
)

// TestMintedIsGranted: a grant survives minting and verifying, whatever the kind of key.
func TestMintedIsGranted(t *testing.T) {
	type keys struct{ sign, verify []byte }
	all := []keys{{[]byte(secret + "\n"), []byte(secret)}}
	for _, p := range newPairs(t) {
		all = append(all, keys{p.privatePEM(t), p.publicPEM(t)})
	}
	options := auth.Options{Issuer: "https://id.example", Audience: "tidings"}
	verifiers := make([]*auth.Verifier, len(all))
	for i, k := range all {
		o := options
		o.Key = k.verify
		verifiers[i] = newVerifier(t, o)
	}
	patterns := rapid.SliceOfN(rapid.StringMatching(
		`[A-Za-z0-9_-]{1,8}(\.([a-z]{1,4}|\*)){0,4}(\.>)?|\*|>`), 0, 10)
	rapid.Check(t, func(t *rapid.T) {
		want := auth.Grant{
			Subject: rapid.StringOfN(rapid.RuneFrom([]rune(`aZ09@|"\/<>é日😀 `)), 0,
				40, 255).Draw(t, "subject"),
			Publish:   filter(t, patterns.Draw(t, "publish")...),
			Subscribe: filter(t, patterns.Draw(t, "subscribe")...),
			Admin:     rapid.Bool().Draw(t, "admin"),
			Expires: start.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(t,
				"seconds")) * time.Second),
		}
		if strings.TrimSpace(want.Subject) == "" {
			want.Subject = "" // it is refused: an issuer's empty template leaves this
		}
		i := rapid.IntRange(0, len(all)-1).Draw(t, "key")
		token, err := auth.Mint(all[i].sign, want,
			auth.MintOptions{Issuer: options.Issuer, Audience: options.Audience, IssuedAt: start})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it is cached
			got, err := verifiers[i].Verify(t.Context(), token)
			if err != nil || format(got) != format(want) {
				t.Fatalf("got %s, error %v\nwant %s", format(got), err, format(want))
			}
		}
		for j, other := range verifiers {
			if _, err := other.Verify(t.Context(), token); j != i &&
				!errors.Is(err, auth.ErrToken) {
				t.Fatalf("another key: got %v, want %v", err, auth.ErrToken)
			}
		}
	})
}

func TestMintRefuses(t *testing.T) {
	fine := auth.Grant{Expires: start}
	es := newES256(t)
	long := auth.Grant{Expires: start}
	long.Publish = filter(t, manyTopics(60)...)
	for _, tt := range []struct {
		name   string
		key    []byte
		grant  auth.Grant
		claims bool
		reason string
	}{
		{"91 short secret", []byte("secret"), fine, false, "openssl rand -base64 32"},
		{"91 example", []byte("!ChangeThisMercureHubJWTSecretKey!"), fine, false, "example"},
		{"91 public key", es.publicPEM(t), fine, false, "PRIVATE KEY is expected"},
		{"91 damaged", es.privatePEM(t)[:80], fine, false, "damaged"},
		{"91 pass phrase", bytes.ReplaceAll(es.privatePEM(t), []byte("PRIVATE"),
			[]byte("ENCRYPTED PRIVATE")), fine, false, "PRIVATE KEY is expected"},
		{"91 not a key", toPEM(t, "PRIVATE KEY", []byte("0123456789"), nil), fine, false, "cannot"},
		{"never expires", []byte(secret), auth.Everything(), true, "exp"},
		{"expired in 1969", []byte(secret), auth.Grant{Expires: time.Unix(-1, 0)}, true, "exp"},
		{"subject with a line end", []byte(secret),
			auth.Grant{Expires: start, Subject: "a\nb"}, true, "sub"},
		{"too long", []byte(secret), long, true, "8192"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, err := auth.Mint(tt.key, tt.grant, auth.MintOptions{})
			if token != "" || err == nil || errors.Is(err, auth.ErrClaims) != tt.claims ||
				!strings.Contains(err.Error(), tt.reason) {
				t.Errorf("got %q, %v, want an error with %q", token, err, tt.reason)
			}
		})
	}
}

// manyTopics are n topics of 200 bytes.
func manyTopics(n int) []string {
	topics := make([]string, n)
	for i := range topics {
		topics[i] = fmt.Sprintf("%0200d", i)
	}
	return topics
}

func TestPrivateKeyForms(t *testing.T) {
	pairs := newPairs(t)
	rsaPair, esPair := pairs[0], pairs[1]
	sec1, err := x509.MarshalECPrivateKey(esPair.private.(*ecdsa.PrivateKey))
	pkcs1 := x509.MarshalPKCS1PrivateKey(rsaPair.private.(*rsa.PrivateKey))
	parameters := toPEM(t, "EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}, nil)
	for name, k := range map[string]struct {
		key  []byte
		pair pair
	}{
		"PKCS #1": {toPEM(t, "RSA PRIVATE KEY", pkcs1, nil), rsaPair},
		"SEC 1":   {toPEM(t, "EC PRIVATE KEY", sec1, err), esPair},
		"SEC 1 with parameters": {append(parameters,
			toPEM(t, "EC PRIVATE KEY", sec1, err)...), esPair},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := auth.Mint(k.key, auth.Grant{Expires: start.Add(time.Hour)},
				auth.MintOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := newVerifier(t, auth.Options{Key: k.pair.publicPEM(t)}).Verify(t.Context(),
				token); err != nil {
				t.Error(err)
			}
		})
	}
}
