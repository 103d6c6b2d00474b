//go:build linux

package api_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/e2e"
	"tidings/internal/sse"
	"tidings/store"
)

// How a stream without a handler behaves. The other tests of streams use such streams too, unless they are in a
// bubble.

var writers = []string{api.WriterHeld, api.WriterOrdinary}

// TestHeads: the head of a stream's response is the same whoever writes it, except for the date and the connection
// headers.
func TestHeads(t *testing.T) {
	for _, c := range []struct{ name, request string }{
		{"plain", "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"},
		{"cross-origin", "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example.com\r\n\r\n"},
		{"row 242: HTTP/1.0", "GET /v1/stream HTTP/1.0\r\nHost: localhost\r\n\r\n"},
		{"HTTP/1.0, to be kept", "GET /v1/stream HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var heads []string
			log := newLog(t) // for both: Tidings-Who depends on the log
			for _, writer := range writers {
				s := newServer(t, log, 0, api.Options{StreamWriter: writer, RateRead: 1000,
					CORSOrigins: []string{"https://app.example.com"}})
				conn := s.connect()
				defer conn.Close()
				if _, err := io.WriteString(conn, c.request); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 8<<10)
				n, err := conn.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				head, body, _ := strings.Cut(string(buf[:n]), "\r\n\r\n")
				if chunks := strings.Contains(c.request, "HTTP/1.1"); chunks == strings.HasPrefix(body, "retry: ") {
					t.Errorf("%s: body %q, want chunks: %v", writer, body, chunks)
				}
				heads = append(heads, regexp.MustCompile(`\r\n(Date|Connection): [^\r]*`).ReplaceAllString(head, ""))
			}
			if heads[0] != heads[1] {
				t.Errorf("held:\n%s\nordinary:\n%s", heads[0], heads[1])
			}
		})
	}
}

// TestBeginsInOneWrite: a client that is caught up gets the response head, open and live at once.
func TestBeginsInOneWrite(t *testing.T) {
	s := start(t)
	conn := s.connect()
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 16<<10)
	n, err := conn.Read(first)
	if err != nil || !bytes.Contains(first[:n], []byte("event: tidings.live\n")) {
		t.Errorf("first read %q, %v, want all up to live", first[:n], err)
	}
}

// TestEndsOfHTTP10: without chunks the body ends with the connection.
func TestEndsOfHTTP10(t *testing.T) {
	for _, writer := range writers {
		s := newServer(t, newLog(t), 0, api.Options{StreamWriter: writer})
		conn := s.connect()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v1/stream HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		e2e.Eventually(t, "subscriber", func() bool { return len(s.subscribers().Subscribers) == 1 })
		s.api.Drain()
		text, err := io.ReadAll(conn)
		if err != nil || !strings.HasSuffix(string(text), "event: tidings.bye\ndata: {\"reason\":\"shutdown\"}\n\n") {
			t.Errorf("%s: %q, %v, want a bye and the end", writer, text, err)
		}
	}
}

