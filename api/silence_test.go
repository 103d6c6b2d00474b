package api_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/store"
)

// TestErrorsSilent: a server that does not hear from the cluster is not ready, later ends its streams, and continues
// when it hears from it again.
func TestErrorsSilent(t *testing.T) {
	var silence atomic.Int64
	s := newServer(t, newLog(t), 0, api.Options{StaleAfter: time.Minute,
		Silence: func() time.Duration { return time.Duration(silence.Load()) }})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go s.api.EndStale(ctx)
	ready := func(status int, want string) {
		t.Helper()
		if problem := wrong(s.do("GET", "/readyz", ""), status, want); problem != "" {
			t.Error(problem)
		}
	}
	begun := s.open(ctx, "/v1/stream?topic=a", "")
	begun.until("tidings.live")
	ready(200, "ready")
	t.Run("row 248: not ready", func(t *testing.T) {
		silence.Store(int64(10 * time.Second))
		ready(503, "log-unavailable")
		if problem := wrong(s.do("GET", "/metrics", ""), 200, "tidings_cluster_silence_seconds 10"); problem != "" {
			t.Error(problem)
		}
		if problem := wrong(s.do("GET", "/v1/events?topic=a", ""), 200, "events"); problem != "" {
			t.Error(problem)
		}
	})
	t.Run("row 249: streams end", func(t *testing.T) {
		silence.Store(int64(time.Minute))
		for name, x := range map[string]*stream{"one that is open": begun,
			"a new one": s.open(ctx, "/v1/stream?topic=a", "")} {
			events := x.until("tidings.bye")
			if last := string(events[len(events)-1].Data); !strings.Contains(last, "unavailable") {
				t.Errorf("%s ends with %s", name, last)
			}
		}
	})
	silence.Store(0)
	ready(200, "ready")
	s.open(ctx, "/v1/stream?topic=a", "").until("tidings.live")
}

// counted is a log that reports the statistics of a sequencer.
type counted struct{ store.Log }

func (c counted) Stats() store.Stats {
	s := c.Log.Stats()
	s.Sequence = store.SequenceStats{Attempts: 7, Conflicts: 6, Unknown: 5, Lag: 4, Behind: 3 * time.Second,
		Rebuilt: true}
	return s
}

// TestMetricsCluster: the metrics show how a server and its cluster are doing.
func TestMetricsCluster(t *testing.T) {
	s := newServer(t, counted{newLog(t)}, 0, api.Options{StreamSize: func() (bytes, limit uint64) { return 9, 10 }})
	for _, line := range []string{"attempts_total 7", "conflicts_total 6", "unknown_total 5", "lag_commits 4",
		"lag_seconds 3", "rebuilt 1", "silence_seconds 0", "stream_bytes 9", "stream_limit_bytes 10"} {
		if problem := wrong(s.do("GET", "/metrics", ""), 200, "\ntidings_cluster_"+line+"\n"); problem != "" {
			t.Error(problem)
		}
	}
}
