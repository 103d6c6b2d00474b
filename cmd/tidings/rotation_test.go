package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// statusOf returns the status of a request with the token.
func statusOf(t *testing.T, url, token string) int {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestRotation: row 186 of docs/ERRORS.md, done as docs/OPERATING.md describes.
func TestRotation(t *testing.T) {
	const next = "Zk3vR8sQ1mYwT6uH0cJx5LbNgPdA9eFi2oVqXtKrWzE="
	file := write(t, "key", []byte(jwtSecret+"\n"), 0o600)
	replace := func(text string) {
		t.Helper()
		beside := filepath.Join(filepath.Dir(file), "new")
		if err := os.WriteFile(beside, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(beside, file); err != nil {
			t.Fatal(err)
		}
	}
	token := func() string {
		t.Helper()
		return runCLI(t, "token", "--jwt-key-file", file).ended(t, exitOK).stdout
	}
	url := serving(t, "--data-dir", t.TempDir(), "--jwt-key-file", file) + "/v1/log"
	awaitStatus := func(token string, want int) {
		t.Helper()
		for deadline := time.Now().Add(e2e.Patience); ; {
			got := statusOf(t, url, token)
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("status %d, want %d", got, want)
			}
		}
	}
	old := token()
	awaitStatus(old, 200)
	t.Run("row 186: another secret before it", func(t *testing.T) {
		replace(next + "\n" + jwtSecret + "\n")
		awaitStatus(token(), 200)
		awaitStatus(old, 200)
	})
	t.Run("row 186: what cannot be used", func(t *testing.T) {
		replace("changeme\n")
		runCLI(t, "token", "--jwt-key-file", file).ended(t, exitUsage)
		awaitStatus(old, 200)
	})
	t.Run("row 186: without the old one", func(t *testing.T) {
		replace(next + "\n")
		awaitStatus(old, 401)
		awaitStatus(token(), 200)
	})
}

// TestIssuerIsLate: row 184 of docs/ERRORS.md: an invalid address is a wrong setting, an address that does not
// answer is not.
func TestIssuerIsLate(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	t.Run("row 184: start", func(t *testing.T) {
		url := serving(t, "--data-dir", t.TempDir(), "--jwks-url", "http://"+closed.Addr().String())
		if got := statusOf(t, url+"/v1/log", "a.b.c"); got != 503 {
			t.Errorf("status %d, want 503", got)
		}
		if got := statusOf(t, url+"/readyz", ""); got != 503 {
			t.Errorf("/readyz: status %d, want 503", got)
		}
		if got := statusOf(t, url+"/healthz", ""); got != 200 {
			t.Errorf("/healthz: status %d, want 200", got)
		}
	})
	for _, address := range []string{"http://id.example.com/jwks", "id.example.com/jwks", "nonsense",
		"ftp://127.0.0.1/jwks"} {
		t.Run("row 184: "+address, func(t *testing.T) {
			configRow{args: "--jwks-url " + address, want: "--jwks-url: JWKS URL: expected https"}.refused(t)
		})
	}
}
