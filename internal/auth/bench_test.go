package auth_test

import (
	"fmt"
	"testing"

	"tidings/internal/auth"
)

// BenchmarkVerify measures a token that is in the cache, and one seen for the first time.
func BenchmarkVerify(b *testing.B) {
	more := []string{`"sub":"shop-42"`, `"iss":"https://id.example"`,
		fmt.Sprintf(`"iat":%d`, start.Unix()),
		`"tidings":{"publish":["orders.>"],"subscribe":["orders.>","tickets.*"]}`}
	type kind struct {
		name  string
		key   []byte
		token func(n int) string
	}
	kinds := []kind{{"HS256", []byte(secret), func(n int) string {
		return hs256(b, payload(append(more, fmt.Sprintf(`"n":%d`, n))...))
	}}}
	for _, p := range newPairs(b) {
		kinds = append(kinds, kind{p.alg, p.publicPEM(b), func(n int) string {
			return forge(b, p.method, p.private, fmt.Sprintf(`{"alg":%q}`, p.alg),
				payload(append(more, fmt.Sprintf(`"n":%d`, n))...))
		}})
	}
	for _, k := range kinds {
		b.Run(k.name+"/remembered", func(b *testing.B) {
			v, token := newVerifier(b, auth.Options{Key: k.key}), k.token(0)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(k.name+"/new", func(b *testing.B) {
			tokens := make([]string, 1000)
			for i := range tokens {
				tokens[i] = k.token(i)
			}
			b.ReportAllocs()
			var v *auth.Verifier
			for i := 0; b.Loop(); i++ {
				if i%len(tokens) == 0 {
					v = newVerifier(b, auth.Options{Key: k.key}) // with an empty cache
				}
				if _, err := v.Verify(b.Context(), tokens[i%len(tokens)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
