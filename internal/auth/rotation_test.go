package auth_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"tidings/internal/auth"
	"tidings/store"
)

// minted returns a token signed with the first of the secrets.
func minted(t *testing.T, key string) string {
	t.Helper()
	grant := auth.Grant{Subscribe: store.All(), Expires: start.Add(time.Hour)}
	token, err := auth.Mint([]byte(key), grant, auth.MintOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func randomSecret(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// accepts checks for each secret whether its tokens are accepted.
func accepts(t *testing.T, v *auth.Verifier, want bool, secrets ...string) {
	t.Helper()
	for i, secret := range secrets {
		if _, err := v.Verify(t.Context(), minted(t, secret)); (err == nil) != want ||
			err != nil && !errors.Is(err, auth.ErrToken) {
			t.Errorf("secret %d: got %v, want it to count: %t", i, err, want)
		}
	}
}

// TestSecretsOneALine: all count, the first makes tokens.
func TestSecretsOneALine(t *testing.T) {
	next, old, other := randomSecret(32), randomSecret(48), randomSecret(32)
	for _, text := range []string{next + "\n" + old, next + "\r\n\r\n  " + old + " \r\n",
		"\ufeff" + next + "\n" + old + "\n", old + "\n" + next + "\n" + next} {
		v := newVerifier(t, auth.Options{Key: []byte(text)})
		accepts(t, v, true, next, old, text)
		accepts(t, v, false, other)
		first := newVerifier(t, auth.Options{Key: []byte(strings.Fields(strings.Trim(text, "\ufeff"))[0])})
		accepts(t, first, true, text)
	}
	for text, reason := range map[string]string{
		next + "\n" + old[:20]:                         "line 2: an HMAC secret has at least 32 bytes",
		next + "\nchangeme-changeme-changeme-changeme": "line 2: this HMAC secret is an example",
		next + "\n" + string(newES256(t).publicPEM(t)): "damaged",
		next + "\n/run/secrets/tidings/old-key":        "line 2: this is an address, a path",
	} {
		if _, err := auth.NewVerifier(t.Context(), auth.Options{Key: []byte(text)}); err == nil ||
			!strings.Contains(err.Error(), reason) {
			t.Errorf("got %v, want %q", err, reason)
		}
	}
}

// TestWrappedSecret: the output of openssl rand -base64 64 has two lines, and is one secret.
func TestWrappedSecret(t *testing.T) {
	text := wrapped(randomSecret(64))
	v := newVerifier(t, auth.Options{Key: []byte(text)})
	accepts(t, v, true, text)
	accepts(t, v, false, strings.Fields(text)[0])
	binary := make([]byte, 64)
	for rand.Read(binary); !strings.Contains(string(binary[1:63]), "\n"); rand.Read(binary) {
	}
	accepts(t, newVerifier(t, auth.Options{Key: binary}), true, string(binary))
}

// TestKeyIsReplaced: row 186 of docs/ERRORS.md. A new key counts within a second; an unusable one leaves the old one in
// force.
func TestKeyIsReplaced(t *testing.T) {
	first, second := randomSecret(32), randomSecret(32)
	clock := &clock{start}
	var text []byte
	var failure error
	looks := 0
	v := newVerifier(t, auth.Options{Key: []byte(first), Now: clock.now,
		NewKey: func() ([]byte, error) {
			looks++
			return text, failure
		}})
	accepts(t, v, true, first)
	text = []byte(second + "\n" + first)
	accepts(t, v, false, second)
	if looks != 0 {
		t.Errorf("%d looks within a second", looks)
	}
	clock.t = clock.t.Add(time.Second)
	accepts(t, v, true, second, first)
	for _, bad := range []string{"", "changeme", second[:20]} {
		text = []byte(bad)
		clock.t = clock.t.Add(time.Second)
		accepts(t, v, true, second, first)
	}
	text, failure = nil, errors.New("no such file")
	clock.t = clock.t.Add(time.Second)
	accepts(t, v, true, second, first)
	text, failure = []byte(second), nil
	clock.t = clock.t.Add(time.Second)
	accepts(t, v, true, second)
	accepts(t, v, false, first) // though its tokens were cached
	text = newES256(t).publicPEM(t)
	clock.t = clock.t.Add(time.Second)
	accepts(t, v, false, first, second)
}
