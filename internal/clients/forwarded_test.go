package clients_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestSessionBehindProxy: the proxy reports that its client's connection is encrypted, and the server believes it,
// so that a browser gets the cookie that only encrypted connections may have.
func TestSessionBehindProxy(t *testing.T) {
	key := rand.Text() + rand.Text()
	behindEach(t, "", []string{"--jwt-key", key},
		func(t *testing.T, ctx context.Context, b behind) {
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			b.client.Jar = jar
			req, err := http.NewRequestWithContext(ctx, http.MethodPut, proxyURL+"/v1/session", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+newToken(t, key))
			resp, err := b.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			cookies := jar.Cookies(&url.URL{Scheme: "https", Host: siteName})
			if len(cookies) != 1 || cookies[0].Name != "__Host-tidings_token" {
				t.Fatalf("answer %s, cookies %v", resp.Status, cookies)
			}
			awaitEvent(t, b.subscribe(t, ctx, ""), "tidings.open")
		})
}

// TestClientAddressBehindProxy: the server identifies a stream by its client's address, whatever the client itself
// claims.
func TestClientAddressBehindProxy(t *testing.T) {
	behindEach(t, "", nil, func(t *testing.T, ctx context.Context, b behind) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, proxyURL+"/v1/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", "198.51.100.1")
		stream, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Body.Close()
		resp, err := b.client.Get(proxyURL + "/v1/subscribers")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var list struct{ Subscribers []struct{ Remote string } }
		if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		want := b.proxy.clients.String()
		if len(list.Subscribers) != 1 || list.Subscribers[0].Remote != want {
			t.Errorf("the server lists %v, want one subscriber at %s", list.Subscribers, want)
		}
	})
}

func newToken(t *testing.T, key string) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub":     "admin-console",
		"exp":     time.Now().Add(time.Hour).Unix(),
		"tidings": map[string]any{"publish": []string{"orders"}, "subscribe": []string{"orders"}},
	}).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return token
}
