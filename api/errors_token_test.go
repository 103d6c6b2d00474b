package api_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"hash"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/auth"
)

// forge signs a header and a payload with any key: an HMAC secret, an RSA key or none.
func forge(t testing.TB, header, payload string, key any) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(payload))
	var signature []byte
	switch key := key.(type) {
	case []byte:
		h := func() hash.Hash { return sha256.New() }
		if strings.Contains(header, "512") {
			h = sha512.New
		}
		mac := hmac.New(h, key)
		mac.Write([]byte(text))
		signature = mac.Sum(nil)
	case *rsa.PrivateKey:
		sum := sha256.Sum256([]byte(text))
		var err error
		if signature, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]); err != nil {
			t.Fatal(err)
		}
	}
	return text + "." + encode(signature)
}

// tokenRow is a case of docs/ERRORS.md: a token that is not accepted.
type tokenRow struct{ name, token, code string }

// check uses the token in the two places that accept one.
func (r tokenRow) check(t *testing.T, s *server, c *contract) {
	t.Helper()
	for path, given := range map[string][]string{"/v1/log": headers(bearer(r.token)),
		"/v1/stream?access_token=" + r.token: nil} {
		if path != "/v1/log" && len(r.token) > 8<<10+1 {
			continue // Go refuses the headers first (row 15)
		}
		a := s.do("GET", path, "", given...)
		if a.status != 401 || a.problem(t).Code != r.code ||
			a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%.20s: %d %s, want 401 %s", path, a.status, a.body, r.code)
		}
		c.response(t, "GET", "/v1/log", a)
	}
	a := s.do("POST", "/v1/topics/a/events", "1", bearer(r.token))
	if a.status != 401 || a.problem(t).Outcome != "not_stored" || !s.log.Head().IsZero() {
		t.Errorf("publish: %d %s", a.status, a.body)
	}
}

