package auth_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings/internal/auth"
)

func TestJWKS(t *testing.T) {
	pairs := newPairs(t)
	server := newJWKSServer(t, pairs[0].jwk("r"), jwk(pairs[1].private.Public(), `"kid":"e"`),
		pairs[2].jwk("d"))
	v := newVerifier(t, auth.Options{JWKSURL: server.url})
	for i, kid := range []string{"r", "e", "d"} {
		for j, p := range pairs {
			want := auth.ErrToken
			if i == j {
				want = nil
			}
			if _, err := v.Verify(t.Context(), p.token(t, kid)); !errors.Is(err, want) {
				t.Errorf("%s with kid %q: got %v, want %v", p.alg, kid, err, want)
			}
		}
		if _, err := v.Verify(t.Context(), pairs[i].token(t, "")); err != nil {
			t.Errorf("%s without kid, whose only key is %q: %v", pairs[i].alg, kid, err)
		}
	}
	server.wantFetches(t, 1) // the clock does not move
}

func TestJWKSWithoutKidIsAmbiguous(t *testing.T) {
	a, b := newEdDSA(t), newEdDSA(t)
	v := newVerifier(t, auth.Options{JWKSURL: newJWKSServer(t, a.jwk("a"), b.jwk("b")).url})
	if _, err := v.Verify(t.Context(), a.token(t, "")); !errors.Is(err, auth.ErrToken) {
		t.Errorf("got %v, want %v", err, auth.ErrToken)
	}
}

func TestJWKSUnknownKid(t *testing.T) {
	old, next := newEdDSA(t), newES256(t)
	server := newJWKSServer(t, old.jwk("old"))
	clock := &clock{start}
	v := newVerifier(t, auth.Options{JWKSURL: server.url, Now: clock.now})
	verify := func(p pair, kid string, want error) {
		t.Helper()
		if _, err := v.Verify(t.Context(), p.token(t, kid)); !errors.Is(err, want) {
			t.Errorf("kid %q: got %v, want %v", kid, err, want)
		}
	}
	verify(old, "old", nil)
	clock.t = start.Add(30*time.Second - 1)
	for _, kid := range []string{"x", "../../etc/passwd", "' OR 1=1 --",
		strings.Repeat("k", 4000)} {
		verify(old, kid, auth.ErrToken)
	}
	server.wantFetches(t, 1) // "87 at most one refresh per 30 s": the start was one

	server.serve(next.jwk("next"))
	clock.t = start.Add(30 * time.Second)
	verify(next, "next", nil)
	verify(old, "old", auth.ErrToken) // removed from the set, though the token was cached
	verify(old, "next", auth.ErrToken)
	server.wantFetches(t, 2)

	server.do(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "down", http.StatusBadGateway)
	})
	clock.t = clock.t.Add(time.Minute)
	verify(old, "old", auth.ErrToken)
	verify(old, "old", auth.ErrToken)
	server.wantFetches(t, 3) // a failed fetch counts
	verify(next, "next", nil)
}

func TestJWKSGetsOld(t *testing.T) {
	a, b := newEdDSA(t), newEdDSA(t)
	server := newJWKSServer(t, a.jwk("a"))
	clock := &clock{start}
	v := newVerifier(t, auth.Options{JWKSURL: server.url, Now: clock.now})
	token := a.token(t, "a")
	server.do(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	clock.t = start.Add(10 * time.Minute)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("while the set cannot be fetched: %v", err)
	}
	server.serve(b.jwk("b"))
	clock.t = clock.t.Add(30 * time.Second)
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrToken) {
		t.Errorf("after its key was taken out: got %v, want %v", err, auth.ErrToken)
	}
}

// TestJWKSGetsStale: row 185 of docs/ERRORS.md.
func TestJWKSGetsStale(t *testing.T) {
	a := newEdDSA(t)
	server := newJWKSServer(t, a.jwk("a"))
	clock := &clock{start}
	v := newVerifier(t, auth.Options{JWKSURL: server.url, Now: clock.now})
	token := forge(t, a.method, a.private, `{"alg":"EdDSA","kid":"a"}`, `{"exp":4102444800}`)
	server.do(http.NotFound)
	clock.t = start.Add(24*time.Hour - 1)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("after nearly a day: %v", err)
	}
	clock.t = start.Add(24 * time.Hour) // too early for another fetch
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrKeys) {
		t.Errorf("after a day: got %v, want %v", err, auth.ErrKeys)
	}
	server.serve(a.jwk("a"))
	clock.t = clock.t.Add(30 * time.Second)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("once the address answers: %v", err)
	}
}

