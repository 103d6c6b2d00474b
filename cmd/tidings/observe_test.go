package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"tidings/internal/e2e"
)

// beside reads the URLs of the side listeners from the log, by flag.
func beside(t *testing.T, log *e2e.Output) map[string]string {
	t.Helper()
	e2e.Eventually(t, "line that the server listens", func() bool {
		return strings.Contains(log.String(), `"msg":"listening"`)
	})
	urls := make(map[string]string)
	for line := range strings.Lines(log.String()) {
		var entry struct{ Flag, URL string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Flag != "" {
			urls[entry.Flag] = entry.URL
		}
	}
	return urls
}

// fetch returns the status and the body of the response to a GET.
func fetch(t *testing.T, url, host string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestSideListeners: what each serves and to whom, and that the other does not serve it.
func TestSideListeners(t *testing.T) {
	var log e2e.Output
	url := servingTo(t, &log, "--data-dir", t.TempDir(), "--jwt-key", jwtSecret, "--metrics-listen",
		"127.0.0.1:0", "--debug-listen", "localhost:0")
	urls := beside(t, &log)
	metrics, debug := urls["metrics-listen"], urls["debug-listen"]
	for _, c := range []struct {
		url, host string
		status    int
		body      string
	}{
		{url + "/metrics", "", http.StatusUnauthorized, "token-missing"},
		{metrics + "/metrics", "", http.StatusOK, "tidings_disk_free_bytes "},
		{metrics + "/metrics", "tidings-0.internal", http.StatusOK,
			`tidings_build_info{goversion="go`},
		{metrics + "/v1/log", "", http.StatusNotFound, ""},
		{metrics + "/debug/pprof/", "", http.StatusNotFound, ""},
		{debug + "/debug/pprof/", "", http.StatusOK, "goroutine"},
		{debug + "/debug/pprof/goroutine?debug=1", "", http.StatusOK, "goroutine profile: total"},
		{debug + "/debug/pprof/goroutine", "evil.example:80", http.StatusMisdirectedRequest, ""},
		{debug + "/debug/pprof/cmdline", "", http.StatusNotFound, ""},
		{debug + "/metrics", "", http.StatusNotFound, ""},
		{url + "/debug/pprof/heap", "", http.StatusNotFound, ""},
	} {
		status, body := fetch(t, c.url, c.host)
		if status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s as %q: %d, want %d with %q: %.200s", c.url, c.host, status,
				c.status, c.body, body)
		}
	}
}
