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

// maxAtOnce bounds the memory that a body gets for being announced; a larger one gets it as it
// arrives.
const maxAtOnce = 64 << 10

// readBody reads a request's body of at most max bytes, within the body time-out. A body that is
// cut short is never returned.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, max int64) ([]byte, *problem) {
	for _, e := range r.Header.Values("Content-Encoding") {
		if e != "" && !strings.EqualFold(e, "identity") {
			return nil, &problem{code: "encoding-unsupported", field: "Content-Encoding",
				detail: fmt.Sprintf("send the body as it is, without %.64q", e)}
		}
	}
	if r.ContentLength > max {
		// the body is not read, so the connection cannot go on
		w.Header().Set("Connection", "close")
		return nil, tooLarge(max)
	}
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(s.o.BodyTimeout)); err != nil {
		return nil, &problem{code: "internal", cause: err, detail: "no read deadline"}
	}
	body := http.MaxBytesReader(nil, r.Body, max)
	var data []byte
	var err error
	if 0 < r.ContentLength && r.ContentLength <= maxAtOnce {
		data = make([]byte, r.ContentLength)
		_, err = io.ReadFull(body, data)
	} else {
		data, err = io.ReadAll(body)
	}
	var limit *http.MaxBytesError
	switch {
	case err == nil:
	case errors.As(err, &limit):
		w.Header().Set("Connection", "close")
		return nil, tooLarge(max)
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, &problem{code: "body-timeout",
			detail: fmt.Sprintf("the body did not arrive within %v", s.o.BodyTimeout)}
	default:
		w.Header().Set("Connection", "close")
		return nil, &problem{code: "bad-body",
			detail: "the body ended early or is framed wrongly", cause: err}
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		return nil, &problem{code: "internal", cause: err, detail: "no read deadline"}
	}
	return data, nil
}

func tooLarge(max int64) *problem {
	return &problem{code: "body-too-large", maxBytes: max,
		detail: fmt.Sprintf("at most %d bytes", max)}
}
