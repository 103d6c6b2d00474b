package e2e_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tidings/internal/e2e"
)

// TestDiskHangs: a server whose disk does not finish an fsync is not ready, and the metrics say so; requests that wait
// behind the commit are refused in time, and the process ends in time.
func TestDiskHangs(t *testing.T) {
	needStrace(t)
	_, client := newClient(t)
	server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: t.TempDir(),
		Args: []string{"--queue-timeout", "1s", "--shutdown-timeout", "1s"},
		Wrap: []string{"strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e",
			"inject=fdatasync:delay_enter=300000000:when=8+"}})
	get := func(path string) (status int, body string) {
		resp, err := client.Get(server.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	publish := func() string {
		resp, err := client.Post(server.URL()+"/v1/topics/a/events", "application/json",
			strings.NewReader("1"))
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body) // cut off by the end of the server
		return string(text)
	}
	var hung sync.WaitGroup
	defer hung.Wait()
	hung.Go(func() {
		for strings.Contains(publish(), `"id"`) {
		}
	})
	e2e.Eventually(t, "commit that hangs", func() bool {
		_, metrics := get("/metrics")
		_, after, _ := strings.Cut(metrics, "\ntidings_commit_age_seconds ")
		age, _, _ := strings.Cut(after, "\n")
		seconds, err := strconv.ParseFloat(age, 64)
		return err == nil && seconds > 2 // a commit that ends does not get this old
	})
	if answer := publish(); !strings.Contains(answer, `"queue-full"`) ||
		!strings.Contains(answer, `"not_stored"`) {
		t.Errorf("a publish behind the commit: %s", answer)
	}
	e2e.Eventually(t, "answer of /readyz that says so", func() bool {
		status, body := get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"disk-hangs"`)
	})
	if _, metrics := get("/metrics"); !strings.Contains(metrics, "tidings_ready 0\n") {
		t.Error("tidings_ready is not 0")
	}
	server.Signal(syscall.SIGTERM)
	server.WaitLog("tidings: the log did not close within --shutdown-timeout") // its last words
	server.Kill()                                                              // strace waits for what it delays
}
