package api

import (
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const eventStream = "text/event-stream"

// streamWriter writes an event stream. Each piece has its own deadline: a connection that does not accept it in time
// is closed, one that is merely slow is not.
type streamWriter struct {
	w    http.ResponseWriter
	out  *outlet
	sent prometheus.Counter // bytes
}

// newStreamWriter starts the response of a streaming endpoint; w is what guard passed to it.
func (s *Server) newStreamWriter(w http.ResponseWriter) *streamWriter {
	setStreamHeaders(w.Header())
	t := w.(*timedWriter)
	return &streamWriter{w: t.ResponseWriter, out: t.out, sent: s.metrics.bytes}
}

func setStreamHeaders(h http.Header) {
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store, no-transform") // compression would hold events back
	h.Set("X-Accel-Buffering", "no")                 // so would nginx
	h.Set("Incremental", "?1")                       // so would others (draft-ietf-httpbis-incremental)
}

// gatherBytes is how much is gathered: a TLS record, or an HTTP/2 frame.
const gatherBytes = 16 << 10

// pieces are where frames are gathered, so that many small ones make one write.
var pieces = sync.Pool{New: func() any { return new([gatherBytes]byte) }}

// write sends the frames and flushes them. It returns their total size, unless there is an error, after which the
// stream is over.
func (o *streamWriter) write(frames [][]byte) (bytes int, err error) {
	if len(frames) == 0 {
		return 0, nil
	}
	defer o.out.end()
	if err := o.gather(frames); err != nil {
		return 0, o.out.failed(err)
	}
	for _, f := range frames {
		bytes += len(f)
	}
	return bytes, nil
}

func (o *streamWriter) gather(frames [][]byte) error {
	var piece *[gatherBytes]byte
	held := 0 // bytes in piece
	for i, f := range frames {
		for len(f) > 0 {
			if held == 0 && (i == len(frames)-1 || len(f) >= gatherBytes) { // nothing to gather with
				n := min(len(f), maxWrite)
				if err := o.send(f[:n]); err != nil {
					return err
				}
				f = f[n:]
				continue
			}
			if piece == nil {
				piece = pieces.Get().(*[gatherBytes]byte)
				defer pieces.Put(piece)
			}
			n := copy(piece[held:], f)
			if held, f = held+n, f[n:]; held == gatherBytes {
				if err := o.send(piece[:]); err != nil {
					return err
				}
				held = 0
			}
		}
	}
	if held > 0 {
		if err := o.send(piece[:held]); err != nil {
			return err
		}
	}
	return o.out.rc.Flush()
}

// send writes a piece of at most maxWrite.
func (o *streamWriter) send(piece []byte) error {
	if err := o.out.begin(len(piece)); err != nil {
		return err
	}
	n, err := o.w.Write(piece)
	o.sent.Add(float64(n))
	return err
}