// TestJWKSKeyChanges: row 185 of docs/ERRORS.md: another key under the ID of an old one.
func TestJWKSKeyChanges(t *testing.T) {
	for _, kid := range []string{"k", ""} {
		old, next := newEdDSA(t), newEdDSA(t)
		server := newJWKSServer(t, old.jwk("k"))
		clock := &clock{start}
		v := newVerifier(t, auth.Options{JWKSURL: server.url, Now: clock.now})
		verify := func(p pair, want error) {
			t.Helper()
			if _, err := v.Verify(t.Context(), p.token(t, kid)); !errors.Is(err, want) {
				t.Errorf("kid %q: got %v, want %v", kid, err, want)
			}
		}
		verify(old, nil)
		clock.t = start.Add(30*time.Second - 1)
		for range 3 {
			verify(next, auth.ErrToken)
		}
		server.wantFetches(t, 1)
		server.serve(next.jwk("k"))
		clock.t = start.Add(30 * time.Second)
		verify(next, nil)
		verify(old, auth.ErrToken)
		verify(newEdDSA(t), auth.ErrToken)
		server.wantFetches(t, 2)
		clock.t = clock.t.Add(30 * time.Second)
		verify(newEdDSA(t), auth.ErrToken) // the set is new, but the same
		verify(next, nil)
		server.wantFetches(t, 3)
	}
}

// A caller that hangs up must not use up the fetch of the next 30 seconds.
func TestJWKSFetchOutlivesItsCaller(t *testing.T) {
	old, next := newEdDSA(t), newEdDSA(t)
	server := newJWKSServer(t, old.jwk("old"))
	clock := &clock{start}
	v := newVerifier(t, auth.Options{JWKSURL: server.url, Now: clock.now})
	clock.t = start.Add(time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	server.do(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		fmt.Fprintf(w, `{"keys":[%s]}`, next.jwk("next"))
	})
	if _, err := v.Verify(ctx, next.token(t, "next")); err != nil {
		t.Error(err)
	}
	server.wantFetches(t, 2)
}

