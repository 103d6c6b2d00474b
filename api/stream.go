package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"tidings/internal/auth"
	"tidings/replay"
)

// The life of a stream's reader: where an event is, from the moving of the head to the bytes written, and what a
// connection that drops there leaves. store/bolt/commit.go describes what comes before, from the POST to the head.
//
//	moment     who does it                        where the event is         a drop leaves
//	---------  ---------------------------------  -------------------------  ------------------
//	head moves store/bolt shows a commit, wakes   in the log, permanently    the client's cursor
//	           the tail
//	shared     replay/tail.go reads it once, and  the log; a frame of the    the same
//	           adds it to each feed that matches  feeds, shared by readers
//	woken      replay/tail.go rings the doorbell  the same                   the same
//	taken      script.go next, in a step; from    the log; the step's bytes  the same; Position
//	           the feed, or read from the log     are the feed's, or a page  is ahead of what
//	                                                                         was written
//	written    writer.go, 64 KiB a deadline; or   the kernel's send buffer   the same
//	           internal/held, what the socket
//	           accepts
//	delivered  the client has the frame's blank   its cursor is the event's  the new cursor
//	           line, and dispatches it            ID (WHATWG HTML §9.2.6)
//
// The server keeps nothing of a connection that is gone: no queue, no acknowledgement, no place in the log. The
// client's cursor is the last ID whose frame it received completely; it reconnects with it as Last-Event-ID, and a
// new reader starts after it. So an event whose write was cut off is sent again, and one that the client has is not.
// Only follow waits: for a wake-up, for the time that the script names, or for a reason to end; and for the client,
// as long as writer.go allows. For a held stream nothing waits: its turns ask held.go, which takes back what the
// socket has not accepted, so that Position is what was written.

// stream serves GET /v1/stream and GET /v1/topics/{topic}/stream: retry, perhaps a gap, open, the past, live, and
// then new events, until somebody ends it. A well-formed request is answered 200 even when its cursor is worthless,
// because EventSource gives up permanently on anything else.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, query url.Values) *problem {
	asked, p := s.parseSubscription(r, query)
	if p != nil {
		return p
	}
	if !accepts(r, eventStream) {
		return &problem{code: "not-acceptable", field: "Accept",
			detail: "a stream is text/event-stream"}
	}
	w.Header().Set("Tidings-Who", s.who(grantOf(r)))
	if s.draining() {
		s.turnAway(w, r, byeShutdown)
		return nil
	}
	if r.Method == http.MethodHead {
		s.newStreamWriter(w)
		return nil // the headers are the response; nothing subscribes
	}
	c := callerOf(r)
	if why := s.takeSeat(r, c.owner, &asked); why != "" {
		s.turnAway(w, r, why)
		return nil
	}
	if s.holds(r) {
		return s.streamHeld(w, r, c, &asked)
	}
	out := w.(*timedWriter).out
	out.awaken()
	open := new(openStream)
	over, p := open.open(s, c, &asked, out.ring)
	if p != nil {
		return p
	}
	defer open.close()
	if over {
		s.over(w)
		return nil
	}
	open.show(r, &asked, out)
	open.tell(s.follow(r.Context(), s.newStreamWriter(w), open))
	return nil
}

// takeSeat takes a seat for the stream, once this server has what its client has seen elsewhere; otherwise it returns
// why there is none.
func (s *Server) takeSeat(r *http.Request, owner ownerHash, asked *subscription) (why bye) {
	if !s.seats.take(owner) {
		return byeOverloaded
	}
	if s.stale() {
		s.seats.free(owner)
		return byeUnavailable
	}
	if p := s.reach(r.Context(), asked.start.Cursor()); p != nil {
		s.seats.free(owner)
		return byeUnavailable
	}
	return ""
}

// over answers for a stream on which nothing can ever arrive again: it makes an EventSource stop permanently.
func (s *Server) over(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }

