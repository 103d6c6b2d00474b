package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// maxAtOnce bounds the memory allocated on the announced length of a body; a larger body gets memory as it arrives.
const maxAtOnce = 64 << 10

// body is a request's body, which must arrive within the body timeout.
type body struct {
	v      *visit
	w      http.ResponseWriter
	r      io.ReadCloser
	length int64 // announced; -1: unknown
	err    error // of r, except its end
	token  bool  // the token expires before the timeout

	timeout  time.Duration
	patience time.Duration // for memory
	read     int64
}

// openBody starts to read a body of at most max bytes. The caller reads it to its end and calls close, or refuses the
// request.
func (s *Server) openBody(w http.ResponseWriter, r *http.Request, max int64) (*body, *problem) {
	for _, e := range r.Header.Values("Content-Encoding") {
		if e != "" && !strings.EqualFold(e, "identity") {
			return nil, &problem{code: "encoding-unsupported", field: "Content-Encoding",
				detail: fmt.Sprintf("send the body without %.64q", e)}
		}
	}
	if r.ContentLength > max {
		// the body is not read, so the connection cannot be reused
		w.Header().Set("Connection", "close")
		return nil, tooLarge(max)
	}
	v := visitOf(r)
	b := &v.reading
	*b = body{v: v, w: w, r: r.Body, length: r.ContentLength, timeout: s.o.BodyTimeout,
		patience: s.o.QueueTimeout}
	if b.length < 0 { // otherwise net/http enforces the announced length
		b.r = http.MaxBytesReader(nil, r.Body, max)
	}
	if r.Body == http.NoBody {
		return b, nil // net/http is already waiting for the next request
	}
	deadline := time.Now().Add(s.o.BodyTimeout)
	if end := s.tokenEnd(v.grant); !end.IsZero() && end.Before(deadline) {
		deadline, b.token = end, true
	}
	if err := v.out.rc.SetReadDeadline(deadline); err != nil {
		return nil, &problem{code: "internal", cause: err, detail: "no read deadline"}
	}
	return b, nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.read += int64(n)
	if (err == nil || err == io.EOF) && !b.v.body.wait(b.v, b.patience, b.weight()) {
		err = errNoRoom
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// weight is the memory that the bytes received so far account for: theirs, and that of the events made from them.
func (b *body) weight() int64 {
	n := 2 * b.read
	if n > maxAtOnce { // not at every read
		n = (n + maxAtOnce - 1) / maxAtOnce * maxAtOnce
	}
	return n
}

// problem returns why the request is refused: the error of the body itself, otherwise err, which its parser returned.
func (b *body) problem(err error) *problem {
	if b.err == nil {
		return wireProblem(err)
	}
	b.w.Header().Set("Connection", "close")
	var limit *http.MaxBytesError
	switch {
	case errors.As(b.err, &limit):
		return tooLarge(limit.Limit)
	case errors.Is(b.err, errNoRoom):
		return memoryFull()
	case errors.Is(b.err, os.ErrDeadlineExceeded):
		return b.late()
	default:
		return &problem{code: "bad-body",
			detail: "the body ended early or is badly framed", cause: b.err}
	}
}

// late is the problem that the body did not arrive in time.
func (b *body) late() *problem {
	if b.token {
		return &problem{code: "token-invalid",
			detail: "the token expired before the body had arrived"}
	}
	return &problem{code: "body-timeout",
		detail: fmt.Sprintf("the body did not arrive within %v", b.timeout)}
}

// close is called when the body has been read to its end. Over HTTP/1.1 net/http has then lifted the deadline.
func (b *body) close() *problem {
	_ = b.r.Close() // net/http looks for the rest of an open one before it responds; a failure would have shown
	if !b.v.out.http2 {
		return nil
	}
	if err := b.v.out.rc.SetReadDeadline(time.Time{}); err != nil {
		return &problem{code: "internal", cause: err, detail: "no read deadline"}
	}
	return nil
}

// readBody reads a body of at most max bytes. One that is cut short is never returned.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, max int64) ([]byte, *problem) {
	b, p := s.openBody(w, r, max)
	if p != nil {
		return nil, p
	}
	var data []byte
	var err error
	if 0 < b.length && b.length <= maxAtOnce {
		data = make([]byte, b.length)
		_, err = io.ReadFull(b, data)
	} else {
		data, err = io.ReadAll(b)
	}
	if err != nil || b.err != nil { // io.ReadFull drops an error that comes with the last bytes
		return nil, b.problem(err)
	}
	return data, b.close()
}

func tooLarge(max int64) *problem {
	return &problem{code: "body-too-large", maxBytes: max,
		detail: fmt.Sprintf("at most %d bytes", max)}
}
