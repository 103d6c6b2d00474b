package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"

	"tidings/internal/sse"
)

const (
	// maxSilence is four heartbeats at the default interval: a connection without a byte for this long is
	// considered dead, whatever TCP says. It grows when the server names a longer interval.
	maxSilence = time.Minute

	// defaultRetry is the wait before a reconnect until the server names one.
	defaultRetry = time.Second
)

var (
	// errEnded means that every topic has ended and was delivered; the server then answers 204.
	errEnded = errors.New("every topic has ended")

	errSilent = errors.New("no data received, not even a heartbeat")
)

// subscription is one logical stream over as many connections as it takes. Each continues after the last event of
// the previous one.
type subscription struct {
	client *client
	http   *http.Client
	query  url.Values
	notice func(text string) // for people: why and when it reconnects

	lastID string        // cursor, by the rules of EventSource
	retry  time.Duration // as requested by the server
}

// lostError is the end of a connection after which the subscription reconnects.
type lostError struct {
	error
	opened bool // the stream had begun
}

// strangeError is a response that is not from a Tidings server, but from a proxy whose backend is being deployed,
// or from a sign-in page. It passes, so the subscription reconnects, and reports it once until a stream begins.
type strangeError struct{ error }

// follow calls handle for each event, in order, until handle returns an error, ctx ends, the topics have ended
// (errEnded), or the server refuses. It never returns nil.
func (s *subscription) follow(ctx context.Context, handle func(sse.Event) error) error {
	s.retry = defaultRetry
	// Including jitter, the wait is at most 30 s.
	attempts := backoff.ExponentialBackOff{
		InitialInterval: time.Second, Multiplier: 2, RandomizationFactor: 0.5,
		MaxInterval: 20 * time.Second,
	}
	told := false // a strange response was reported
	for {
		err := s.connect(ctx, handle)
		var lost lostError
		if ctx.Err() != nil || !errors.As(err, &lost) {
			return err
		}
		wait := s.retry
		if lost.opened {
			attempts.Reset()
			told = false
		} else {
			wait = max(wait, attempts.NextBackOff())
		}
		var strange strangeError
		switch {
		case !errors.As(lost.error, &strange):
			s.notice(fmt.Sprintf("%v; reconnecting in %v", lost.error,
				wait.Round(time.Millisecond)))
		case !told:
			told = true
			s.notice(fmt.Sprintf("%v; reconnecting until it is one", strange))
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// connect runs one connection, from the request to its end.
func (s *subscription) connect(ctx context.Context, handle func(sse.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(maxSilence, func() { cancel(errSilent) })
	defer silence.Stop()

	req, err := s.client.request(ctx, http.MethodGet, s.query, "v1", "stream")
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if s.lastID != "" {
		req.Header.Set("Last-Event-ID", s.lastID)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return lostError{causeOf(ctx, err), false}
	}
	defer resp.Body.Close()
	if err := s.check(resp); err != nil {
		return err
	}
	return s.read(ctx, &watchedReader{resp.Body, silence, maxSilence}, handle)
}

// check separates final responses from those that pass. A final one comes from the server itself: all topics have
// ended, or a problem lies with the client.
func (s *subscription) check(resp *http.Response) error {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch code := resp.StatusCode; {
	case code == http.StatusNoContent:
		return errEnded
	case code == http.StatusOK && mediaType == "text/event-stream":
		return nil
	case code == http.StatusOK:
		return lostError{strangeError{fmt.Errorf(
			"%s answered with %q instead of an event stream: is it a Tidings server?",
			s.client.URL, mediaType)}, false}
	}
	problem := readProblem(resp)
	switch code := problem.Status; {
	case problem.Code == "":
		return lostError{strangeError{fmt.Errorf("%w: is %s a Tidings server?",
			problem, s.client.URL)}, false}
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return lostError{problem, false}
	}
	return problem
}

func (s *subscription) read(ctx context.Context, body *watchedReader,
	handle func(sse.Event) error) error {
	events := sse.NewDecoder(body, 0)
	for {
		event, err := events.Next()
		if err == nil {
			if event.Type == "tidings.open" {
				body.heartbeats(event.Data)
			}
			err = handle(event)
			if err != nil {
				return err
			}
		}
		// A new decoder knows no ID until its stream names one.
		if id := events.LastEventID(); id != "" {
			s.lastID = id
		}
		if retry, ok := events.Retry(); ok {
			s.retry = retry
		}
		switch {
		case errors.Is(err, sse.ErrTooLarge): // it would be too large again
			return err
		case errors.Is(err, io.EOF):
			return lostError{errors.New("the stream ended"), true}
		case err != nil:
			return lostError{causeOf(ctx, err), true}
		}
	}
}

// causeOf prefers the cause of ctx's cancellation to the error that results from it.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return shorten(err)
}

// watchedReader runs the timer only while it waits for bytes: a slow terminal is not silence.
type watchedReader struct {
	r     io.Reader
	timer *time.Timer
	most  time.Duration // longest wait
}

// heartbeats reads the interval from the data of tidings.open.
func (w *watchedReader) heartbeats(open []byte) {
	var data struct {
		Seconds float64 `json:"heartbeat_seconds"`
	}
	if json.Unmarshal(open, &data) == nil { // else the default applies
		w.most = max(maxSilence, time.Duration(4*data.Seconds*float64(time.Second)))
	}
}

func (w *watchedReader) Read(p []byte) (int, error) {
	w.timer.Reset(w.most)
	defer w.timer.Stop()
	return w.r.Read(p)
}
