package api

import (
	"net/http"
	"net/url"
	"time"

	"tidings/internal/clock"
)

// Clock is what the log follows where the wall clock may be wrong; package clock has one. It is called concurrently.
type Clock interface {
	// Past returns the time that lies age back.
	Past(age time.Duration) time.Time

	// Trust confirms that the wall clock is right, and returns the time for new events.
	Trust() time.Time
	Status() clock.Status
}

// believed is a Clock that is never doubted.
type believed func() time.Time

func (now believed) Past(age time.Duration) time.Time { return now().Add(-age) }
func (now believed) Trust() time.Time                 { return now() }
func (now believed) Status() clock.Status             { return clock.Status{Now: now()} }

// clockBody is the log's clock in a response.
type clockBody struct {
	Time     time.Time `json:"time"` // for new events
	Ahead    float64   `json:"ahead_seconds"`
	Held     bool      `json:"held"` // nothing is deleted by age
	CountsIn *float64  `json:"counts_in_seconds"`
}

func newClockBody(s clock.Status) clockBody {
	body := clockBody{Time: s.Now.UTC(), Ahead: s.Stepped.Seconds(), Held: s.Doubted}
	if left := s.Left.Seconds(); left > 0 {
		body.CountsIn = &left
	}
	return body
}

// trustClock serves POST /v1/clock/trust: the caller confirms that the wall clock is right.
func (s *Server) trustClock(w http.ResponseWriter, _ *http.Request, _ url.Values) *problem {
	s.o.Clock.Trust()
	writeJSON(w, http.StatusOK, "application/json", newClockBody(s.o.Clock.Status()))
	return nil
}
