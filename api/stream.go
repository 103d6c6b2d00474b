package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"time"

	"tidings/internal/auth"
	"tidings/internal/sse"
	"tidings/replay"
)

// stream serves GET /v1/stream and GET /v1/topics/{topic}/stream: retry, perhaps a gap, open, the
// past, live, and then what comes, until somebody ends it. A request that is well-formed is
// answered 200 even when its cursor is worthless, because EventSource gives up for good on anything
// else.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	asked, p := s.parseSubscription(r, query)
	if p != nil {
		return p
	}
	if !accepts(r, eventStream) {
		return &problem{code: "not-acceptable", field: "Accept",
			detail: "a stream is text/event-stream"}
	}
	if s.draining() {
		s.turnAway(w, r, byeShutdown)
		return nil
	}
	if r.Method == http.MethodHead {
		s.newStreamWriter(w)
		return nil // the headers are the answer; nothing subscribes
	}
	c := callerOf(r)
	if !s.slots.take(c.token) {
		s.turnAway(w, r, byeOverloaded)
		return nil
	}
	defer s.slots.free(c.token)
	sub, err := s.tail.Subscribe(asked.filter, asked.format, asked.start)
	if err != nil {
		return storeProblem(err)
	}
	defer sub.Close()
	first, err := sub.Next()
	if err != nil {
		return storeProblem(err)
	}
	if first.CaughtUp() && s.isOver(sub) {
		w.WriteHeader(http.StatusNoContent) // which tells an EventSource to stop for good
		return nil
	}
	ctx, cancel := s.limit(r.Context(), c.grant)
	defer cancel()
	ctx, who := s.addSubscriber(ctx, r, asked, sub)
	defer s.removeSubscriber(who)
	out := s.newStreamWriter(w)
	out.who = who
	err = s.follow(ctx, out, sub, first)
	level := slog.LevelDebug
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// the client took nothing for the stall time-out; it resumes by its cursor
		level = slog.LevelInfo
		s.metrics.stalls.Inc()
	}
	s.o.Logger.Log(r.Context(), level, "stream ended", "remote", s.clientAddr(r), "error", err)
	return nil
}

// turnAway answers a well-formed request for a stream that there is no room for: 200, with when to
// come again and why. An EventSource would take any other status as an order never to return.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, reason bye) {
	out := s.newStreamWriter(w)
	if r.Method != http.MethodHead {
		s.metrics.bye(reason)
		// fails only when the client is gone
		_ = out.write(appendBye(sse.AppendRetry(nil, s.retry()), reason))
	}
}

// limit returns a context that ends with the stream's time: soon after its token is no longer
// accepted, or at the end of its lifetime. Both are jittered, so that streams which began together
// do not end together.
func (s *Server) limit(ctx context.Context, g auth.Grant) (context.Context, context.CancelFunc) {
	left, why := time.Duration(math.MaxInt64), byeLifetime
	if s.o.MaxLifetime > 0 {
		left = s.o.MaxLifetime - rand.N(s.o.MaxLifetime/10+1)
	}
	if !g.Expires.IsZero() {
		if token := g.Expires.Sub(s.o.Now()) + rand.N(auth.Leeway); token < left {
			left, why = token, byeExpiredToken
		}
	}
	return context.WithTimeoutCause(ctx, left, why)
}

// isOver reports whether nothing can ever come on the stream again: all its topics have ended, and
// it is past their ends.
func (s *Server) isOver(sub *replay.Subscription) bool {
	last, all := s.log.Ended(sub.Filter())
	return all && !sub.Position().Before(last)
}

// follow writes what comes next until there is nothing, waits, and begins again. There is no other
// loop: the past and the present are the same to it. It returns why the stream ended.
func (s *Server) follow(ctx context.Context, out *streamWriter, sub *replay.Subscription,
	chunk replay.Chunk) error {
	err := s.begin(out, sub, chunk.Gap)
	if err != nil {
		return err
	}
	chunk.Gap = nil
	heartbeat := time.NewTimer(s.o.Heartbeat)
	defer heartbeat.Stop()
	immediately := make(chan struct{}) // received from without waiting
	close(immediately)
	live, due := false, false
	for {
		ready := sub.Ready()
		switch {
		case chunk.Gap != nil || len(chunk.Frames) > 0:
			if chunk.Gap != nil {
				s.metrics.gap(chunk.Gap)
				err = out.write(appendGap(nil, chunk.Gap))
			}
			if err == nil {
				s.metrics.events.Add(float64(chunk.Events))
				err = out.write(chunk.Frames...)
			}
			heartbeat.Reset(s.o.Heartbeat)
			due, ready = false, immediately
		case chunk.More:
			ready = immediately
		case !live:
			live = true
			out.who.live.Store(true)
			err = out.write(appendLive(nil, sub.Position()))
		}
		if err == nil && due {
			// Nothing is pending: the client may resume from here, however old its last event is.
			due = false
			heartbeat.Reset(s.o.Heartbeat)
			err = out.write(appendHeartbeat(nil, sub.Position()))
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		out.who.moveTo(sub.Position())
		if chunk.CaughtUp() && s.isOver(sub) {
			// with this cursor the client is told 204
			return out.write(appendHeartbeat(nil, sub.Position()))
		}
		select {
		case <-ready:
		case <-heartbeat.C:
			due = true
		case <-ctx.Done():
		case <-s.drain:
			s.metrics.bye(byeShutdown)
			return out.write(appendBye(nil, byeShutdown))
		}
		// before the next read: nothing is read after the token's end
		if cause := context.Cause(ctx); cause != nil {
			var why bye
			if errors.As(cause, &why) {
				s.metrics.bye(why)
				return errors.Join(cause, out.write(appendBye(nil, why)))
			}
			return cause
		}
		if chunk, err = sub.Next(); err != nil {
			return err
		}
	}
}

// begin writes the head of a stream: retry, the gap if there is one, open.
func (s *Server) begin(out *streamWriter, sub *replay.Subscription, gap *replay.Gap) error {
	info, err := s.log.Info()
	if err != nil {
		return err
	}
	head := sse.AppendRetry(nil, s.retry())
	if gap != nil {
		s.metrics.gap(gap)
		head = appendGap(head, gap)
	}
	return out.write(appendOpen(head, sub.OpenID(), info.LogID, sub.Resumed(), s.o.Heartbeat))
}
