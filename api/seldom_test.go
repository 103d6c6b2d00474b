package api_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/e2e"
)

// TestErrorLog: what net/http complains of is at a level that is on, but one line a minute of each
// kind, and counted.
func TestErrorLog(t *testing.T) {
	now, text := time.Now(), new(e2e.Output)
	s := newServer(t, newLog(t), 0, api.Options{Logger: slog.New(slog.NewTextHandler(text, nil)),
		Now: func() time.Time { return now }})
	for range 5 {
		s.api.ErrorLog().Print("http: Accept error: accept tcp: too many open files; retrying in 1s")
		s.api.ErrorLog().Print("http: TLS handshake error from 192.0.2.1:1: EOF")
		s.api.ErrorLog().Print("http: panic serving 192.0.2.1:1: boom\ngoroutine 1 [running]:")
		s.api.ErrorLog().Print("http2: panic serving 192.0.2.1:1: boom\ngoroutine 1 [running]:")
	}
	now = now.Add(time.Minute)
	s.api.ErrorLog().Print("http: Accept error: accept tcp: too many open files; retrying in 1s")
	for part, want := range map[string]int{"level=WARN msg=\"a connection could not be": 2,
		"level=INFO msg=\"a TLS handshake failed": 1, "level=ERROR msg=\"a handler panicked": 1,
		"more_since_last=4": 1} {
		if got := strings.Count(text.String(), part); got != want {
			t.Errorf("%d lines with %q, want %d", got, part, want)
		}
	}
	wantSamples(t, s.metrics(), map[string]string{
		`tidings_http_faults_total{kind="accept"}`: "6",
		`tidings_http_faults_total{kind="tls"}`:    "5",
		`tidings_http_faults_total{kind="panic"}`:  "10",
		`tidings_http_faults_total{kind="other"}`:  "0",
	})
}

// TestScrapeThatIsCutOffIsQuiet: promhttp complains of each metric that it could not send.
func TestScrapeThatIsCutOffIsQuiet(t *testing.T) {
	text := new(e2e.Output)
	s := newServer(t, newLog(t), 0, api.Options{Logger: slog.New(slog.NewTextHandler(text,
		&slog.HandlerOptions{Level: slog.LevelDebug}))})
	s.api.MetricsHandler().ServeHTTP(gone{httptest.NewRecorder()},
		httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if got := strings.Count(text.String(), "level=DEBUG msg=\"a scrape was cut off"); got != 1 {
		t.Errorf("%d lines about the scrape, want one: %s", got, text.String())
	}
	if got := strings.Count(text.String(), "level=WARN"); got != 0 {
		t.Errorf("%d warnings, want none", got)
	}
}

// gone is a client that has closed its connection.
type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) { return 0, syscall.EPIPE }
