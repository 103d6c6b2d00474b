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
	// maxSilence is four heartbeats of a server with the default interval: a connection without a
	// byte for so long is taken for dead, whatever TCP says. It is longer once the server has named
	// a longer interval.
	maxSilence = time.Minute

	// defaultRetry is the wait before a reconnect until the server names one.
	defaultRetry = time.Second
)

var (
	// errEnded: every topic has ended and was delivered; the server answers 204.
	errEnded = errors.New("every topic has ended")

	errSilent = errors.New("nothing came, not even a heartbeat")
)

// subscription is one logical stream over as many connections as it takes. Each one goes on after
// the last event of the one before.
type subscription struct {
	client *client
	http   *http.Client
	query  url.Values
	notice func(text string) // for people: why and when it reconnects

	lastID string        // cursor, by the rules of EventSource
	retry  time.Duration // as the server asked for
}

// lostError is an end of a connection after which the subscription connects again.
type lostError struct {
	error
	opened bool // the stream had begun
}

// strangeError is an answer that is not of a Tidings server: of a proxy whose backend is being
// deployed, or of a page to sign in. It passes, so the subscription connects again too, and tells
// it once until a stream begins.
type strangeError struct{ error }

// follow calls handle for each event, in order, until handle returns an error, ctx ends, the topics
// have ended (errEnded), or the server refuses. It never returns nil.
func (s *subscription) follow(ctx context.Context, handle func(sse.Event) error) error {
	s.retry = defaultRetry
	// Jitter included, the wait stays at 30 s at most.
	attempts := backoff.ExponentialBackOff{
		InitialInterval: time.Second, Multiplier: 2, RandomizationFactor: 0.5,
		MaxInterval: 20 * time.Second,
	}
	told := false // of a strange answer
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
			s.notice(fmt.Sprintf("%v; connecting again in %v", lost.error,
				wait.Round(time.Millisecond)))
		case !told:
			told = true
			s.notice(fmt.Sprintf("%v; connecting again until it is one", strange))
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

// connect is one connection, from the request to its end.
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

// check tells answers that are final from those that pass. Final is only what the server itself
// says: that all has ended, or a problem that lies with the client.
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
		case errors.Is(err, sse.ErrTooLarge): // it would be as large the next time
			return err
		case errors.Is(err, io.EOF):
			return lostError{errors.New("the stream ended"), true}
		case err != nil:
			return lostError{causeOf(ctx, err), true}
		}
	}
}

// causeOf prefers why ctx was cancelled to the error that follows from it.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return shorten(err)
}

// watchedReader lets the timer run only while it waits for bytes: a slow terminal is no silence.
type watchedReader struct {
	r     io.Reader
	timer *time.Timer
	most  time.Duration // that it waits
}

// heartbeats takes the interval from what opened the stream.
func (w *watchedReader) heartbeats(open []byte) {
	var data struct {
		Seconds float64 `json:"heartbeat_seconds"`
	}
	if json.Unmarshal(open, &data) == nil { // else the default holds
		w.most = max(maxSilence, time.Duration(4*data.Seconds*float64(time.Second)))
	}
}

func (w *watchedReader) Read(p []byte) (int, error) {
	w.timer.Reset(w.most)
	defer w.timer.Stop()
	return w.r.Read(p)
}
