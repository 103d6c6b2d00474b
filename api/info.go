package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tidings/internal/retention"
	"tidings/store"
)

// logBody is the response of GET /v1/log.
type logBody struct {
	Log       store.ID      `json:"log"`
	Engine    string        `json:"engine"`
	Version   string        `json:"version"` // of the program
	First     *store.ID     `json:"first"`
	Last      *store.ID     `json:"last"`
	Head      *store.ID     `json:"head"`
	Events    uint64        `json:"events"`
	Bytes     uint64        `json:"bytes"`
	FileBytes int64         `json:"file_bytes"`
	Topics    int           `json:"topics"`
	Keys      keysBody      `json:"idempotency"`
	Retention retentionBody `json:"retention"`
	Clock     clockBody     `json:"clock"`
	Limits    limitsBody    `json:"limits"`
	Nodes     []nodeBody    `json:"nodes,omitempty"` // for administrators, where several servers keep the log
}

// retentionBody is the retention.Policy in force. Without a limit everything is kept.
type retentionBody struct {
	Age    []limitBody `json:"age_seconds"`
	Events []limitBody `json:"events"`
	Bytes  []limitBody `json:"bytes"`
}

// limitBody bounds each topic that matches the pattern, or the whole log if it is null.
type limitBody struct {
	Pattern *string `json:"pattern"`
	Max     float64 `json:"max"`
}

func newRetentionBody(p retention.Policy) retentionBody {
	return retentionBody{limitBodies(p.Age, float64(time.Second)), limitBodies(p.Events, 1),
		limitBodies(p.Bytes, 1)}
}

func limitBodies[T time.Duration | uint64](limits []retention.Limit[T], unit float64) []limitBody {
	list := make([]limitBody, len(limits))
	for i, l := range limits {
		list[i].Max = float64(l.Max) / unit
		if l.Pattern != "" {
			list[i].Pattern = &l.Pattern
		}
	}
	return list
}

// keysBody reports how far back idempotency keys really reach: to the time of the oldest.
type keysBody struct {
	Held   int        `json:"held"`
	Oldest *time.Time `json:"oldest"`
}

// limitsBody is the part of Options that a client may run into. Durations are in seconds.
type limitsBody struct {
	EventBytes         int64   `json:"event_bytes"`
	SubscriptionTopics int     `json:"subscription_topics"`
	Heartbeat          float64 `json:"heartbeat_seconds"`
	Stall              float64 `json:"stall_seconds"`
	Queue              float64 `json:"queue_seconds"`
}

// logInfo serves GET /v1/log.
func (s *Server) logInfo(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	info, err := s.log.Info()
	if err != nil {
		return storeProblem(err)
	}
	keys := keysBody{Held: info.Keys}
	if info.Keys > 0 {
		oldest := info.OldestKey.Time()
		keys.Oldest = &oldest
	}
	var known []nodeBody
	if grantOf(r).Admin { // where they are is nobody else's business
		known = s.nodeBodies()
	}
	writeJSON(w, http.StatusOK, "application/json", logBody{
		Nodes: known, Log: info.LogID, Engine: info.Engine, Version: s.o.Version, First: idOrNull(info.First),
		Last: idOrNull(info.Last), Head: idOrNull(s.log.Head()),
		Events: info.Events, Bytes: info.Bytes, FileBytes: info.DiskBytes, Topics: info.Topics,
		Keys: keys, Retention: newRetentionBody(s.o.Retention),
		Clock: newClockBody(s.o.Clock.Status()),
		Limits: limitsBody{s.o.MaxEventBytes, s.o.MaxSubscriptionTopics, s.o.Heartbeat.Seconds(),
			s.o.StallTimeout.Seconds(), s.o.QueueTimeout.Seconds()},
	})
	return nil
}

// healthz serves GET /healthz: the process answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request, _ url.Values) *problem {
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "alive"})
	return nil
}

// readyz serves GET /readyz: 200, or the problem that a publish would get.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request, _ url.Values) *problem {
	if p := s.notReady(r.Context()); p != nil {
		return p
	}
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ready"})
	return nil
}

// notReady returns why a publish would be refused, or nil.
func (s *Server) notReady(ctx context.Context) *problem {
	if s.draining() {
		return storeProblem(store.ErrClosed)
	}
	if err := s.log.Ready(); err != nil {
		return storeProblem(err)
	}
	if silence := s.silence(); silence >= silentAfter {
		return storeProblem(fmt.Errorf("%w: not heard from for %v", store.ErrUnavailable,
			silence.Round(time.Second)))
	}
	if s.o.Verifier == nil {
		return nil
	}
	if _, err := s.o.Verifier.Keys(ctx); err != nil {
		return &problem{code: "keys-unavailable",
			detail: err.Error() + " from --jwks-url; see the server's log"}
	}
	return nil
}
