package auth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"tidings/internal/auth"
)

// TestLeeway moves one verifier's clock, so that cached tokens follow the same rules. The steps are ordered so that
// each edge meets both a new token and a cached one.
func TestLeeway(t *testing.T) {
	clock := &clock{start}
	v := newVerifier(t, auth.Options{Key: []byte(secret), Now: clock.now})
	exp, nbf, iat := start.Add(time.Hour), start.Add(-time.Minute), start.Add(-time.Second)
	token := hs256(t, fmt.Sprintf(`{"exp":%d,"nbf":%d,"iat":%d}`, exp.Unix(),
		nbf.Unix(), iat.Unix()))
	for i, step := range []struct {
		now  time.Time
		want error
	}{
		{exp.Add(auth.Leeway), auth.ErrToken},
		{iat.Add(-auth.Leeway - 1), auth.ErrToken},
		{iat.Add(-auth.Leeway), nil}, // from here on it is cached
		{iat.Add(-auth.Leeway - 1), auth.ErrToken},
		{nbf.Add(-auth.Leeway - 1), auth.ErrToken},
		{exp, nil},
		{exp.Add(auth.Leeway - 1), nil},
		{exp.Add(auth.Leeway), auth.ErrToken},
		{exp.Add(time.Hour), auth.ErrToken},
		{start, nil},
	} {
		clock.t = step.now
		if grant, err := v.Verify(t.Context(), token); !errors.Is(err, step.want) {
			t.Errorf("step %d, %v: got %s, %v, want %v", i, step.now, format(grant), err, step.want)
		}
	}
}

// TestManyTokens goes far beyond what is cached, 2 MiB of tokens, and back.
func TestManyTokens(t *testing.T) {
	v := newVerifier(t, auth.Options{Key: []byte(secret)})
	tokens := map[string]string{}
	for i := range 600 {
		subject := fmt.Sprint("user-", i)
		tokens[hs256(t, payload(`"sub":"`+subject+`"`,
			`"pad":"`+strings.Repeat("x", 5500)+`"`))] = subject
	}
	remembered, bytes := 0, 0
	for range 2 {
		remembered, bytes = 0, 0
		for token, subject := range tokens {
			before := mallocs()
			got, err := v.Verify(t.Context(), token)
			if err != nil || got.Subject != subject {
				t.Fatalf("got subject %q, error %v, want %q", got.Subject, err, subject)
			}
			if mallocs()-before < 50 { // the whole way takes four times as many
				remembered++
				bytes += len(token)
			}
		}
	}
	if remembered == 0 || bytes > 2<<20 {
		t.Errorf("%d tokens of %d bytes in all were remembered", remembered, bytes)
	}
}

func mallocs() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

// A cached token must not let in one that differs in its signature only.
func TestRememberedTokenIsWhole(t *testing.T) {
	v := newVerifier(t, auth.Options{Key: []byte(secret)})
	token := hs256(t, payload())
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(token))
	forged := token[:strings.LastIndexByte(token, '.')+1] +
		base64.RawURLEncoding.EncodeToString(sum[:])
	if _, err := v.Verify(t.Context(), forged); !errors.Is(err, auth.ErrToken) {
		t.Errorf("got %v, want %v", err, auth.ErrToken)
	}
}
