package api

import "net/http"

// timedWriter is the ResponseWriter of every response. A client that does not accept 64 KiB within the stall timeout
// is disconnected, and the memory of its response is given back. A stream writes to the underlying one, and times
// that itself.
type timedWriter struct {
	http.ResponseWriter
	out *outlet
}

// Unwrap is for http.ResponseController.
func (t *timedWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *timedWriter) Write(p []byte) (written int, err error) {
	defer t.out.end()
	for {
		piece := p[:min(len(p), maxWrite)]
		if err := t.out.begin(len(piece)); err != nil {
			return written, err
		}
		n, err := t.ResponseWriter.Write(piece)
		written += n
		if err != nil {
			return written, t.out.failed(err)
		}
		if p = p[n:]; len(p) == 0 {
			return written, nil
		}
	}
}
