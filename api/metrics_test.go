package api_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"tidings/api"
	"tidings/store"
)

// samples returns the values in a response of GET /metrics by their series.
func (a answer) samples(t testing.TB) map[string]string {
	t.Helper()
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	samples := make(map[string]string)
	for line := range strings.Lines(a.body) {
		if i := strings.LastIndex(line, " "); i > 0 && !strings.HasPrefix(line, "#") {
			samples[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return samples
}

func (s *server) metrics() map[string]string {
	s.t.Helper()
	return s.do("GET", "/metrics", "").samples(s.t)
}

func wantSamples(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, series := range slices.Sorted(maps.Keys(want)) {
		if got[series] != want[series] {
			t.Errorf("%s is %q, want %q", series, got[series], want[series])
		}
	}
}

// TestMetrics checks the counts of a little traffic.
func TestMetrics(t *testing.T) {
	s := newServer(t, newLog(t), 0, api.Options{MaxStreams: 1, Version: "v1.2.3",
		DiskFree: func() (uint64, error) { return 12345, nil }})
	first := s.publish("orders", `{"n":1}`)
	s.do("POST", "/v1/topics/orders/events", `{"n":2}`, "Content-Type: application/json",
		"Idempotency-Key: k")
	s.do("POST", "/v1/topics/orders/events", `{"n":2}`, "Content-Type: application/json",
		"Idempotency-Key: k")
	s.do("POST", "/v1/topics/orders/events", `{`, "Content-Type: application/json")
	s.do("POST", "/v1/topics/orders/events", "1", "Origin: https://evil.example",
		"Sec-Fetch-Site: cross-site")
	s.do("POST", "/v1/events", `{"topic":"a","data":1}`+"\n"+`{"topic":"b","data":2}`,
		"Content-Type: application/x-ndjson")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := s.open(ctx, "/v1/stream?topic=orders", "nonsense") // malformed: a gap, then live
	stream.until("tidings.live")
	last := s.publish("orders", `{"n":3}`)
	for e := stream.next(); e.ID != last; e = stream.next() {
	}
	s.trim(last, "orders")
	s.do("GET", "/v1/events?topic=orders&after="+first, "") // expired
	s.open(t.Context(), "/v1/stream", "").overload()
	wantSamples(t, s.metrics(), map[string]string{
		`tidings_publishes_total{outcome="stored"}`:           "4",
		`tidings_publishes_total{outcome="replayed"}`:         "1",
		`tidings_publishes_total{outcome="json-invalid"}`:     "1",
		`tidings_publishes_total{outcome="origin-forbidden"}`: "1",
		`tidings_publishes_total{outcome="no-space"}`:         "0",
		`tidings_batch_events_count`:                          "4",
		`tidings_batch_events_sum`:                            "5",
		`tidings_commit_seconds_count`:                        "5",
		`tidings_trimmed_events_total`:                        "2",
		`tidings_log_events{engine="bbolt"}`:                  "3",
		`tidings_log_topics{engine="bbolt"}`:                  "3",
		`tidings_idempotency_keys`:                            "1",
		`tidings_queue_requests`:                              "0",
		`tidings_subscribers{state="live"}`:                   "1",
		`tidings_subscribers{state="stalled"}`:                "0",
		`tidings_subscriber_lag_events_count`:                 "1",
		`tidings_delivered_events_total`:                      "1",
		`tidings_gaps_total{reason="malformed"}`:              "1",
		`tidings_gaps_total{reason="expired"}`:                "1",
		`tidings_gaps_total{reason="corrupt"}`:                "0",
		`tidings_byes_total{reason="overloaded"}`:             "1",
		`tidings_stalls_total`:                                "0",
		`tidings_tail_feeds`:                                  "1",
		`tidings_tail_wakeups_total`:                          "1",
		`tidings_clock_behind_seconds`:                        "0",
		`tidings_clock_ahead_seconds`:                         "0",
		`tidings_retention_held`:                              "0",
		`tidings_disk_free_bytes`:                             "12345",
		`tidings_ready`:                                       "1",
	})
	samples := strings.Join(slices.Collect(maps.Keys(s.metrics())), "\n")
	for _, want := range []string{`version="v1.2.3"`, "go_goroutines",
		"process_resident_memory_bytes", "tidings_oldest_event_age_seconds"} {
		if !strings.Contains(samples, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(samples, "orders") {
		t.Error("a label has a topic's name")
	}
}

// failed is a log that no longer accepts writes, and cannot report its size.
type failed struct{ store.Log }

var errDisk = errors.New("the disk is gone")

func (failed) Ready() error              { return errDisk }
func (failed) Info() (store.Info, error) { return store.Info{}, errDisk }
func (failed) AppendOnce(context.Context, []store.Group) ([]store.Result, error) {
	return nil, store.ErrFailed
}

// TestMetricsOfAFailedLog: when the log fails, so does readiness, and the other numbers are still reported.
func TestMetricsOfAFailedLog(t *testing.T) {
	s := newServer(t, failed{newLog(t)}, 0, api.Options{DiskFree: func() (uint64, error) {
		return 0, errDisk
	}})
	if p := s.do("POST", "/v1/topics/a/events", "1").problem(t); p.Status != 503 ||
		p.Outcome != "not_stored" {
		t.Errorf("publish: %+v", p)
	}
	if a := s.do("GET", "/readyz", ""); a.status < 500 {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	if a := s.do("GET", "/healthz", ""); a.status != 200 {
		t.Errorf("healthz: %d %s", a.status, a.body)
	}
	got := s.metrics()
	wantSamples(t, got, map[string]string{`tidings_ready`: "0",
		`tidings_publishes_total{outcome="log-failed"}`: "1",
		`tidings_log_events{engine="bbolt"}`:            ""})
	if got["go_goroutines"] == "" {
		t.Errorf("got only %v", got)
	}
}

// full is a log whose disk is full.
type full struct{ store.Log }

func (full) Ready() error { return store.ErrNoSpace }

// TestReadyOnAFullDisk: readiness reports what a publish would get, before one is made; the process is alive.
func TestReadyOnAFullDisk(t *testing.T) {
	s := newServer(t, full{newLog(t)}, 0, api.Options{})
	if p := s.do("GET", "/readyz", "").problem(t); p.Status != 507 || p.Code != "no-space" {
		t.Errorf("readyz: %+v", p)
	}
	if a := s.do("GET", "/healthz", ""); a.status != 200 {
		t.Errorf("healthz: %d %s", a.status, a.body)
	}
	wantSamples(t, s.metrics(), map[string]string{`tidings_ready`: "0"})
}

// TestMetricsByAnyHost: a collector of metrics may call the server by a name that the server does not know.
func TestMetricsByAnyHost(t *testing.T) {
	s := start(t)
	for path, want := range map[string]int{"/metrics": 200, "/v1/log": 421} {
		if got := parse(t, s.exchange("GET "+path+
			" HTTP/1.1\r\nHost: tidings-0.internal\r\nConnection: close\r\n\r\n")).status; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// TestMetricsOfManySubscribers: all are counted, but the lag only of so few that a scrape stays cheap.
func TestMetricsOfManySubscribers(t *testing.T) {
	s := start(t)
	for range 120 {
		s.open(t.Context(), "/v1/stream", "").until("tidings.live")
	}
	wantSamples(t, s.metrics(), map[string]string{
		`tidings_subscribers{state="live"}`:   "120",
		`tidings_subscriber_lag_events_count`: "100",
		`tidings_tail_feeds`:                  "1",
	})
}
