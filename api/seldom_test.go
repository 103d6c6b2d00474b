package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/e2e"
	"tidings/store"
)

// TestErrorLog: what net/http complains about is logged at an enabled level, but only one line a minute of each kind,
// and counted.
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
	for part, want := range map[string]int{"level=WARN msg=\"cannot accept a connection": 2,
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

// leaving is a log that commits nothing until its callers have left.
type leaving struct {
	store.Log
	asked chan struct{}
	left  chan struct{}
}

func (l *leaving) AppendOnce(ctx context.Context, _ []store.Group) ([]store.Result, error) {
	close(l.asked)
	<-ctx.Done()
	defer close(l.left)
	return nil, fmt.Errorf("%w: %w", store.ErrQueueFull, context.Cause(ctx))
}

// TestClientThatLeavesIsQuiet: a client that did not wait is not a fault of the disk.
func TestClientThatLeavesIsQuiet(t *testing.T) {
	text := new(e2e.Output)
	log := &leaving{newLog(t), make(chan struct{}), make(chan struct{})}
	s := newServer(t, log, 0, api.Options{QueueTimeout: time.Hour,
		Logger: slog.New(slog.NewTextHandler(text, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	conn := s.connect()
	fmt.Fprint(conn, "POST /v1/topics/a/events HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Length: 1\r\n\r\n1")
	<-log.asked
	conn.Close()
	<-log.left
	e2e.Eventually(t, "line about it", func() bool {
		return strings.Contains(text.String(), "context canceled")
	})
	if strings.Contains(text.String(), "level=ERROR") {
		t.Errorf("the log has %s", text)
	}
	refused := `tidings_publishes_total{outcome="queue-full"}`
	if got := s.metrics()[refused]; got != "" && got != "0" {
		t.Errorf("%s is %s", refused, got)
	}
}

// TestScrapeThatIsCutOffIsQuiet: promhttp complains about each metric that it could not send.
func TestScrapeThatIsCutOffIsQuiet(t *testing.T) {
	text := new(e2e.Output)
	s := newServer(t, newLog(t), 0, api.Options{Logger: slog.New(slog.NewTextHandler(text,
		&slog.HandlerOptions{Level: slog.LevelDebug}))})
	s.api.MetricsHandler().ServeHTTP(gone{httptest.NewRecorder()},
		httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if got := strings.Count(text.String(), "level=DEBUG msg=\"scrape cut off"); got != 1 {
		t.Errorf("%d lines about the scrape, want one: %s", got, text.String())
	}
	if got := strings.Count(text.String(), "level=WARN"); got != 0 {
		t.Errorf("%d warnings, want none", got)
	}
}

// gone is a client that has closed its connection.
type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) { return 0, syscall.EPIPE }
