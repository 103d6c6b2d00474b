package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var errRefused = errors.New("connection refused")

// network stands in for a server, on the clock of a synctest bubble.
type network struct {
	connections []connection     // in turn; nil refuses
	before      []*http.Response // responses of an intermediary, before the connections
	begun       time.Time
	times       []time.Duration // when the requests were made
	cursors     []string
	whenDone    func() // called for a connection beyond the last
}

// connection is the server's side of one stream, which ends when it returns. gone is closed when the client hangs
// up.
type connection func(stream io.Writer, gone <-chan struct{})

func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	i := len(n.times) - len(n.before)
	n.times = append(n.times, time.Since(n.begun))
	n.cursors = append(n.cursors, req.Header.Get("Last-Event-ID"))
	if i < 0 {
		return n.before[len(n.before)+i], nil
	}
	if i == len(n.connections) {
		n.whenDone()
		return nil, req.Context().Err()
	}
	if n.connections[i] == nil {
		return nil, errRefused
	}
	body, stream := io.Pipe()
	context.AfterFunc(req.Context(), func() { stream.CloseWithError(req.Context().Err()) })
	go func() {
		n.connections[i](stream, req.Context().Done())
		stream.CloseWithError(req.Context().Err()) // io.EOF unless the client hung up
	}()
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"text/event-stream"}},
		Body:       body,
		Request:    req,
	}, nil
}

// tail runs the verb until all connections were used and it asks for one more.
func (n *network) tail(t *testing.T, stdout io.Writer) (stderr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	n.begun, n.whenDone = time.Now(), cancel
	c := tailCmd{client: client{URL: baseURL{&url.URL{Scheme: "http", Host: "tidings.test"}}}}
	var notices bytes.Buffer
	if err := c.Run(ctx, &app{stdout: stdout, stderr: &notices, transport: n}); err != nil {
		t.Error(err)
	}
	return notices.String()
}

func (n *network) want(t *testing.T, times []time.Duration, cursors []string) {
	t.Helper()
	if diff := cmp.Diff(times, n.times); diff != "" {
		t.Errorf("times of the connections (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(cursors, n.cursors); diff != "" {
		t.Errorf("Last-Event-ID (-want +got):\n%s", diff)
	}
}

func send(text string) connection {
	return func(stream io.Writer, _ <-chan struct{}) { io.WriteString(stream, text) }
}

func TestRetryIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{connections: []connection{
			send(""),
			send("retry: 5000\n\n"),
			send(frames(id1, "", "1")),
			send("retry: 0\n\n"),
		}}
		n.tail(t, io.Discard)
		n.want(t, []time.Duration{0, 1 * time.Second, 6 * time.Second, 11 * time.Second,
			11 * time.Second},
			[]string{"", "", "", id1, id1})
	})
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusals := make([]connection, 20)
		n := &network{connections: append(refusals, send(""), nil)}
		stderr := n.tail(t, io.Discard)
		if strings.Count(stderr, "connection refused; reconnecting in ") != len(refusals)+1 {
			t.Errorf("stderr: %s", stderr)
		}
		wait := func(i int) time.Duration { return n.times[i+1] - n.times[i] }
		seen := map[time.Duration]bool{}
		for i := range refusals {
			low, high := time.Second, 30*time.Second
			if i > 6 { // fully grown
				low = 10 * time.Second
			}
			if wait(i) < low || wait(i) > high {
				t.Errorf("wait %d is %v, want %v to %v", i, wait(i), low, high)
			}
			seen[wait(i)] = true
		}
		if len(seen) < 10 {
			t.Errorf("only %d different waits of %d: no jitter", len(seen), len(refusals))
		}
		if after := wait(len(refusals) + 1); after > 2*time.Second {
			t.Errorf("first wait after a good connection is %v, want a short one", after)
		}
	})
}

