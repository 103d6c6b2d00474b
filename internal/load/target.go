// Package load puts a Tidings server under load over the interfaces that its users have, HTTP and SSE, and reports how
// fast it was, and whether anything was missing, duplicated or out of order.
package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"tidings/internal/sse"
)

// Topic is the only topic written to. It is trimmed at the end.
const Topic = "tidings-bench"

// Target is a server and the token to call it with. It may be used concurrently.
type Target struct {
	URL    *url.URL
	Token  string // "" sends none
	Client *http.Client
}

// usage is what a server has used since its start.
type usage struct {
	cpu      float64 // seconds of user and system time
	resident float64 // bytes now
}

// call makes a request and returns its answer, which the caller closes; an unsuccessful one is returned as an error.
func (t *Target) call(ctx context.Context, method, path string, query url.Values, body []byte,
	header ...string) (*http.Response, error) {
	u := t.URL.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if t.Token != "" {
		req.Header.Set("Authorization", "Bearer "+t.Token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := t.Client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var p struct{ Code, Detail string }
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // as much of it as there is
	if json.Unmarshal(text, &p) != nil || p.Code == "" {
		return nil, fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return nil, &refusal{resp.StatusCode, p.Code, p.Detail}
}

// refusal is an error answer of the server.
type refusal struct {
	status       int
	code, detail string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.code, r.detail) }

func (t *Target) get(ctx context.Context, path string, query url.Values, into any) error {
	resp, err := t.call(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// Events returns how many events the server retains, of all topics.
func (t *Target) Events(ctx context.Context) (int, error) {
	var log struct{ Events int }
	err := t.get(ctx, "v1/log", nil, &log)
	return log.Events, err
}

// head returns the newest ID of the log; reading starts after it, past everything there was before.
func (t *Target) head(ctx context.Context) (string, error) {
	var log struct{ Head string }
	err := t.get(ctx, "v1/log", nil, &log)
	return log.Head, err
}

// Trim deletes all events of the topic except the newest, which marks where it ends.
func (t *Target) Trim(ctx context.Context) error {
	head, err := t.head(ctx)
	if err != nil || head == "" {
		return err
	}
	resp, err := t.call(ctx, http.MethodPost, "v1/topics/"+Topic+"/trim",
		url.Values{"before": {head}}, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// usage reads the server's metrics; false if the token, or the server's system, does not provide them.
func (t *Target) usage(ctx context.Context) (u usage, known bool) {
	resp, err := t.call(ctx, http.MethodGet, "metrics", nil, nil)
	if err != nil {
		return usage{}, false
	}
	defer resp.Body.Close()
	found := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		number, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case name == "process_cpu_seconds_total":
			u.cpu = number
			found++
		case name == "process_resident_memory_bytes":
			u.resident = number
			found++
		}
	}
	return u, found == 2
}

// publish stores the data as one event.
func (t *Target) publish(ctx context.Context, data []byte) error {
	return t.post(ctx, "v1/topics/"+Topic+"/events", "application/json", data)
}

// batch stores lines of NDJSON, all or none.
func (t *Target) batch(ctx context.Context, lines []byte) error {
	return t.post(ctx, "v1/events", "application/x-ndjson", lines)
}

func (t *Target) post(ctx context.Context, path, mediaType string, body []byte) error {
	resp, err := t.call(ctx, http.MethodPost, path, nil, body, "Content-Type", mediaType)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body) // so that the connection can be reused
	return err
}

// maxFrame bounds an event of a stream.
const maxFrame = 16 << 20

// stream calls each with the events and control events that follow the ID, until it returns false, and returns the ID
// to continue after.
func (t *Target) stream(ctx context.Context, after string, each func(sse.Event) bool) (string, error) {
	resp, err := t.call(ctx, http.MethodGet, "v1/stream", url.Values{"topic": {Topic}}, nil,
		"Last-Event-ID", after)
	if err != nil {
		return after, err
	}
	defer resp.Body.Close()
	frames := sse.NewDecoder(resp.Body, maxFrame)
	for {
		e, err := frames.Next()
		if err != nil {
			return frames.LastEventID(), err
		}
		if !each(e) {
			return frames.LastEventID(), nil
		}
	}
}
