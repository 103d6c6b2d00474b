package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// jwksServer serves whatever it is set to, and counts.
type jwksServer struct {
	url string

	mu      sync.Mutex
	answer  http.HandlerFunc
	fetches int
}

func newJWKSServer(t testing.TB, keys ...string) *jwksServer {
	s := &jwksServer{}
	s.serve(keys...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.fetches++
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/jwks"
	return s
}

func (s *jwksServer) serve(keys ...string) {
	s.do(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(keys, ","))
	})
}

func (s *jwksServer) do(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *jwksServer) wantFetches(t *testing.T, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetches != want {
		t.Errorf("%d fetches, want %d", s.fetches, want)
	}
}

// jwk is a public key in the form of RFC 7517; more are members such as "use":"sig".
func jwk(public any, more ...string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	var members []string
	switch k := public.(type) {
	case *rsa.PublicKey:
		members = []string{`"kty":"RSA"`, `"n":"` + b64(k.N.Bytes()) + `"`,
			`"e":"` + b64(big.NewInt(int64(k.E)).Bytes()) + `"`}
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, x, y
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		members = []string{`"kty":"EC"`, `"crv":"` + k.Params().Name + `"`,
			`"x":"` + b64(point[1:1+half]) + `"`, `"y":"` + b64(point[1+half:]) + `"`}
	case ed25519.PublicKey:
		members = []string{`"kty":"OKP"`, `"crv":"Ed25519"`, `"x":"` + b64(k) + `"`}
	}
	return "{" + strings.Join(append(members, more...), ",") + "}"
}

func (p pair) jwk(kid string) string {
	return jwk(p.private.Public(), fmt.Sprintf(`"kid":%q`, kid), `"use":"sig"`,
		fmt.Sprintf(`"alg":%q`, p.alg))
}