// TestManyReturnAtOnce: what streams read once for all of them does not fill the memory for responses, however many
// wait for their turn.
func TestManyReturnAtOnce(t *testing.T) {
	const streams, missed = 100, 60
	s := newServer(t, newLog(t), 0, api.Options{BufferBytes: 1 << 20})
	first := appendTo(t, s.log, "a")
	for range missed {
		appendData(t, s.log, "a", bytes.Repeat([]byte("x"), 2<<10))
	}
	conns := make([]*net.TCPConn, streams)
	for i := range conns {
		conns[i] = s.connect()
		defer conns[i].Close()
	}
	for _, c := range conns {
		if _, err := fmt.Fprintf(c, "GET /v1/stream?after=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", first); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range conns {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		events := newStream(t, resp)
		for e := events.next(); e.Type != "tidings.live"; e = events.next() {
			if e.Type == "tidings.bye" {
				t.Fatalf("stream %d: %s", i, e.Data)
			}
		}
	}
}

// tellingLog calls told when a stream that has looked at the log asks for the log's identity.
type tellingLog struct {
	store.Log
	told atomic.Pointer[func()]
}

func (l *tellingLog) Info() (store.Info, error) {
	if told := l.told.Swap(nil); told != nil {
		(*told)()
	}
	return l.Log.Info()
}

// TestEventWhileAStreamOpens: an event that wakes a stream between its first look and its first turn is not left to
// the next wake-up.
func TestEventWhileAStreamOpens(t *testing.T) {
	for _, writer := range writers {
		log := &tellingLog{Log: newLog(t)}
		s := newServer(t, log, 0, api.Options{StreamWriter: writer, Heartbeat: time.Hour})
		told := func() {
			woken := s.tail.Stats().Wakeups
			draft := store.Draft{Topic: "a", Type: "made", Data: []byte("1")}
			if _, err := store.Append(t.Context(), log, []store.Draft{draft}); err != nil {
				t.Error(err)
			}
			e2e.Eventually(t, "wake-up", func() bool { return s.tail.Stats().Wakeups > woken })
		}
		log.told.Store(&told)
		ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
		s.open(ctx, "/v1/stream", "").until("made")
		cancel()
	}
}

// TestClientSpeaks: a client sends something on the connection of its stream.
func TestClientSpeaks(t *testing.T) {
	const get = "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for _, c := range []struct {
		name, with, after string
		half              bool
		wantEnd           bool
	}{
		{"row 240: a second request with the first", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "", false, false},
		{"row 240: a second request", "", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", false, false},
		{"row 240: too much", "", strings.Repeat("x", 6<<10), false, true},
		{"row 241: half-closed", "", "", true, true},
		{"row 241: half-closed with the request", "", "", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			conn := s.connect()
			defer conn.Close()
			if _, err := io.WriteString(conn, get+c.with); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(c.name, "with the request") {
				e2e.Eventually(t, "subscriber", func() bool { return len(s.subscribers().Subscribers) == 1 })
			}
			if _, err := io.WriteString(conn, c.after); err != nil {
				t.Fatal(err)
			}
			if c.half {
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			if c.wantEnd {
				e2e.Eventually(t, "end of all streams", func() bool { return len(s.subscribers().Subscribers) == 0 })
				_, _ = io.Copy(io.Discard, conn) // to the end, or to a reset
				return
			}
			s.publish("orders", "1")
			e2e.Eventually(t, "delivery", func() bool { return s.metrics()["tidings_delivered_events_total"] == "1" })
			s.api.Drain()
			text, err := io.ReadAll(conn)
			if err != nil || bytes.Count(text, []byte("HTTP/1.1 ")) != 1 ||
				!bytes.Contains(text, []byte("data: 1\n")) ||
				!bytes.Contains(text, []byte(`{"reason":"shutdown"}`)) {
				t.Errorf("%q, %v, want one answer, the event and a bye", text, err)
			}
		})
	}
}

// narrow returns a client that buffers little.
func (s *server) narrow(path string) *net.TCPConn {
	s.t.Helper()
	conn := s.connect()
	s.t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadBuffer(32 << 10); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

func (s *server) stuckBytes() string { return s.metrics()["tidings_stuck_bytes"] }

// TestStoppedInAnEvent: a client has stopped within a large event, which is then trimmed with what follows it. It
// still gets that event completely, a gap for what is gone, and then the rest.
func TestStoppedInAnEvent(t *testing.T) {
	for _, tailBytes := range []int64{0, -1, 3000} {
		for _, read := range []int{0, 1, 400, 70_000} {
			t.Run(fmt.Sprintf("row 243: tail of %d, after %d bytes", tailBytes, read), func(t *testing.T) {
				s := newServer(t, newLog(t), tailBytes, api.Options{})
				begin := appendTo(t, s.log, "orders")
				conn := s.narrow("/v1/topics/orders/stream?after=" + begin.String())
				e2e.Eventually(t, "live stream", func() bool {
					l := s.subscribers().Subscribers
					return len(l) == 1 && l[0].State == "live"
				})
				large := appendData(t, s.log, "orders", bytes.Repeat([]byte("x"), 1<<20))
				e2e.Eventually(t, "stuck stream", func() bool { return s.stuckBytes() != "0" })
				lost := appendTo(t, s.log, "orders")
				got := make([]byte, read)
				if _, err := io.ReadFull(conn, got); err != nil {
					t.Fatal(err)
				}
				s.trim(next(t, lost.String()), "orders")
				last := appendTo(t, s.log, "orders")
				resp, err := http.ReadResponse(newReader(got, conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				st := newStream(t, resp)
				st.Decoder = sse.NewDecoder(resp.Body, 32<<20)
				var story []string
				for e := range told(st, last) {
					story = append(story, e)
				}
				want := []string{large.String(), "gap:expired", last.String()}
				if fmt.Sprint(story) != fmt.Sprint(want) {
					t.Errorf("got %v, want %v", story, want)
				}
				e2e.Eventually(t, "settled debt", func() bool { return s.stuckBytes() == "0" })
			})
		}
	}
}

func newReader(got []byte, conn io.Reader) *bufio.Reader {
	return bufio.NewReader(io.MultiReader(bytes.NewReader(got), conn))
}

// told yields the IDs of events and the reasons of gaps, up to the given event.
func told(st *stream, last store.ID) func(func(string) bool) {
	return func(yield func(string) bool) {
		for {
			e := st.next()
			switch {
			case e.Type == "tidings.gap":
				reason := regexp.MustCompile(`"reason":"([a-z]+)"`).FindSubmatch(e.Data)
				if !yield("gap:" + string(reason[1])) {
					return
				}
			case !isControl(e):
				if !yield(e.ID) || e.ID == last.String() {
					return
				}
			}
		}
	}
}

// TestStuckMakeRoom: beyond --stuck-bytes the clients stuck the longest are cut off, and reconnect.
func TestStuckMakeRoom(t *testing.T) {
	t.Run("row 244: two of three", func(t *testing.T) {
		s := newServer(t, newLog(t), 0, api.Options{MaxEventBytes: 32 << 20, StuckBytes: 20 << 20})
		for range 3 {
			s.narrow("/v1/stream")
		}
		e2e.Eventually(t, "subscriber", func() bool { return len(s.subscribers().Subscribers) == 3 })
		appendData(t, s.log, "orders", make([]byte, 16<<20)) // more as base64
		e2e.Eventually(t, "cut-off of two", func() bool { return len(s.subscribers().Subscribers) == 1 })
		if cut := s.metrics()[`tidings_memory_full_total{of="stuck"}`]; cut != "2" {
			t.Errorf("%s are counted", cut)
		}
	})
}

// TestHeldStalls: a held client that accepts nothing is cut off after the stall timeout, and counted; one that an
// administrator or a shutdown cuts off while it is stuck ends soon.
func TestHeldStalls(t *testing.T) {
	for _, c := range []struct {
		name  string
		stall time.Duration
		end   func(*server)
		count string
	}{
		{"stall", 100 * time.Millisecond, func(*server) {}, "1"},
		{"cut off", time.Hour, func(s *server) {
			s.do("DELETE", "/v1/subscribers/"+s.subscribers().Subscribers[0].ID, "")
		}, "0"},
		{"shutdown", time.Hour, func(s *server) { s.api.Drain() }, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, newLog(t), 0, api.Options{StallTimeout: c.stall, MaxEventBytes: 16 << 20})
			s.narrow("/v1/stream")
			e2e.Eventually(t, "subscriber", func() bool { return len(s.subscribers().Subscribers) == 1 })
			appendData(t, s.log, "orders", make([]byte, 8<<20))
			if c.stall == time.Hour {
				e2e.Eventually(t, "stuck stream", func() bool { return s.stuckBytes() != "0" })
			}
			c.end(s)
			e2e.Eventually(t, "end of all streams", func() bool { return len(s.subscribers().Subscribers) == 0 })
			if got := s.metrics()["tidings_stalls_total"]; got != c.count {
				t.Errorf("%s stalls are counted, want %s", got, c.count)
			}
			ctx, cancel := context.WithTimeout(t.Context(), e2e.Patience)
			defer cancel()
			s.api.Drain()
			if err := s.api.Wait(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}
