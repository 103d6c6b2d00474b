package auth_test

import (
	"crypto/ecdsa"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"tidings/internal/auth"
)

// TestOwner: which tokens have the same owner, and which do not.
func TestOwner(t *testing.T) {
	of := func(o auth.Options, claims ...string) string {
		t.Helper()
		o.Key = []byte(secret)
		grant, err := newVerifier(t, o).Verify(t.Context(), hs256(t, payload(claims...)))
		if err != nil {
			t.Fatal(err)
		}
		return grant.Owner()
	}
	any, one := auth.Options{}, auth.Options{Issuer: "https://a.example"}
	ann := of(any, `"sub":"ann"`)
	for what, renewed := range map[string]string{
		"another claim":       of(any, `"sub":"ann"`, `"jti":"2"`),
		"another grant":       of(any, `"sub":"ann"`, `"tidings":{"publish":["a"]}`),
		"an escape":           of(any, `"sub":"\u0061nn"`),
		"the server's issuer": of(one, `"sub":"ann"`, `"iss":"https://a.example"`),
	} {
		if renewed != ann {
			t.Errorf("%s: %q, want %q", what, renewed, ann)
		}
	}
	owners := map[string]string{"": "everybody", ann: "ann"}
	for what, claims := range map[string][]string{
		"no subject": nil, "no subject, another token": {`"jti":"2"`}, "an empty subject": {`"sub":""`},
		"another empty subject": {`"sub":""`, `"jti":"2"`}, "another case": {`"sub":"Ann"`},
		"white space behind": {`"sub":"ann "`}, "composed": {`"sub":"\u00e9"`},
		"decomposed": {`"sub":"e\u0301"`}, "an issuer": {`"sub":"ann"`, `"iss":"https://a.example"`},
		"another issuer": {`"sub":"ann"`, `"iss":"https://b.example"`},
	} {
		owner := of(any, claims...)
		if other, taken := owners[owner]; taken {
			t.Errorf("%s is the owner %q, as is %s", what, owner, other)
		}
		owners[owner] = what
	}
	if owner := auth.Everything().Owner(); owner != "" {
		t.Errorf("everybody is %q", owner)
	}
}

// TestOwnerOfOtherSignature: the holder of an ECDSA token can make another valid signature. That is not another token.
func TestOwnerOfOtherSignature(t *testing.T) {
	for _, p := range newPairs(t) {
		key, ok := p.private.(*ecdsa.PrivateKey)
		if !ok {
			continue
		}
		token := forge(t, jwt.SigningMethodES256, key, `{"alg":"ES256"}`, payload())
		dot := strings.LastIndexByte(token, '.')
		text, signature := token[:dot+1], token[dot+1:]
		raw, err := base64.RawURLEncoding.DecodeString(signature)
		if err != nil {
			t.Fatal(err)
		}
		s := new(big.Int).SetBytes(raw[32:])
		s.Sub(key.Params().N, s).FillBytes(raw[32:])
		v, owners := newVerifier(t, auth.Options{Key: p.publicPEM(t)}), make(map[string]bool)
		for _, token := range []string{token, text + base64.RawURLEncoding.EncodeToString(raw)} {
			grant, err := v.Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			owners[grant.Owner()] = true
		}
		if len(owners) != 1 {
			t.Errorf("owners %v, want one", owners)
		}
	}
}
