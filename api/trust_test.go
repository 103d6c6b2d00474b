package api_test

import (
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/clock"
)

// stepped returns the clock of a machine whose wall clock has stepped forward; the rest of its time stalls.
func stepped(by time.Duration) *clock.Clock {
	wall := time.Now()
	c := clock.New(clock.Options{
		Wall: func() time.Time { return wall }, Elapsed: func() time.Duration { return time.Hour },
	})
	wall = wall.Add(by)
	return c
}

// TestSinceAfterStep: since counts by the clock before a step forward, even if the event has the time after it, and
// what the server reports of its clock shows the step until somebody confirms that it is right.
func TestSinceAfterStep(t *testing.T) {
	for _, by := range []time.Duration{time.Minute, 50 * time.Minute, 31 * 24 * time.Hour} {
		c := stepped(by)
		s := newServer(t, newLogAt(t, c.Now), 0, api.Options{Clock: c})
		s.do("POST", "/v1/topics/orders/events", "1")
		if a := s.do("GET", "/v1/events?since=15s", ""); !strings.Contains(a.body, `"orders"`) {
			t.Errorf("a step of %v: since=15s answers %s", by, a.body)
		}
		type body struct {
			Ahead    float64 `json:"ahead_seconds"`
			CountsIn float64 `json:"counts_in_seconds"`
		}
		var log struct{ Clock body }
		s.do("GET", "/v1/log", "").decode(t, &log)
		if want := (body{by.Seconds(), 24 * 3600}); log.Clock != want {
			t.Errorf("the log says %+v, want %+v", log.Clock, want)
		}
		var trusted body
		if s.do("POST", "/v1/clock/trust", "").decode(t, &trusted); trusted != (body{}) {
			t.Errorf("once it is trusted: %+v", trusted)
		}
		if a := s.do("GET", "/v1/events?since=15s", ""); !strings.Contains(a.body, `"orders"`) &&
			by > time.Hour { // it has the time from before the step, and was published just now
			t.Errorf("once a step of %v is trusted: since=15s answers %s", by, a.body)
		}
	}
}