// TestTokenRows: rows 80 to 87 of docs/ERRORS.md.
func TestTokenRows(t *testing.T) {
	const hs256, all = `{"alg":"HS256","typ":"JWT"}`,
		`"tidings":{"publish":[">"],"subscribe":[">"]}`
	key := []byte(testKey)
	now := time.Now().Unix()
	header := func(text string) string { return forge(t, text, `{"exp":4102444800,`+all+`}`, key) }
	claims := func(text string) string { return signed(t, text) }
	good := header(hs256)
	parts := strings.Split(good, ".")
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{AllowQueryToken: true}))
	c := newContract(t, s)
	if a := s.do("GET", "/v1/log", "", bearer(good)); a.status != 200 {
		t.Fatalf("the good token: %d %s", a.status, a.body)
	}
	for _, r := range []tokenRow{
		{"row 80: alg none", forge(t, `{"alg":"none"}`, `{"exp":4102444800,`+all+`}`, nil),
			"token-invalid"},
		{"row 80: alg None", forge(t, `{"alg":"None"}`, `{"exp":4102444800,`+all+`}`, nil),
			"token-invalid"},
		{"row 80: alg none, signed", header(`{"alg":"none"}`), "token-invalid"},
		{"row 80: alg hs256", header(`{"alg":"hs256"}`), "token-invalid"},
		{"row 80: alg HS512", header(`{"alg":"HS512"}`), "token-invalid"},
		{"row 81: another key", forge(t, hs256, `{"exp":4102444800}`, []byte(otherKey)),
			"token-invalid"},
		{"row 81: truncated", good[:len(good)-3], "token-invalid"},
		{"row 81: two parts", parts[0] + "." + parts[1], "token-invalid"},
		{"row 81: four parts", good + ".e30", "token-invalid"},
		{"row 81: padding", good + "=", "token-invalid"},
		{"row 82: expired", claims(fmt.Sprintf(`{"exp":%d}`, now-3600)), "token-invalid"},
		{"row 82: nbf in the future", claims(fmt.Sprintf(`{"exp":4102444800,"nbf":%d}`, now+3600)),
			"token-invalid"},
		{"row 82: iat in the future", claims(fmt.Sprintf(`{"exp":4102444800,"iat":%d}`, now+3600)),
			"token-invalid"},
		{"row 82: no exp", claims(`{}`), "token-claims"},
		{"row 82: exp 0", claims(`{"exp":0}`), "token-claims"},
		{"row 82: exp as a string", claims(`{"exp":"4102444800"}`), "token-claims"},
		{"row 82: exp 1e300", claims(`{"exp":1e300}`), "token-claims"},
		{"row 82: exp negative", claims(`{"exp":-1}`), "token-claims"},
		{"row 84: crit", header(`{"alg":"HS256","crit":["exp"]}`), "token-invalid"},
		{"row 84: typ", header(`{"alg":"HS256","typ":"dpop+jwt"}`), "token-invalid"},
		{"row 84: b64", header(`{"alg":"HS256","b64":false}`), "token-invalid"},
		{"row 85: null", claims(`null`), "token-claims"},
		{"row 85: list", claims(`[]`), "token-claims"},
		{"row 85: name twice", claims(`{"exp":4102444800,"exp":4102444801}`), "token-claims"},
		{"row 85: topics are no list", claims(`{"exp":4102444800,"tidings":{"publish":">"}}`),
			"token-claims"},
		{"row 85: 1,001 topics", claims(`{"exp":4102444800,"tidings":{"publish":["a"` +
			strings.Repeat(`,"a"`, 1000) + `]}}`), "token-claims"},
		{"row 85: topic of 256 bytes", claims(`{"exp":4102444800,"tidings":{"publish":["` +
			strings.Repeat("a", 256) + `"]}}`), "token-claims"},
		{"row 85: topic that is none", claims(`{"exp":4102444800,"tidings":{"publish":["a..b"]}}`),
			"token-claims"},
		{"row 291: reads what is reserved", claims(`{"exp":4102444800,"tidings":{"subscribe":["a","$alerts.a"]}}`),
			"token-claims"},
		{"row 291: publishes what is reserved", claims(`{"exp":4102444800,"tidings":{"publish":["$alerts.>"]}}`),
			"token-claims"},
		{"row 86: a byte too long", tokenOf(t, 8<<10+1), "token-invalid"},
		{"row 86: dots", strings.Repeat(".", 8<<10+1), "token-invalid"},
		{"row 87: kid of 10 KB", header(`{"alg":"HS256","kid":"` + strings.Repeat("k",
			10_000) + `"}`), "token-invalid"},
	} {
		t.Run(r.name, func(t *testing.T) { r.check(t, s, c) })
	}
	t.Run("row 86: the longest", func(t *testing.T) {
		if a := s.do("GET", "/v1/log", "", bearer(tokenOf(t, 8<<10))); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// verified returns a server whose tokens are checked by the verifier of o.
func verified(t *testing.T, o auth.Options) (*server, *contract) {
	t.Helper()
	v, err := auth.NewVerifier(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, newLog(t), 0, api.Options{Verifier: v, Now: o.Now, AllowQueryToken: true})
	return s, newContract(t, s)
}

// TestTokenKeyRows: rows 80, 83 and 87 of docs/ERRORS.md, for servers with other keys and rules.
func TestTokenKeyRows(t *testing.T) {
	const payload = `{"exp":4102444800,"tidings":{"publish":[">"],"subscribe":[">"]}}`
	t.Run("row 80: public key as a secret", func(t *testing.T) {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		s, c := verified(t, auth.Options{Key: public})
		if a := s.do("GET", "/v1/log", "",
			bearer(forge(t, `{"alg":"RS256"}`, payload, private))); a.status != 200 {
			t.Fatalf("the good token: %d %s", a.status, a.body)
		}
		for _, secret := range [][]byte{public,
			[]byte(strings.TrimSpace(string(public))), der, nil} {
			tokenRow{"", forge(t, `{"alg":"HS256"}`, payload, secret),
				"token-invalid"}.check(t, s, c)
		}
		tokenRow{"", forge(t, `{"alg":"HS256"}`, payload, private), "token-invalid"}.check(t, s, c)
	})
	s, c := verified(t, auth.Options{Key: []byte(testKey), Issuer: "https://id.example",
		Audience: "tidings"})
	for _, r := range []struct{ name, claims string }{
		{"row 83: wrong issuer", `"iss":"https://id.example/","aud":"tidings"`},
		{"row 83: no issuer", `"aud":"tidings"`},
		{"row 83: wrong audience", `"iss":"https://id.example","aud":"x"`},
		{"row 83: audiences without us", `"iss":"https://id.example","aud":["x","y"]`},
		{"row 83: no audience", `"iss":"https://id.example"`},
	} {
		t.Run(r.name, func(t *testing.T) {
			tokenRow{"", signed(t, `{"exp":4102444800,`+r.claims+`}`),
				"token-invalid"}.check(t, s, c)
		})
	}
	t.Run("row 87: unknown kid", func(t *testing.T) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes() // 4, x, y
		if err != nil {
			t.Fatal(err)
		}
		encode := base64.RawURLEncoding.EncodeToString
		var fetches, now atomic.Int64
		now.Store(time.Now().Unix())
		keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fetches.Add(1)
			fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"known","x":%q,"y":%q}]}`,
				encode(point[1:33]), encode(point[33:]))
		}))
		defer keys.Close()
		s, c := verified(t, auth.Options{JWKSURL: keys.URL, Now: func() time.Time {
			return time.Unix(now.Load(), 0)
		}})
		for _, pause := range []int64{0, 29, 1} { // seconds since the last fetch: 0, 29, 30
			now.Add(pause)
			for _, kid := range list("unknown ../../etc/passwd known'--") {
				tokenRow{"", forge(t, fmt.Sprintf(`{"alg":"ES256","kid":%q}`, kid), payload,
					[]byte("x")), "token-invalid"}.check(t, s, c)
			}
		}
		if got := fetches.Load(); got != 2 {
			t.Errorf("the key set was fetched %d times, want at the start and after 30 s", got)
		}
	})
}

// TestScopeRow: row 88 of docs/ERRORS.md.
func TestScopeRow(t *testing.T) {
	t.Run("row 88: reads only", func(t *testing.T) {
		s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
		c := newContract(t, s)
		reader := bearer(holder{subscribe: ">"}.token(t))
		publishRow{path: "/v1/topics/a/events", body: "1", headers: headers(reader), status: 403,
			code: "topic-forbidden"}.check(t, s, c)
		publishRow{path: "/v1/topics/a/end", headers: headers(reader), status: 403,
			code: "topic-forbidden"}.check(t, s, c)
		writer := bearer(holder{publish: ">"}.token(t))
		for _, path := range list("/v1/stream /v1/stream?topic=a /v1/topics/a/stream") {
			a := s.do("GET", path, "", writer)
			if a.status != 403 || a.problem(t).Code != "topic-forbidden" {
				t.Errorf("%s of who publishes only: %d %s", path, a.status, a.body)
			}
			c.response(t, "GET", path, a)
		}
	})
}
