package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serving runs serve in this process until the test ends, and returns its URL. A failed test prints its log.
func serving(t *testing.T, args ...string) (url string) {
	t.Helper()
	var log bytes.Buffer // a logger writes one line at a time, and the test reads it only after the end
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("serve %q logged:\n%s", args, &log)
		}
	})
	return servingTo(t, &log, args...)
}

// servingTo is serving with a destination for the log.
func servingTo(t *testing.T, stderr io.Writer, args ...string) (url string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), nil,
			strings.NewReader(""), w, stderr)
		w.Close()
	}()
	t.Cleanup(func() {
		stop()
		if got := <-code; got != exitOK {
			t.Errorf("serve ended with %d, want %d", got, exitOK)
		}
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("serve printed %q", line)
	}
	return url
}

// TestServePublishTail is the main job done with the program's own verbs: publish, read from the start, restart,
// resume.
func TestServePublishTail(t *testing.T) {
	dir := t.TempDir()
	ids := func(out string) (ids []string) {
		for line := range strings.Lines(out) {
			id, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			ids = append(ids, id)
		}
		return ids
	}
	var first []string
	t.Run("first run", func(t *testing.T) {
		url := serving(t, "--data-dir", dir)
		for _, data := range []string{`{"order":1}`, `{"order":2}`, `{"order":3}`} {
			runCLI(t, "publish", "--url", url, "orders", data).ended(t, exitOK)
		}
		first = ids(runCLI(t, "tail", "--url", url, "orders", "--since", "earliest", "--limit",
			"3").ended(t, exitOK).stdout)
		runCLI(t, "health", "--url", url).ended(t, exitOK)
	})
	t.Run("second run", func(t *testing.T) {
		url := serving(t, "--data-dir", dir)
		rest := ids(runCLI(t, "tail", "--url", url, "orders", "--after", first[0], "--limit",
			"2").ended(t, exitOK).stdout)
		if strings.Join(rest, " ") != strings.Join(first[1:], " ") {
			t.Errorf("after %s: got %v, want %v", first[0], rest, first[1:])
		}
	})
}

// TestServeRefuses: settings that cannot be right end in one line that names the flag, with its exit code.
func TestServeRefuses(t *testing.T) {
	kept, _ := storedLog(t)
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "log.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mangled := filepath.Join(t.TempDir(), "mangled.pem")
	if err := os.WriteFile(mangled,
		[]byte("-----BEGIN PUBLIC KEY-----\\nMCowBQYDK2Vw\\n-----END PUBLIC KEY-----"),
		0o600); err != nil {
		t.Fatal(err)
	}
	held := t.TempDir()
	url := serving(t, "--data-dir", held)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--listen 0.0.0.0:0", exitUsage, "--insecure"},
		{"--listen :8080", exitUsage, "--insecure"},
		{"--listen localhost", exitUsage, "--listen"},
		{"--listen " + strings.TrimPrefix(url, "http://") + " --data-dir " + t.TempDir(),
			exitFailure, "--listen"},
		{"--heartbeat 0s", exitUsage, "--heartbeat"},
		{"--tail-bytes 64Mib7", exitUsage, "--tail-bytes"},
		{"--max-event-bytes 1GiB", exitUsage, "--max-event-bytes"},
		{"--max-topics 0", exitUsage, "--max-topics"},
		{"--bogus", exitUsage, "--bogus"},
		{"--listen 0.0.0.0:0", exitUsage, "openssl rand -base64 32"},
		{"--jwt-key short", exitUsage, "--jwt-key: an HMAC secret has at least 32 bytes"},
		{"--jwt-key-file " + mangled, exitUsage, "--jwt-key-file: damaged PEM"},
		{"--jwt-key-file nowhere", exitUsage, "--jwt-key-file"},
		{"--jwt-key-file " + mangled + " --jwks-url https://example.com/keys", exitUsage,
			"--jwt-key-file and --jwks-url"},
		{"--jwt-issuer me", exitUsage, "--jwt-issuer"},
		{"--jwt-audience me", exitUsage, "--jwt-audience"},
		{"--tls-cert " + mangled, exitUsage, "--tls-key"},
		{"--tls-key " + mangled, exitUsage, "--tls-cert"},
		{"--tls-cert " + mangled + " --tls-key " + mangled, exitUsage,
			"--tls-cert and --tls-key: "},
		{"--tls-cert nowhere --tls-key nowhere", exitUsage, "--tls-cert and --tls-key: "},
		{"--cors-origin *", exitUsage, "--cors-origin"},
		{"--cors-origin null", exitUsage, "--cors-origin"},
		{"--cors-origin https://*.example.com", exitUsage, "--cors-origin"},
		{"--cors-origin https://example.com/", exitUsage, "--cors-origin"},
		{"--cors-origin file://x", exitUsage, "--cors-origin"},
		{"--cors-origin https://münchen.example", exitUsage, "xn--"},
		{"--cors-origin https://user@app.example.com", exitUsage, "--cors-origin"},
		{"--cors-origin https://app.example.com?", exitUsage, "--cors-origin"},
		{"--cors-origin https://app.example.com#", exitUsage, "--cors-origin"},
		{"--cors-origin https://app.example.com:", exitUsage, "--cors-origin"},
		{"--cors-origin https://app.example.com:99999", exitUsage, "1 to 65535"},
		{"--cors-origin https://app.example.com:0", exitUsage, "1 to 65535"},
		{"--cors-origin app.example.com", exitUsage, "--cors-origin"},
		{"--cors-origin capacitor:", exitUsage, "--cors-origin"},
		{"--trusted-proxy 10.0.0.0/33", exitUsage, "--trusted-proxy: expected a network"},
		{"--rate-publish 5", exitUsage, "--rate-publish: expected a rate above 0, such as 100/s"},
		{"--rate-read -1/s", exitUsage, "--rate-read"},
		{"--rate-read 0/s", exitUsage, "--rate-read"},
		{"--rate-read NaN/s", exitUsage, "--rate-read"},
		{"--rate-per-address", exitUsage, "--rate-per-address"},
		{"--max-streams 0", exitUsage, "--max-streams"},
		{"--max-streams-per-token 0", exitUsage, "--max-streams-per-token"},
		{"--metrics-listen 9090", exitUsage, "--metrics-listen: expected HOST:PORT"},
		{"--metrics-listen " + strings.TrimPrefix(url,
			"http://") + " --listen 127.0.0.1:0 --data-dir " + kept, exitFailure,
			"--metrics-listen: listen"},
		{"--debug-listen :6060", exitUsage, "--debug-listen: expected a loopback address"},
		{"--debug-listen 0.0.0.0:6060", exitUsage, "--debug-listen: expected a loopback address"},
		{"--max-subscription-topics 0", exitUsage, "--max-subscription-topics"},
		{"--listen 127.0.0.1:0 --data-dir " + empty, exitDamaged, "empty"},
		{"--listen 127.0.0.1:0 --data-dir " + held, exitInUse, "held by process"},
	} {
		got := runCLI(t, append([]string{"serve"}, strings.Fields(c.args)...)...).ended(t, c.code)
		if !strings.Contains(got.stderr, c.want) ||
			strings.Count(strings.TrimSpace(got.stderr), "\n") > 0 {
			t.Errorf("%s: stderr %q, want one line with %q", c.args, got.stderr, c.want)
		}
	}
}
