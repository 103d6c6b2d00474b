package api

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

const eventStream = "text/event-stream"

// streamWriter writes an event stream. Each piece has a deadline of its own: a connection that does
// not take it in time is closed, one that is merely slow is not.
type streamWriter struct {
	w    http.ResponseWriter
	out  *outlet
	sent prometheus.Counter // bytes
	who  *subscriber        // told of what is written; nil for nobody
}

// newStreamWriter begins the answer of a streaming endpoint; w is what guard gave to it.
func (s *Server) newStreamWriter(w http.ResponseWriter) *streamWriter {
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store, no-transform") // compression would hold events back
	h.Set("X-Accel-Buffering", "no")                 // so would nginx
	h.Set("Incremental", "?1")                       // so would others (draft-ietf-httpbis-incremental)
	t := w.(*timedWriter)
	return &streamWriter{w: t.ResponseWriter, out: t.out, sent: s.metrics.bytes}
}

// write sends the frames and flushes them. After an error the stream is over.
func (o *streamWriter) write(frames ...[]byte) error {
	if len(frames) == 0 {
		return nil
	}
	if o.who != nil {
		for _, f := range frames {
			o.who.bytes.Add(int64(len(f)))
		}
	}
	if err := o.writePieces(frames); err != nil {
		return o.out.failed(err)
	}
	o.out.end()
	return nil
}

func (o *streamWriter) writePieces(frames [][]byte) error {
	room := 0
	for _, f := range frames {
		for len(f) > 0 {
			if room == 0 {
				room = maxWrite
				if err := o.out.begin(maxWrite); err != nil {
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
	return o.out.rc.Flush()
}
