package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tidings/internal/auth"
)

// FuzzVerify takes any text as a token. Whatever is granted was signed, by this test's own computation.
func FuzzVerify(f *testing.F) {
	f.Add(hs256(f, payload(`"tidings":{"publish":["a.>"],"admin":true}`)))
	f.Add(forge(f, nil, nil, `{"alg":"none"}`, payload()))
	f.Add(newES256(f).token(f, "k"))
	f.Add("..")
	v := newVerifier(f, auth.Options{Key: []byte(secret)})
	f.Fuzz(func(t *testing.T, token string) {
		grant, err := v.Verify(t.Context(), token)
		if err != nil {
			if format(grant) != format(auth.Grant{}) {
				t.Fatalf("refused with %v, but granted %s", err, format(grant))
			}
			return
		}
		end := strings.LastIndexByte(token, '.')
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(token[:end]))
		if want := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); token[end+1:] != want {
			t.Fatalf("granted %s with the signature %q, want %q", format(grant),
				token[end+1:], want)
		}
	})
}

// FuzzClaims signs any header and payload: whatever reaches the decoders is refused, or granted within its time.
func FuzzClaims(f *testing.F) {
	f.Add(`{"alg":"HS256"}`, payload(`"sub":"ann"`, `"aud":["a"]`, `"iat":1`,
		`"tidings":{"publish":["a.>"],"subscribe":["*"],"admin":true}`))
	f.Add(`{"alg":"HS256","typ":"at+jwt","kid":"k","b64":true}`, `{"exp":1e300,"nbf":-0.0}`)
	f.Add(`{"alg":"none","crit":["b64"]}`, `null`)
	v := newVerifier(f, auth.Options{Key: []byte(secret)})
	f.Fuzz(func(t *testing.T, header, payload string) {
		grant, err := v.Verify(t.Context(),
			forge(t, jwt.SigningMethodHS256, []byte(secret), header, payload))
		if err == nil && (!start.Before(grant.Expires.Add(auth.Leeway)) ||
			grant.Expires.After(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))) {
			t.Fatalf("granted %s", format(grant))
		}
	})
}
