package auth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tidings/internal/auth"
)

// TestRefused has the rows of the bad-input catalogue that concern a token; the number comes first.
func TestRefused(t *testing.T) {
	in := func(d time.Duration) int64 { return start.Add(d).Unix() }
	with := func(header string) string {
		return forge(t, jwt.SigningMethodHS256, []byte(secret), header, payload())
	}
	good := hs256(t, payload())
	parts := strings.Split(good, ".")
	many := `["a` + strings.Repeat(`","a`, 1000) + `"]`
	tests := []struct {
		name, token, reason string
		err                 error
	}{
		{"80 alg none", forge(t, nil, nil, `{"alg":"none"}`, payload()), "", auth.ErrToken},
		{"80 alg None", forge(t, nil, nil, `{"alg":"None"}`, payload()), "", auth.ErrToken},
		{"80 alg none with a signature", with(`{"alg":"none"}`), "", auth.ErrToken},
		{"80 alg hs256", with(`{"alg":"hs256"}`), "", auth.ErrToken},
		{"80 alg HS512", forge(t, jwt.SigningMethodHS512, []byte(secret), `{"alg":"HS512"}`,
			payload()), "", auth.ErrToken},
		{"80 alg missing", with(`{"typ":"JWT"}`), "", auth.ErrToken},
		{"80 alg in capitals only", with(`{"ALG":"HS256"}`), "", auth.ErrToken},
		{"80 alg a number", with(`{"alg":256}`), "", auth.ErrToken},
		{"80 alg twice", with(`{"alg":"none","alg":"HS256"}`), "once", auth.ErrToken},
		{"80 jwk of its own", forge(t, jwt.SigningMethodHS256, []byte("attacker"),
			`{"alg":"HS256","jwk":{"kty":"oct","k":"YXR0YWNrZXI"}}`, payload()), "", auth.ErrToken},
		{"81 no token", "", "", auth.ErrToken},
		{"81 another key", forge(t, jwt.SigningMethodHS256, []byte(secret+"x"), `{"alg":"HS256"}`,
			payload()), "signature", auth.ErrToken},
		{"81 claims changed", parts[0] + "." + base64.RawURLEncoding.EncodeToString(
			[]byte(payload(`"sub":"root"`))) + "." + parts[2], "signature", auth.ErrToken},
		{"81 truncated", good[:len(good)-2], "", auth.ErrToken},
		{"81 no signature", parts[0] + "." + parts[1] + ".", "", auth.ErrToken},
		{"81 two parts", parts[0] + "." + parts[1], "", auth.ErrToken},
		{"81 four parts", good + ".x", "", auth.ErrToken},
		{"81 base64 padding", good + "=", "", auth.ErrToken},
		{"81 base64 with other last bits", good[:len(good)-1] + otherLastBits(good), "",
			auth.ErrToken},
		{"81 space around", " " + good, "", auth.ErrToken},
		{"82 expired", hs256(t, fmt.Sprintf(`{"exp":%d}`, in(-auth.Leeway))), "expired",
			auth.ErrToken},
		{"82 expired and a bad signature",
			hs256(t, fmt.Sprintf(`{"exp":%d}`, in(-time.Hour))) + "A", "", auth.ErrToken},
		{"82 nbf in the future", hs256(t,
			payload(fmt.Sprintf(`"nbf":%d`, in(auth.Leeway+time.Second)))), "nbf", auth.ErrToken},
		{"82 iat in the future", hs256(t,
			payload(fmt.Sprintf(`"iat":%d`, in(auth.Leeway+time.Second)))), "iat", auth.ErrToken},
		{"82 no exp", hs256(t, `{}`), "exp", auth.ErrClaims},
		{"82 exp 0", hs256(t, `{"exp":0}`), "exp", auth.ErrClaims},
		{"82 exp 0.5", hs256(t, `{"exp":0.5}`), "exp", auth.ErrClaims},
		{"82 exp null", hs256(t, `{"exp":null}`), "exp", auth.ErrClaims},
		{"82 exp as a string", hs256(t, fmt.Sprintf(`{"exp":"%d"}`, in(time.Hour))), "exp",
			auth.ErrClaims},
		{"82 exp 1e300", hs256(t, `{"exp":1e300}`), "exp", auth.ErrClaims},
		{"82 exp 1e400", hs256(t, `{"exp":1e400}`), "exp", auth.ErrClaims},
		{"82 exp in milliseconds", hs256(t, fmt.Sprintf(`{"exp":%d}`, start.UnixMilli())), "exp",
			auth.ErrClaims},
		{"82 exp negative", hs256(t, `{"exp":-1}`), "exp", auth.ErrClaims},
		{"82 nbf as a string", hs256(t, payload(`"nbf":"1"`)), "nbf", auth.ErrClaims},
		{"82 nbf negative", hs256(t, payload(`"nbf":-1`)), "nbf", auth.ErrClaims},
		{"82 iat null", hs256(t, payload(`"iat":null`)), "iat", auth.ErrClaims},
		{"84 crit", with(`{"alg":"HS256","crit":["exp"]}`), "crit", auth.ErrToken},
		{"84 crit of nothing", with(`{"alg":"HS256","crit":[]}`), "crit", auth.ErrToken},
		{"84 typ wrong", with(`{"alg":"HS256","typ":"dpop+jwt"}`), "typ", auth.ErrToken},
		{"84 typ no string", with(`{"alg":"HS256","typ":1}`), "typ", auth.ErrToken},
		{"84 b64 false", with(`{"alg":"HS256","b64":false}`), "b64", auth.ErrToken},
		{"85 claims null", hs256(t, `null`), "object", auth.ErrClaims},
		{"85 claims a list", hs256(t, `[]`), "object", auth.ErrClaims},
		{"85 claims a string", hs256(t, `"x"`), "object", auth.ErrClaims},
		{"85 claims no JSON", hs256(t, `{"exp"`), "", auth.ErrToken},
		{"85 claims not UTF-8", hs256(t, payload("\"sub\":\"\xff\"")), "UTF-8", auth.ErrClaims},
		{"85 exp twice", hs256(t, payload(`"exp":9999999999`)), `"exp" occurs twice`,
			auth.ErrClaims},
		{"85 a name twice by an escape", hs256(t, payload(`"sub":"a"`, `"su\u0062":"b"`)),
			`"sub" occurs twice`, auth.ErrClaims},
		{"85 sub no string", hs256(t, payload(`"sub":1`)), "sub", auth.ErrClaims},
		{"85 sub too long", hs256(t, payload(`"sub":"`+strings.Repeat("a", 256)+`"`)), "sub",
			auth.ErrClaims},
		{"85 sub with NUL", hs256(t, payload(`"sub":"a\u0000b"`)), "sub", auth.ErrClaims},
		{"85 sub of white space", hs256(t, payload(`"sub":" \u00a0"`)), "white space",
			auth.ErrClaims},
		{"85 sub with half a character", hs256(t, payload(`"sub":"\ud800"`)), "sub",
			auth.ErrClaims},
		{"85 tidings null", hs256(t, payload(`"tidings":null`)), "tidings", auth.ErrClaims},
		{"85 tidings a list", hs256(t, payload(`"tidings":["a"]`)), "tidings", auth.ErrClaims},
		{"85 tidings with a typo", hs256(t, payload(`"tidings":{"subcribe":["a"]}`)), `"subcribe"`,
			auth.ErrClaims},
		{"85 tidings in another case", hs256(t, payload(`"tidings":{"Publish":["a"]}`)),
			`"Publish"`, auth.ErrClaims},
		{"85 publish twice", hs256(t, payload(`"tidings":{"publish":["a"],"publish":[">"]}`)),
			`"publish" occurs twice`, auth.ErrClaims},
		{"85 publish no list", hs256(t, payload(`"tidings":{"publish":"a"}`)), "publish",
			auth.ErrClaims},
		{"85 publish null", hs256(t, payload(`"tidings":{"publish":null}`)), "publish",
			auth.ErrClaims},
		{"85 publish of null", hs256(t, payload(`"tidings":{"publish":[null]}`)), "publish",
			auth.ErrClaims},
		{"85 publish of a number", hs256(t, payload(`"tidings":{"publish":[1]}`)), "publish",
			auth.ErrClaims},
		{"85 publish no pattern", hs256(t, payload(`"tidings":{"publish":["a..b"]}`)), `"a..b"`,
			auth.ErrClaims},
		{"85 topic over 255 bytes", hs256(t, payload(`"tidings":{"subscribe":["`+strings.Repeat("a",
			256)+`"]}`)), "255", auth.ErrClaims},
		{"85 1,001 topics", hs256(t, payload(`"tidings":{"subscribe":`+many+`}`)), "1001",
			auth.ErrClaims},
		{"85 admin as a string", hs256(t, payload(`"tidings":{"admin":"true"}`)), "admin",
			auth.ErrClaims},
		{"85 admin null", hs256(t, payload(`"tidings":{"admin":null}`)), "admin", auth.ErrClaims},
		{"86 1 MiB of dots", strings.Repeat(".", 1<<20), "8192", auth.ErrToken},
		{"87 kid no string", with(`{"alg":"HS256","kid":7}`), "kid", auth.ErrToken},
		{"87 kid of 10 KB", with(`{"alg":"HS256","kid":"` + strings.Repeat("k", 10_000) + `"}`),
			"8192", auth.ErrToken},
	}
	v := newVerifier(t, auth.Options{Key: []byte(secret)})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			grant, err := v.Verify(t.Context(), tt.token)
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.reason) ||
				format(grant) != format(auth.Grant{}) {
				t.Fatalf("got %s, error %v; want nothing and %v with %q", format(grant),
					err, tt.err, tt.reason)
			}
			if len(err.Error()) > 500 || strings.Contains(err.Error(), secret) ||
				len(tt.token) > 100 && strings.Contains(err.Error(), parts[2]) {
				t.Errorf("the error tells too much: %v", err)
			}
		})
	}
}

