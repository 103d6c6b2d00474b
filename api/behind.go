package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"tidings/store"
)

// reach is called with an ID that a client sent, before anything is reported about it. An ID above the head may be an
// event that other servers of the log have and this one does not have yet: reach waits until this server would
// have it. An ID at or below the head costs nothing.
func (s *Server) reach(ctx context.Context, id store.ID) *problem {
	if !s.log.Head().Before(id) {
		return nil
	}
	err := s.log.CatchUp(ctx)
	if err == nil {
		return nil
	}
	p := storeProblem(err)
	if errors.Is(err, store.ErrUnavailable) {
		p.detail = "this server has not caught up with the log yet"
	}
	return p
}

const (
	// silentAfter is how long the cluster that keeps the log may be silent before the server is not ready.
	silentAfter = 10 * time.Second

	// silenceEvery is how often that silence is checked on behalf of streams.
	silenceEvery = time.Second
)

// silence returns how long the cluster that keeps the log has been silent; 0 without a cluster.
func (s *Server) silence() time.Duration {
	if s.o.Silence == nil {
		return 0
	}
	return s.o.Silence()
}

// stale reports whether that is so long that events may have been published that this server does not know: streams
// end, and none start.
func (s *Server) stale() bool { return s.o.StaleAfter > 0 && s.silence() >= s.o.StaleAfter }

// EndStale ends all streams while the server is stale, see Options.StaleAfter, until ctx ends. Their clients
// reconnect; a proxy that checks readiness sends them to another server.
func (s *Server) EndStale(ctx context.Context) {
	if s.o.Silence == nil {
		return
	}
	ticker := time.NewTicker(silenceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !s.stale() {
			continue
		}
		ended := 0
		s.subscribers.byID.Range(func(_, x any) bool {
			x.(*subscriber).end.cut(byeUnavailable)
			ended++
			return true
		})
		if ended > 0 {
			s.logSeldom("stale", slog.LevelWarn, "ending streams: no contact with the cluster that keeps the log",
				"for", s.silence().Round(time.Second).String(), "streams", ended)
		}
	}
}
