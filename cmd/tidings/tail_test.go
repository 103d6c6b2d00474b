package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/sse"
)

const (
	id1 = "01K5ZM00000000000000000001" // minted 2025-09-25T05:02:04.800Z, as the others were
	id2 = "01K5ZM00000000000000000002"
	id3 = "01K5ZM00000000000000000003"
)

// frames joins events into a stream: id, type and data, in groups of three.
func frames(fields ...string) string {
	var b []byte
	for f := fields; len(f) > 0; f = f[3:] {
		b = sse.AppendEvent(b, f[0], f[1], []byte(f[2]))
	}
	return string(b)
}

// streamServer answers its first request with the first stream and so on; after the last one it reports that the
// topics have ended, so that tail exits with 0. cursors are the Last-Event-ID headers.
type streamServer struct {
	url     string
	queries []string
	cursors []string
}

func newStreamServer(t *testing.T, streams ...string) *streamServer {
	s := &streamServer{}
	s.url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/stream" ||
			r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("got %s %s, accept %q", r.Method, r.URL, r.Header.Get("Accept"))
		}
		n := len(s.cursors)
		s.queries = append(s.queries, r.URL.RawQuery)
		s.cursors = append(s.cursors, r.Header.Get("Last-Event-ID"))
		if n >= len(streams) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "retry: 1\n\n"+streams[n])
	})
	return s
}

func (s *streamServer) tail(t *testing.T, args ...string) outcome {
	return runCLI(t, append([]string{"tail", "--url", s.url}, args...)...)
}

func TestTailText(t *testing.T) {
	s := newStreamServer(t, frames(
		id1, "order.created", `{ "n": 1.0, "e":1e400, "s":"\u00e9<\/>&", "n": 2 }`,
		id2, "", "two\nlines\x1b[2J",
		id3, "", "",
		id3, "tidings.end", `{"topic":"orders"}`))
	got := s.tail(t)
	got.want(t, exitOK, id1+` order.created {"n":1.0,"e":1e400,"s":"\u00e9<\/>&","n":2}`+"\n"+
		id2+` message two\nlines\x1b[2J`+"\n"+
		id3+" message \n"+
		id3+` tidings.end {"topic":"orders"}`+"\n", "the stream ended; reconnecting in 1ms")
}

func TestTailJSON(t *testing.T) {
	s := newStreamServer(t, frames(
		id1, "order.created", `{ "n": 1.0, "e":1e400, "s":"\u00e9<\/>&", "n": 2 }`,
		id2, "", "two\n<lines>",
		"x", "", "null"))
	const when = `"time":"2025-09-25T05:02:04.800Z"`
	s.tail(t, "--json").want(t, exitOK,
		`{"id":"`+id1+`",`+when+
			`,"type":"order.created","data":{"n":1.0,"e":1e400,"s":"\u00e9<\/>&","n":2}}`+"\n"+
			`{"id":"`+id2+`",`+when+`,"type":"message","data":"two\n<lines>"}`+"\n"+
			`{"id":"x","type":"message","data":null}`+"\n", "reconnecting")
}

func TestTailQuery(t *testing.T) {
	tests := []struct{ args, want string }{
		{"", ""},
		{"orders tickets.>", "topic=orders&topic=tickets.%3E"},
		{"--since=15m", "since=15m"},
		{"--last=0 *", "last=0&topic=%2A"},
		{"--after=" + id1, "after=" + id1},
	}
	for _, tt := range tests {
		s := newStreamServer(t)
		s.tail(t, strings.Fields(tt.args)...).want(t, exitOK, "", "")
		if diff := cmp.Diff([]string{tt.want}, s.queries); diff != "" {
			t.Errorf("%q: query (-want +got):\n%s", tt.args, diff)
		}
	}
}

// The cursor moves with complete events only, including open and heartbeat, and survives connections that bring no
// ID at all. The query stays the same: the header takes precedence.
func TestTailResumes(t *testing.T) {
	s := newStreamServer(t,
		frames(id1, "tidings.open", "{}"),
		frames(id1, "", "1", id2, "", "2")+"id: "+id3+"\ndata: torn",
		frames("", "tidings.live", "{}"),
		frames(id3, "tidings.heartbeat", "{}"),
		"id: "+id1+"\n\n", // an ID without an event counts for a browser, so it does here
	)
	got := s.tail(t, "--last=5")
	if got.code != exitOK || got.stdout != id1+" message 1\n"+id2+" message 2\n" {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff([]string{"", id1, id2, id2, id3, id1}, s.cursors); diff != "" {
		t.Errorf("Last-Event-ID (-want +got):\n%s", diff)
	}
	for _, query := range s.queries {
		if query != "last=5" {
			t.Errorf("query %q, want the first one", query)
		}
	}
}

func TestTailControlEvents(t *testing.T) {
	stream := frames(
		"", "tidings.gap", `{"reason":"expired","requested":"`+id1+`","through":"`+
			id2+`","detail":"deleted by retention"}`,
		id2, "tidings.open", `{"log":"x"}`,
		"", "tidings.live", "{}",
		id3, "tidings.heartbeat", "{}",
		"", "tidings.bye", `{"reason":"shutdown"}`)
	const gap = "tidings: gap (expired): deleted by retention; requested events after " + id1 +
		", missing up to " + id2 + "\n"
	const bye = "tidings: the server closes the stream: shutdown\n"
	const again = "tidings: the stream ended; reconnecting in 1ms\n"

	quiet := newStreamServer(t, stream).tail(t)
	if want := (outcome{exitOK, "", gap + bye + again}); quiet != want {
		t.Errorf("got %+v, want %+v", quiet, want)
	}
	verbose := newStreamServer(t, stream).tail(t, "--verbose")
	want := outcome{exitOK, "", gap + `tidings: tidings.open: {"log":"x"}` +
		"\ntidings: tidings.live: {}\ntidings: tidings.heartbeat: {}\n" + bye + again}
	if verbose != want {
		t.Errorf("got %+v, want %+v", verbose, want)
	}
}

// The limit counts events, not control events, and across connections.
func TestTailLimit(t *testing.T) {
	s := newStreamServer(t,
		frames(id1, "tidings.open", "{}", id1, "", "1"),
		frames(id1, "tidings.open", "{}", id2, "", "2", id3, "", "3"))
	s.tail(t, "--limit=2").want(t, exitOK, id1+" message 1\n"+id2+" message 2\n",
		"reconnecting")
}

func TestTailIsRefused(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"title":"No","detail":"token %s","code":"c"}`,
				r.Header.Get("Authorization"))
		})
		runCLI(t, "tail", "--url", url, "--token=t").
			want(t, exitFailure, "", fmt.Sprintf(
				"tidings: the server answered %d No: token Bearer t (code c)\n", status))
	}
}

// An event too large to hold would arrive again after every reconnect.
func TestTailOfHugeEvent(t *testing.T) {
	s := newStreamServer(t, "data: "+strings.Repeat("x", sse.DefaultMaxBytes)+"\n\n")
	s.tail(t).want(t, exitFailure, "", "larger than the limit")
}

func TestTailIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	runWith(ctx, nil, nil, "tail", "--url", url).want(t, exitOK, "", "")
}

func TestTailToClosedPipe(t *testing.T) {
	s := newStreamServer(t, frames(id1, "", "1"))
	r, w := io.Pipe()
	r.Close()
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"tail", "--url", s.url}, nil, nil, w, &stderr)
	if code != exitFailure || !strings.Contains(stderr.String(), "closed pipe") {
		t.Errorf("exit code %d, stderr %s", code, stderr.String())
	}
}