// otherLastBits is the last character of a 32-byte signature, with those bits changed that decoding drops.
func otherLastBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, token[len(token)-1])^1:][:1]
}

func TestAccepted(t *testing.T) {
	with := func(header string) string {
		return forge(t, jwt.SigningMethodHS256, []byte(secret), header, payload())
	}
	exp := start.Add(time.Hour)
	tests := []struct {
		name, token string
		want        auth.Grant
	}{
		{"nothing granted", hs256(t, payload()), auth.Grant{Expires: exp}},
		{"everything", hs256(t, payload(`"sub":"ann"`,
			`"tidings":{"publish":["b.>","a"],"subscribe":["*"],"admin":true}`)),
			auth.Grant{Subject: "ann", Publish: filter(t, "a", "b.>"), Subscribe: filter(t, "*"),
				Admin: true, Expires: exp}},
		{"empty lists", hs256(t, payload(`"tidings":{"publish":[],"admin":false}`)),
			auth.Grant{Expires: exp}},
		{"1,000 topics", hs256(t, payload(`"tidings":{"publish":["a`+strings.Repeat(`","a`,
			999)+`"]}`)), auth.Grant{Publish: filter(t, "a"), Expires: exp}},
		{"a fraction of a second", hs256(t, fmt.Sprintf(`{"exp":%d.5}`, exp.Unix())),
			auth.Grant{Expires: exp.Add(time.Second / 2)}},
		{"foreign claims", hs256(t, payload(`"roles":[null,{"a":1,"a":2}]`, `"Exp":"never"`)),
			auth.Grant{Expires: exp}},
		{"nbf 0", hs256(t, payload(`"nbf":0`)), auth.Grant{Expires: exp}},
		{"no typ", with(`{"alg":"HS256"}`), auth.Grant{Expires: exp}},
		{"typ at+jwt", with(`{"alg":"HS256","typ":"application/AT+JWT"}`),
			auth.Grant{Expires: exp}},
		{"b64 true", with(`{"alg":"HS256","b64":true}`), auth.Grant{Expires: exp}},
		{"87 a kid, though the key has none", with(`{"alg":"HS256","kid":"../../etc/passwd"}`),
			auth.Grant{Expires: exp}},
		{"jku is not looked at", with(`{"alg":"HS256","jku":"http://127.0.0.1:1/","x5u":7}`),
			auth.Grant{Expires: exp}},
	}
	v := newVerifier(t, auth.Options{Key: []byte("\ufeff\t" + secret + "\r\n")})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // the second time it is cached
				got, err := v.Verify(t.Context(), tt.token)
				if err != nil || format(got) != format(tt.want) {
					t.Fatalf("got %s, error %v\nwant %s", format(got), err, format(tt.want))
				}
			}
		})
	}
}

