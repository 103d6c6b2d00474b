package webpush

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func raw(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	secret = "BTBZMqHH6r4Tts7J_aSIgg"
)

// TestEncryptVector: the example of RFC 8291 §5.
func TestEncryptVector(t *testing.T) {
	t.Parallel()
	to, err := NewTarget(p256dh, secret)
	if err != nil {
		t.Fatal(err)
	}
	own, err := ecdh.P256().NewPrivateKey(raw(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	message := "When I grow up, I want to be a watermelon"
	got, err := to.encrypt([]byte(message), own, raw(t, "DGv6ra1nlYgDCS1FRnbzlw"), len(message)+1)
	want := "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w" +
		"EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if have := base64.RawURLEncoding.EncodeToString(got); err != nil || have != want {
		t.Errorf("%s, %v, want %s", have, err, want)
	}
}

// TestEncryptSize: every body has 4,096 bytes, whatever its content, and no two are the same.
func TestEncryptSize(t *testing.T) {
	t.Parallel()
	to, err := NewTarget(p256dh+"=", secret+"==")
	if err != nil {
		t.Fatal(err)
	}
	var last []byte
	for _, n := range []int{0, 1, MaxMessage} {
		body, err := to.Encrypt(make([]byte, n))
		if err != nil || len(body) != 4096 || bytes.Equal(body, last) {
			t.Errorf("%d bytes: a body of %d, %v", n, len(body), err)
		}
		last = body
	}
	if _, err := to.Encrypt(make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("one byte more: %v", err)
	}
}

// TestTargetRefused: keys that no browser has.
func TestTargetRefused(t *testing.T) {
	t.Parallel()
	off := raw(t, p256dh)
	off[64] ^= 1 // not on the curve
	for what, keys := range map[string][2]string{
		"no keys": {}, "no base64": {"!", secret}, "standard base64": {strings.ReplaceAll(p256dh, "_", "/"), secret},
		"a short secret": {p256dh, secret[:20]}, "a long secret": {p256dh, secret + secret},
		"a compressed point": {p256dh[:44], secret},
		"another point":      {base64.RawURLEncoding.EncodeToString(off), secret},
	} {
		if _, err := NewTarget(keys[0], keys[1]); !errors.Is(err, ErrTarget) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestSign: the token of a request verifies with the public key, names the push service, and is renewed before the
// service's clock could refuse it.
func TestSign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key, err := NewKey("mailto:ops@example.com")
		if err != nil {
			t.Fatal(err)
		}
		kept, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if key, err = ParseKey(kept, "mailto:ops@example.com"); err != nil {
			t.Fatal(err)
		}
		token := func(url string) string {
			req, err := http.NewRequest("POST", url, nil)
			if err == nil {
				err = key.Sign(req, time.Now())
			}
			text, public, ok := strings.Cut(strings.TrimPrefix(req.Header.Get("Authorization"), "vapid t="), ", k=")
			if err != nil || !ok || public != key.Public() {
				t.Fatalf("%v: %v", req.Header, err)
			}
			return text
		}
		first := token("https://push.example.com/send/capability")
		point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw(t, key.Public()))
		if err != nil {
			t.Fatal(err)
		}
		known := func(*jwt.Token) (any, error) { return point, nil }
		claims, err := jwt.ParseWithClaims(first, &jwt.RegisteredClaims{}, known,
			jwt.WithAudience("https://push.example.com"), jwt.WithValidMethods([]string{"ES256"}),
			jwt.WithSubject("mailto:ops@example.com"), jwt.WithExpirationRequired())
		if err != nil {
			t.Fatal(err)
		}
		if until, _ := claims.Claims.GetExpirationTime(); until.After(time.Now().Add(24 * time.Hour)) {
			t.Errorf("it counts until %v; a day is the most", until)
		}
		if strings.Contains(first, "capability") || token("https://push.example.com/other") != first {
			t.Error("the token of a push service is not the same for all its endpoints")
		}
		if token("https://push.example.com:8443/") == first {
			t.Error("another port is another push service")
		}
		time.Sleep(7 * time.Hour)
		if token("https://push.example.com/") == first {
			t.Error("the token is used until it ends")
		}
	})
}

// TestContact: which contacts are accepted.
func TestContact(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"mailto:ops@example.com": true, "https://example.com/contact": true, "": false, "ops@example.com": false,
		"mailto:": false, "http://example.com": false, "https:": false, "mailto:ops": false,
	} {
		if err := CheckContact(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
