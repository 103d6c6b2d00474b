package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"tidings/internal/sse"
)

// Stream is an open event stream. It belongs to one goroutine, except Close.
type Stream struct {
	*sse.Decoder
	body io.Closer
}

// Subscribe opens a stream of everything that matches the query, such as "topic=orders&since=earliest", and returns
// once it has the headers of the response. lastEventID, if any, is sent as the header.
func Subscribe(ctx context.Context, client *http.Client, url, query,
	lastEventID string) (*Stream, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/stream?"+query, nil)
	if err != nil {
		return nil, err
	}
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("the stream was answered with %s", resp.Status)
	}
	return &Stream{Decoder: sse.NewDecoder(resp.Body, 0), body: resp.Body}, nil
}

// Close closes the connection. It is idempotent and may be called while Next waits.
func (s *Stream) Close() error { return s.body.Close() }

// IsControl reports whether an event is about the stream rather than from the log.
func IsControl(e sse.Event) bool {
	return strings.HasPrefix(e.Type, "tidings.") && e.Type != "tidings.end"
}