func TestTokenLength(t *testing.T) {
	v := newVerifier(t, auth.Options{Key: []byte(secret)})
	for _, tt := range []struct {
		name  string
		bytes int
		want  error
	}{
		{"86 8 KiB - 1", auth.MaxTokenBytes - 1, nil},
		{"86 8 KiB", auth.MaxTokenBytes, nil},
		{"86 8 KiB + 1", auth.MaxTokenBytes + 1, auth.ErrToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := v.Verify(t.Context(), tokenOf(t, tt.bytes)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// tokenOf returns a valid token of that length. Base64 skips one length in four, so two parts vary.
func tokenOf(t *testing.T, bytes int) string {
	short := len(hs256(t, payload(`"pad":""`)))
	for inHeader := range 4 {
		for inPayload := range 8 {
			header := `{"alg":"HS256","typ":"JWT"` + strings.Repeat(" ", inHeader) + `}`
			pad := strings.Repeat("x", (bytes-short)/4*3-4+inPayload)
			token := forge(t, jwt.SigningMethodHS256, []byte(secret), header,
				payload(`"pad":"`+pad+`"`))
			if len(token) == bytes {
				return token
			}
		}
	}
	t.Fatalf("no token of %d bytes", bytes)
	return ""
}

func TestIssuerAndAudience(t *testing.T) {
	v := newVerifier(t, auth.Options{Key: []byte(secret), Issuer: "https://id.example",
		Audience: "tidings"})
	const iss, aud = `"iss":"https://id.example"`, `"aud":"tidings"`
	for _, tt := range []struct {
		name, payload string
		want          error
	}{
		{"both", payload(iss, aud), nil},
		{"aud a list with us", payload(iss, `"aud":["x","tidings"]`), nil},
		{"83 iss wrong", payload(`"iss":"https://id.example/"`, aud), auth.ErrToken},
		{"83 iss missing", payload(aud), auth.ErrToken},
		{"83 iss no string", payload(`"iss":["https://id.example"]`, aud), auth.ErrClaims},
		{"83 aud wrong", payload(iss, `"aud":"x"`), auth.ErrToken},
		{"83 aud list without us", payload(iss, `"aud":["x","y"]`), auth.ErrToken},
		{"83 aud empty list", payload(iss, `"aud":[]`), auth.ErrToken},
		{"83 aud missing", payload(iss), auth.ErrToken},
		{"83 aud no strings", payload(iss, `"aud":[7]`), auth.ErrClaims},
		{"83 aud null", payload(iss, `"aud":null`), auth.ErrClaims},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := v.Verify(t.Context(), hs256(t, tt.payload)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}