// Responses of an intermediary pass: they are reported once, and retried like any failure.
func TestStrangeAnswersPass(t *testing.T) {
	const problem = "application/problem+json"
	for _, tt := range []struct {
		name, mediaType, body string
		status                int
		want                  string
	}{
		{"page", "text/html", "<html>", 200, `"text/html" instead of an event stream`},
		{"not found", "text/plain", "404 page not found", 404, "answered 404 Not Found: 404 page not found"},
		{"forbidden", "text/html", "<html>", 403, "answered 403 Forbidden"},
		{"sign in", "text/html", "", 302, "redirects are not followed; set --url for /login"},
		{"basic", "", "", 401, "answered 401 Unauthorized"},
		{"bad gateway", "text/html", "<html>", 502, "answered 502 Bad Gateway"},
		{"problem of somebody else", problem, `{"title":"No"}`, 404, "answered 404 No"},
		{"no problem", problem, "<html>", 404, "answered 404 Not Found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{connections: []connection{send(frames(id1, "", "1"))}}
				for range 5 {
					n.before = append(n.before, &http.Response{StatusCode: tt.status,
						Header: http.Header{"Content-Type": {tt.mediaType}, "Location": {"/login"}},
						Body:   io.NopCloser(strings.NewReader(tt.body))})
				}
				var stdout bytes.Buffer
				stderr := n.tail(t, &stdout)
				if !strings.Contains(stdout.String(), id1) {
					t.Errorf("the event after the outage is missing: %q", stdout.String())
				}
				if strings.Count(stderr, tt.want) != 1 || strings.Count(stderr, "\n") != 2 {
					t.Errorf("want %q told once, and the end of the stream, but stderr is %s",
						tt.want, stderr)
				}
				if pause := n.times[4] - n.times[3]; pause < 3*time.Second {
					t.Errorf("the fifth request came %v after the fourth", pause)
				}
			})
		})
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took != time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// A connection that died silently is given up after a minute, and resumed.
func TestSilenceIsDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(stream io.Writer, gone <-chan struct{}) {
			time.Sleep(50 * time.Second)
			io.WriteString(stream, frames(id1, "", "1"))
			<-gone
		}
		n := &network{connections: []connection{silent}}
		var stdout strings.Builder
		stderr := n.tail(t, &stdout)
		n.want(t, []time.Duration{0, (50 + 60 + 1) * time.Second}, []string{"", id1})
		if want := "tidings: no data received, not even a heartbeat; reconnecting in 1s\n"; stderr != want {
			t.Errorf("stderr %q, want %q", stderr, want)
		}
		if stdout.String() != id1+" message 1\n" {
			t.Errorf("stdout %q", stdout.String())
		}
	})
}

func TestSilenceBeforeAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *subscription
		attempts := 0
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("seen enough")
		s = &subscription{
			client: &client{URL: baseURL{&url.URL{Scheme: "http", Host: "tidings.test"}}},
			http: &http.Client{Transport: roundTripper(
				func(req *http.Request) (*http.Response, error) {
					attempts++
					<-req.Context().Done()
					return nil, req.Context().Err()
				})},
			notice: func(text string) {
				if !strings.Contains(text, "not even a heartbeat") {
					t.Errorf("notice %q", text)
				}
				cancel(stop)
			},
		}
		if err := s.follow(ctx, nil); !errors.Is(err, stop) || attempts != 1 {
			t.Errorf("got %v after %d attempts", err, attempts)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestHeartbeatsKeepTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		beating := func(stream io.Writer, _ <-chan struct{}) {
			for range 100 {
				time.Sleep(15 * time.Second)
				io.WriteString(stream, frames(id1, "tidings.heartbeat", "{}"))
			}
		}
		n := &network{connections: []connection{beating}}
		n.tail(t, io.Discard)
		n.want(t, []time.Duration{0, (100*15 + 1) * time.Second}, []string{"", id1})
	})
}

// A server may be configured to beat so rarely that a minute of silence means nothing.
func TestRareHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rare := func(stream io.Writer, gone <-chan struct{}) {
			io.WriteString(stream, frames(id1, "tidings.open",
				`{"log":"L","resume":false,"heartbeat_seconds":90}`))
			for range 10 {
				time.Sleep(90 * time.Second)
				io.WriteString(stream, frames(id1, "tidings.heartbeat", "{}"))
			}
			<-gone
		}
		n := &network{connections: []connection{rare}}
		n.tail(t, io.Discard)
		n.want(t, []time.Duration{0, (10*90 + 4*90 + 1) * time.Second}, []string{"", id1})
	})
}

// A pager that shows one screen for an hour is not a silent server.
func TestSlowOutputIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pushing := func(stream io.Writer, _ <-chan struct{}) {
			io.WriteString(stream, frames(id1, "", "1", id2, "", "2"))
			io.WriteString(stream, frames(id3, "", "3")) // is read once both have been printed
		}
		n := &network{connections: []connection{pushing}}
		n.tail(t, slowWriter{})
		n.want(t, []time.Duration{0, 3*time.Hour + time.Second}, []string{"", id3})
	})
}

type slowWriter struct{}

func (slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Hour)
	return len(p), nil
}
