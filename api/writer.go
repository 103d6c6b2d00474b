package api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	eventStream = "text/event-stream"

	// maxWrite is the most that is written under one deadline.
	maxWrite = 64 << 10
)

// streamWriter writes an event stream. Each write has a deadline of its own: a connection that does
// not take it in time is closed, one that is merely slow is not.
type streamWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	stall time.Duration
	sent  prometheus.Counter // bytes
	who   *subscriber        // told of what is written; nil for nobody
}

func (s *Server) newStreamWriter(w http.ResponseWriter) *streamWriter {
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store, no-transform") // compression would hold events back
	h.Set("X-Accel-Buffering", "no")                 // so would nginx
	h.Set("Incremental", "?1")                       // so would others (draft-ietf-httpbis-incremental)
	return &streamWriter{w: w, rc: http.NewResponseController(w), stall: s.o.StallTimeout,
		sent: s.metrics.bytes}
}

// write sends the frames and flushes them. After an error the stream is over.
func (o *streamWriter) write(frames ...[]byte) error {
	if len(frames) == 0 {
		return nil
	}
	if o.who != nil {
		o.who.writing.Store(time.Now().UnixNano())
		defer o.who.writing.Store(0)
		for _, f := range frames {
			o.who.bytes.Add(int64(len(f)))
		}
	}
	room := 0
	for _, f := range frames {
		for len(f) > 0 {
			if room == 0 {
				room = maxWrite
				if err := o.rc.SetWriteDeadline(time.Now().Add(o.stall)); err != nil {
					return err
				}
			}
			n := min(len(f), room)
			if _, err := o.w.Write(f[:n]); err != nil {
				return err
			}
			o.sent.Add(float64(n))
			f, room = f[n:], room-n
		}
	}
	return o.rc.Flush()
}