// While one call fetches, one with a new key waits for the outcome, or for its own end.
func TestJWKSConcurrentFetches(t *testing.T) {
	old, next := newEdDSA(t), newEdDSA(t)
	server := newJWKSServer(t, old.jwk("old"))
	clock := &clock{start}
	v := newVerifier(t, auth.Options{JWKSURL: server.url, Now: clock.now})
	clock.t = start.Add(time.Minute)
	fetching, answer := make(chan struct{}), make(chan struct{})
	server.do(func(w http.ResponseWriter, _ *http.Request) {
		close(fetching)
		<-answer
		fmt.Fprintf(w, `{"keys":[%s]}`, next.jwk("next"))
	})
	results := make(chan error, 10)
	verify := func() {
		_, err := v.Verify(t.Context(), next.token(t, "next"))
		results <- err
	}
	go verify()
	<-fetching
	for range cap(results) - 1 {
		go verify()
	}
	if _, err := v.Verify(t.Context(), old.token(t, "old")); err != nil {
		t.Errorf("a known key had to wait: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(gone, next.token(t, "next")); !errors.Is(err, auth.ErrToken) {
		t.Errorf("a caller that is gone: got %v, want %v", err, auth.ErrToken)
	}
	close(answer)
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	server.wantFetches(t, 2)
}

func TestJWKSKeysNotUsed(t *testing.T) {
	ed := newEdDSA(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	oct := `{"kty":"oct","kid":"k","k":"` +
		base64.RawURLEncoding.EncodeToString([]byte(secret)) + `"}`
	seed := base64.RawURLEncoding.EncodeToString(ed.private.(ed25519.PrivateKey).Seed())
	unused := map[string]string{
		"symmetric":         oct,
		"symmetric, marked": strings.Replace(oct, `{`, `{"alg":"HS256","use":"sig",`, 1),
		"private":           jwk(ed.private.Public(), `"kid":"k"`, `"d":"`+seed+`"`),
		"for encryption":    jwk(ed.private.Public(), `"kid":"k"`, `"use":"enc"`),
		"another algorithm": jwk(ed.private.Public(), `"kid":"k"`, `"alg":"HS256"`),
		"RSA of 1,024 bits": jwk(small.Public(), `"kid":"k"`),
		"RSA for RS512":     jwk(newPairs(t)[0].private.Public(), `"kid":"k"`, `"alg":"RS512"`),
		"curve P-384":       jwk(p384.Public(), `"kid":"k"`),
		"of the future":     `{"kty":"AKP","kid":"k"}`,
		"not an object":     `"k"`,
	}
	for name, key := range unused {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			v := newVerifier(t, auth.Options{JWKSURL: newJWKSServer(t, key).url,
				Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if _, err := v.Keys(t.Context()); !errors.Is(err, auth.ErrKeys) ||
				!strings.Contains(log.String(), "none of the 1 keys") {
				t.Errorf("alone: got %v, log %s", err, &log)
			}
			good := newES256(t)
			v = newVerifier(t, auth.Options{JWKSURL: newJWKSServer(t, key, good.jwk("good")).url})
			if _, err := v.Verify(t.Context(), good.token(t, "good")); err != nil {
				t.Errorf("the good key beside it: %v", err)
			}
			for _, token := range []string{hs256(t, payload()), ed.token(t, "k")} {
				if _, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrToken) {
					t.Errorf("got %v, want %v", err, auth.ErrToken)
				}
			}
		})
	}
}

// TestJWKSComesLater: row 184 of docs/ERRORS.md.
func TestJWKSComesLater(t *testing.T) {
	pair := newEdDSA(t)
	good := pair.jwk("k")
	elsewhere := newJWKSServer(t, good)
	answers := map[string]struct {
		answer http.HandlerFunc
		reason string
	}{
		"not found": {http.NotFound, "404"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.url, http.StatusFound)
		}, "redirects are not followed"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<html>")
		}, "not a JSON Web Key Set"},
		"no keys": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{}`)
		}, "none of the 0 keys"},
		"too much": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"keys":[%s],"pad":"%s"}`, good, strings.Repeat("x", 1<<20))
		}, "more than"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"keys":[`)
		}, "EOF"},
	}
	for name, a := range answers {
		t.Run(name, func(t *testing.T) {
			server := newJWKSServer(t)
			server.do(a.answer)
			var log bytes.Buffer
			clock := &clock{start}
			v := newVerifier(t, auth.Options{JWKSURL: server.url, Now: clock.now,
				Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if !strings.Contains(log.String(), a.reason) || !strings.Contains(log.String(), server.url) {
				t.Errorf("log %s, want %q and the URL", &log, a.reason)
			}
			for second := range 63 { // it is retried after 1 s, 2 s, 4 s and so on
				clock.t = start.Add(time.Duration(second) * time.Second)
				for _, token := range []string{pair.token(t, "k"), "no token"} {
					if _, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrKeys) {
						t.Fatalf("after %d s: got %v, want %v", second, err, auth.ErrKeys)
					}
				}
			}
			server.wantFetches(t, 7)
			server.serve(good)
			clock.t = start.Add(93 * time.Second)
			if fetched, err := v.Keys(t.Context()); err != nil || !fetched.Equal(clock.t) {
				t.Errorf("got %v, %v", fetched, err)
			}
			if _, err := v.Verify(t.Context(), pair.token(t, "k")); err != nil {
				t.Error(err)
			}
		})
	}
	elsewhere.wantFetches(t, 0)
	for _, url := range []string{"http://id.example/jwks", "ftp://127.0.0.1/", "file:///etc/passwd",
		"//127.0.0.1/", "http://", "\x7f", "http://10.0.0.1/jwks", "http://localhost.example/"} {
		if _, err := auth.NewVerifier(t.Context(), auth.Options{JWKSURL: url}); err == nil ||
			!strings.Contains(err.Error(), "expected https") {
			t.Errorf("%q: got %v", url, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := auth.NewVerifier(ctx, auth.Options{JWKSURL: elsewhere.url}); !errors.Is(err,
		context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestJWKSTimeout(t *testing.T) {
	silent := roundTripper(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		v := newVerifier(t, auth.Options{JWKSURL: "https://id.example/jwks", Transport: silent})
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if _, err := v.Verify(t.Context(), "a.b.c"); !errors.Is(err, auth.ErrKeys) {
			t.Errorf("got %v", err)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
