package api

import (
	"net/http"
	"time"
)

// timedWriter is the ResponseWriter of every answer but a stream, which times its writes itself. A
// client that does not take 64 KiB within the stall time-out is cut off, and what its answer holds
// in memory is given back.
type timedWriter struct {
	http.ResponseWriter
	rc    *http.ResponseController
	stall time.Duration
}

func (s *Server) timed(w http.ResponseWriter) *timedWriter {
	if t, ok := w.(*timedWriter); ok {
		return t
	}
	return &timedWriter{w, http.NewResponseController(w), s.o.StallTimeout}
}

// Unwrap is for http.ResponseController.
func (t *timedWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// WriteHeader gives an answer without a body its time.
func (t *timedWriter) WriteHeader(status int) {
	_ = t.begin() // what cannot be timed cannot be written either
	t.ResponseWriter.WriteHeader(status)
}

func (t *timedWriter) Write(p []byte) (written int, err error) {
	for {
		if err := t.begin(); err != nil {
			return written, err
		}
		n, err := t.ResponseWriter.Write(p[:min(len(p), maxWrite)])
		written += n
		if p = p[n:]; err != nil || len(p) == 0 {
			return written, err
		}
	}
}

func (t *timedWriter) begin() error { return t.rc.SetWriteDeadline(time.Now().Add(t.stall)) }
