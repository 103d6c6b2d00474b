package api_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/internal/auth"
)

// signer is an issuer's key.
type signer struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer{public, private}
}

func (s signer) token() string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"EdDSA","kid":"k"}`)) + "." + encode([]byte(`{"exp":4102444800,`+
		`"tidings":{"publish":[">"],"subscribe":[">"],"admin":true}}`))
	return text + "." + encode(ed25519.Sign(s.private, []byte(text)))
}

// issuer serves the key set of a signer under one key ID; without a signer it answers 503.
type issuer struct {
	url    string
	signer atomic.Pointer[signer]
	now    atomic.Int64
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{}
	i.now.Store(time.Now().Unix())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s := i.signer.Load()
		if s == nil {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":%q}]}`,
			base64.RawURLEncoding.EncodeToString(s.public))
	}))
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func (i *issuer) options() auth.Options {
	return auth.Options{JWKSURL: i.url, Now: func() time.Time { return time.Unix(i.now.Load(), 0) }}
}

// TestKeysComeLater: row 184 of docs/ERRORS.md.
func TestKeysComeLater(t *testing.T) {
	i, key := newIssuer(t), newSigner(t)
	s, c := verified(t, i.options())
	token := bearer(key.token())
	for _, e := range endpoints(s) {
		method, path := e[0], e[1]
		if method == "HEAD" || method == "PATCH" || strings.HasPrefix(path, "/console") {
			continue
		}
		t.Run("row 184: "+method+" "+path, func(t *testing.T) {
			a := s.do(method, path, "", token)
			switch path {
			case "/", "/healthz", "/openapi.yaml", "/tidings.js", "/tidings.d.ts", "/locks.js",
				"/alarm.js", "/alarm.d.ts", "/presence.js", "/presence.d.ts",
				"/push.js", "/push.d.ts", "/sw.js":
				if a.status != 200 {
					t.Errorf("%d %s, want 200", a.status, a.body)
				}
			case "/nothing":
			case "/v1/stream", "/v1/topics/a/stream":
				s.open(t.Context(), path, "", token).overload()
			default:
				if a.status != 503 || a.problem(t).Code != "keys-unavailable" ||
					a.header.Get("Retry-After") == "" {
					t.Errorf("%d %s, want 503 keys-unavailable", a.status, a.body)
				}
				publishes := strings.HasSuffix(path, "/events") || strings.HasSuffix(path, "/end")
				if method == "POST" && publishes && a.problem(t).Outcome != "not_stored" {
					t.Errorf("%s, want not_stored", a.body)
				}
				if strings.Contains(a.body, i.url) {
					t.Errorf("%s tells where the keys are", a.body)
				}
				if method == "GET" {
					c.response(t, method, path, a)
				}
			}
		})
	}
	t.Run("row 184: then they are there", func(t *testing.T) {
		i.signer.Store(&key)
		i.now.Add(30)
		if a := s.do("GET", "/readyz", ""); a.status != 200 { // enough for them to be fetched
			t.Errorf("ready: %d %s", a.status, a.body)
		}
		if a := s.do("GET", "/v1/log", "", token); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		i.now.Add(7)
		a := s.do("GET", "/metrics", "", token)
		for _, want := range []string{"\ntidings_token_keys_age_seconds 7\n", "\ntidings_ready 1\n"} {
			if !strings.Contains(a.body, want) {
				t.Errorf("the metrics lack %s", want)
			}
		}
	})
}

// TestKeysChange: row 185 of docs/ERRORS.md.
func TestKeysChange(t *testing.T) {
	i, old, next := newIssuer(t), newSigner(t), newSigner(t)
	i.signer.Store(&old)
	s, _ := verified(t, i.options())
	want := func(t *testing.T, key signer, status int) {
		t.Helper()
		if a := s.do("GET", "/v1/log", "", bearer(key.token())); a.status != status {
			t.Errorf("%d %s, want %d", a.status, a.body, status)
		}
	}
	t.Run("row 185: another key under the same ID", func(t *testing.T) {
		want(t, old, 200)
		i.signer.Store(&next)
		i.now.Add(30)
		want(t, next, 200)
		want(t, old, 401)
	})
	t.Run("row 185: no answer for a day", func(t *testing.T) {
		i.signer.Store(nil)
		i.now.Add(24*3600 - 1)
		want(t, next, 200)
		i.now.Add(1)
		want(t, next, 503)
		i.signer.Store(&next)
		i.now.Add(30)
		want(t, next, 200)
	})
}