// turnAway answers a well-formed request for a stream that there is no room for: 200, with when to reconnect and why.
// An EventSource would take any other status as an order never to return.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, reason bye) {
	out := s.newStreamWriter(w)
	if r.Method != http.MethodHead {
		st := refusal(s.retry()).next(time.Now(), reason)
		s.metrics.step(&st)
		_, _ = out.write(st.frames) // fails only when the client is gone
	}
}

// newScript returns the script of a new stream. Errors are the log's.
func (s *Server) newScript(sub *replay.Subscription, first replay.Chunk, g auth.Grant) (script,
	error) {
	info, err := s.log.Info()
	if err != nil {
		return script{}, err
	}
	limit, why := s.limit(g)
	return newScript(sub, first, scriptOptions{retry: s.retry(), log: info.LogID, who: s.who(g),
		subscriber: newSubscriberID(), heartbeat: s.o.Heartbeat, beats: &s.beats, limit: limit, why: why,
		isOver: s.isOver}), nil
}

// limit returns when a stream that begins now ends, and why: soon after its token is no longer accepted, or at the
// end of its lifetime; zero for never. Both are jittered, so that streams that began together do not end together.
func (s *Server) limit(g auth.Grant) (at time.Time, why bye) {
	begin := time.Now() // it measures waits; Options.Now, which may differ, judges tokens
	if s.o.MaxLifetime > 0 {
		at, why = begin.Add(s.o.MaxLifetime-rand.N(s.o.MaxLifetime/10+1)), byeLifetime
	}
	if !g.Expires.IsZero() {
		token := s.tokenEnd(g).Add(-rand.N(auth.Leeway))
		if at.IsZero() || token.Before(at) {
			at, why = token, byeExpiredToken
		}
	}
	return at, why
}

// tokenEnd returns when the token of g is no longer accepted, on the clock that measures waits;
// zero for never.
func (s *Server) tokenEnd(g auth.Grant) time.Time {
	if g.Expires.IsZero() {
		return time.Time{}
	}
	return time.Now().Add(g.Expires.Sub(s.o.Now()) + auth.Leeway)
}

// lastWrite returns after when nothing more is written to a stream with a limit: the bye gets its time, even if the
// limit has passed, as a token's may have within its leeway.
func lastWrite(limit time.Time) time.Time {
	return time.Now().Add(max(0, time.Until(limit)) + stalledAfter)
}

// isOver reports whether nothing can ever arrive on the stream again: all its topics have ended, and it is past their
// ends.
func (s *Server) isOver(sub *replay.Subscription) bool {
	last, all := s.log.Ended(sub.Filter())
	return all && !sub.Position().Before(last)
}

// follow drives a stream's script on the goroutine of its handler: it writes what comes next, and
// waits as long as the script says. It returns why the stream ended.
func (s *Server) follow(ctx context.Context, w *streamWriter, open *openStream) error {
	defer context.AfterFunc(ctx, w.out.ring)()
	script := &open.script
	if !script.limit.IsZero() {
		w.out.endBy(lastWrite(script.limit))
	}
	// over HTTP/1.1 net/http makes one chunk of what is flushed together, and Go's client hands over nothing of a
	// chunk that has not arrived completely
	apart := !w.out.http2
	var frames [][]byte
	var st step
	for {
		frames, st = script.round(time.Now(), s.cut(ctx, w.out), s.metrics, apart,
			frames[:0])
		open.progress.live.Store(script.live) // before its client can know
		n, err := w.write(frames)
		if err != nil || st.end != nil {
			return errors.Join(st.end, err)
		}
		open.wrote(n, st.events)
		if st.until.IsZero() {
			continue
		}
		if len(frames) > 0 {
			st.until = script.written(time.Now())
		}
		clear(frames) // a waiting stream holds nothing of the tail
		w.out.wait(st.until)
	}
}

// cut returns why a stream must end now that its script cannot know: the server is draining, the
// client is gone, or an administrator cut it off; nil if it need not.
func (s *Server) cut(ctx context.Context, out *outlet) error {
	switch {
	case s.draining():
		return byeShutdown
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return out.why()
	}
}
