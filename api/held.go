package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"tidings/internal/held"
	"tidings/store"
)

// The values of Options.StreamWriter.
const (
	// WriterAuto holds streams where possible.
	WriterAuto = "auto"
	// WriterOrdinary uses a goroutine for each stream.
	WriterOrdinary = "ordinary"
	// WriterHeld is WriterAuto for callers who want to know where it is not possible: see CanHold.
	WriterHeld = "held"
)

// CanHold reports whether streams can be held on this platform.
const CanHold = held.Supported

func (s *Server) newPool() *held.Pool {
	return held.New(held.Options{StallTimeout: s.o.StallTimeout, Grace: stalledAfter,
		StuckBytes: s.o.StuckBytes, Panicked: s.writerPanicked})
}

// holds decides who writes a stream: over plain HTTP/1.1 or 1.0 it is held, and the handler returns; over TLS and
// HTTP/2, and where there is no descriptor, the handler's goroutine writes it. It also does after a request with a
// body, which is net/http's to read.
func (s *Server) holds(r *http.Request) bool {
	_, socket := r.Context().Value(connKey{}).(*net.TCPConn)
	return socket && CanHold && s.o.StreamWriter != WriterOrdinary &&
		r.ProtoMajor == 1 && r.TLS == nil && r.ContentLength == 0
}

// streamHeld has the pool write the stream, and returns when it has begun.
func (s *Server) streamHeld(w http.ResponseWriter, r *http.Request, c *caller,
	asked *subscription) *problem {
	conn := s.held.New()
	stream := new(heldStream)
	over, p := stream.open(s, c, asked, conn.Ring)
	if p != nil {
		return p
	}
	if over {
		stream.close()
		s.over(w)
		return nil
	}
	stream.show(r, asked, heldEnder{conn})
	if err := s.hold(w, r, stream, conn); err != nil {
		stream.tell(err)
		stream.close()
	}
	return nil
}

// hold hands a stream over. The response head is the one that net/http would write, except that the connection ends
// with the stream.
func (s *Server) hold(w http.ResponseWriter, r *http.Request, stream *heldStream, c *held.Conn) error {
	setStreamHeaders(w.Header())
	conn, _, err := http.NewResponseController(w).Hijack() // anything sent after the request is dropped
	if err != nil {
		return err // the client is gone, or nothing can be written to it
	}
	head, chunked := streamHead(r, w.Header())
	if limit := stream.script.limit; !limit.IsZero() {
		c.EndBy(lastWrite(limit))
	}
	if err := s.held.Hold(c, conn, head, chunked, stream); err != nil {
		return errors.Join(err, conn.Close())
	}
	return nil
}

// streamHead returns the head of a stream's response, and whether its body is chunked.
func streamHead(r *http.Request, h http.Header) (head []byte, chunked bool) {
	var b bytes.Buffer
	chunked = r.ProtoAtLeast(1, 1)
	if chunked {
		b.WriteString("HTTP/1.1 200 OK\r\n")
	} else {
		b.WriteString("HTTP/1.0 200 OK\r\n")
	}
	_ = h.Write(&b) // to memory
	b.WriteString("Date: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
	if chunked {
		b.WriteString("Connection: close\r\nTransfer-Encoding: chunked\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes(), chunked
}

// heldStream is a stream as the pool sees it.
type heldStream struct {
	fault  error // ends the stream at the next call
	events int   // in what Next returned last
	before int   // how many of its frames come before the events
	openStream
}

// Next implements held.Source.
func (h *heldStream) Next(now time.Time, cut error, frames [][]byte) held.Turn {
	if h.fault != nil {
		return held.Turn{End: h.fault}
	}
	frames, st := h.script.round(now, cut, h.s.metrics, false, frames)
	h.progress.live.Store(h.script.live) // before its client can know
	h.events, h.before = st.events, len(frames)
	if st.events > 0 {
		h.before -= len(st.frames)
	}
	return held.Turn{Frames: frames, Control: h.before, End: st.end, Until: st.until,
		Reads: st.readsLog, Live: h.script.live}
}

// Wrote implements held.Source.
func (h *heldStream) Wrote(frames [][]byte, n int) {
	total := 0
	for _, f := range frames {
		total += len(f)
	}
	if n < total {
		h.takeBack(frames, n)
	}
	h.s.metrics.bytes.Add(float64(n))
	h.wrote(n, h.events)
}

// takeBack makes the subscription continue after the last event in the first n bytes of the frames, which end with
// that event.
func (h *heldStream) takeBack(frames [][]byte, n int) {
	var last []byte
	h.events = 0
	for i, f := range frames {
		f = f[:min(len(f), n)]
		if n -= len(f); i >= h.before && len(f) > 0 {
			h.events += bytes.Count(f, []byte(endOfFrame))
			last = f
		}
	}
	id, err := frameID(last)
	if err != nil {
		h.fault = err
		return
	}
	h.script.rewind(id)
}

const endOfFrame = "\n\n"

// frameID returns the ID of the last of some event frames; a frame begins with its ID.
func frameID(frames []byte) (store.ID, error) {
	start := 0
	if i := bytes.LastIndex(frames[:max(0, len(frames)-len(endOfFrame))], []byte(endOfFrame)); i >= 0 {
		start = i + len(endOfFrame)
	}
	line, _, _ := bytes.Cut(frames[start:], []byte("\n"))
	return store.ParseID(string(bytes.TrimPrefix(line, []byte("id: "))))
}

// Ended implements held.Source.
func (h *heldStream) Ended(err error) {
	h.tell(err)
	h.close()
}

// heldEnder is a held stream as administrators see it.
type heldEnder struct{ conn *held.Conn }

func (h heldEnder) cut(why error) { h.conn.Cut(why) }
func (h heldEnder) stalled() bool { return h.conn.Stalled() }

// Wait waits for the end of the streams that run beside http.Server's handlers; Drain ends them. http.Server.Shutdown
// does not know them. If ctx ends first, Wait closes the remaining connections, and returns the cause.
func (s *Server) Wait(ctx context.Context) error { return s.held.Wait(ctx) }

// writerPanicked is net/http's recovery from a handler's panic, for streams without a handler.
func (s *Server) writerPanicked(what any) {
	s.metrics.faults.WithLabelValues(faultPanic).Inc()
	s.logSeldom("writer", slog.LevelError, "stream writer panicked", "panic", what,
		"stack", string(debug.Stack()))
}
