package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tidings/internal/auth"
	"tidings/store"
)

// secret was printed by openssl rand -base64 32.
const secret = "q3hTgCq0XG8vJ0o9lFf1m5bZyQ2rW7uKxN4eDpVsA6I="

// start is the time of the tests.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// clock is moved by hand.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newVerifier(t testing.TB, o auth.Options) *auth.Verifier {
	t.Helper()
	if o.Now == nil {
		o.Now = (&clock{start}).now
	}
	v, err := auth.NewVerifier(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// payload is a JSON object with a valid exp and more members.
func payload(more ...string) string {
	return "{" + strings.Join(append([]string{fmt.Sprintf(`"exp":%d`, start.Add(time.Hour).Unix())},
		more...), ",") + "}"
}

// forge signs any header and payload with any key; a nil method signs nothing.
func forge(t testing.TB, method jwt.SigningMethod, key any, header, payload string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(payload))
	if method == nil {
		return text + "."
	}
	signature, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func hs256(t testing.TB, payload string) string {
	return forge(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":"HS256","typ":"JWT"}`, payload)
}

// pair is a private key of an accepted kind, and its public key.
type pair struct {
	alg     string
	method  jwt.SigningMethod
	private crypto.Signer
}

func newPairs(t testing.TB) []pair {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return []pair{{"RS256", jwt.SigningMethodRS256, rsaKey}, newES256(t), newEdDSA(t)}
}

func newES256(t testing.TB) pair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pair{"ES256", jwt.SigningMethodES256, key}
}

func newEdDSA(t testing.TB) pair {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pair{"EdDSA", jwt.SigningMethodEdDSA, key}
}

func (p pair) publicPEM(t testing.TB) []byte {
	der, err := x509.MarshalPKIXPublicKey(p.private.Public())
	return toPEM(t, "PUBLIC KEY", der, err)
}

func (p pair) privatePEM(t testing.TB) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(p.private)
	return toPEM(t, "PRIVATE KEY", der, err)
}

func toPEM(t testing.TB, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (p pair) token(t testing.TB, kid string) string {
	header := fmt.Sprintf(`{"alg":%q,"kid":%q}`, p.alg, kid)
	if kid == "" {
		header = fmt.Sprintf(`{"alg":%q}`, p.alg)
	}
	return forge(t, p.method, p.private, header, payload(`"sub":"ann"`))
}

func filter(t interface{ Fatal(...any) }, patterns ...string) store.Filter {
	f, err := store.NewFilter(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// format makes grants comparable.
func format(g auth.Grant) string {
	return fmt.Sprintf("subject %q publish %q subscribe %q admin %v expires %s", g.Subject,
		g.Publish, g.Subscribe, g.Admin, g.Expires.UTC().Format(time.RFC3339Nano))
}
