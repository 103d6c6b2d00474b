package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"tidings/store"
)

// reach is called with an ID that a client has brought, before anything is said of it. One above the
// head may be an event that other servers of the log have and this one has not yet: it waits until it
// would be here. One at or below the head costs nothing.
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
		p.detail = "this server is not up to date with the log yet"
	}
	return p
}

const (
	// silentAfter is how long the cluster that keeps the log may say nothing before the server is not ready.
	silentAfter = 10 * time.Second

	// silenceEvery is how often it is looked at for the sake of streams.
	silenceEvery = time.Second
)

// silence is how long the cluster that keeps the log has said nothing; 0 if none does.
func (s *Server) silence() time.Duration {
	if s.o.Silence == nil {
		return 0
	}
	return s.o.Silence()
}

// stale reports whether that is so long that events may have been published of which this server does not
// know: streams end, and none begins.
func (s *Server) stale() bool { return s.o.StaleAfter > 0 && s.silence() >= s.o.StaleAfter }

// EndStale ends all streams while the server is stale, see Options.StaleAfter, until ctx ends. Their clients
// come back, through a proxy that asks for readiness to another server.
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
			s.logSeldom("stale", slog.LevelWarn, "streams end: the cluster that keeps the log says nothing",
				"for", s.silence().Round(time.Second).String(), "streams", ended)
		}
	}
}
