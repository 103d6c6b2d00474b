package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings/api"
	"tidings/internal/sse"
	"tidings/replay"
	"tidings/store"
	"tidings/store/storetest"
)

// These tests run on their own clock: a server whose connections are pipes in memory, over the model log, so that
// seconds pass as soon as nothing else can happen.

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	end   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.end) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// piped is a server inside a bubble.
type piped struct {
	t     *testing.T
	log   *storetest.Model
	api   *api.Server
	pipes *pipes
}

// bubble runs the test with a piped server, and shuts it down at the end.
func bubble(t *testing.T, o api.Options, test func(t *testing.T, s *piped)) {
	bubbleBehind(t, o, 0, test)
}

// lateLog reports that the head has moved a while after it has, so that the tail is behind.
type lateLog struct {
	store.Log
	by time.Duration
}

func (l lateLog) Wait(ctx context.Context, after store.ID) error {
	err := l.Log.Wait(ctx, after)
	if err == nil && l.by > 0 {
		time.Sleep(l.by) // the bubble's clock
	}
	return err
}

// bubbleBehind is bubble with a tail that is this much behind.
func bubbleBehind(t *testing.T, o api.Options, behind time.Duration,
	test func(t *testing.T, s *piped)) {
	bubbleWith(t, func(*testing.T, store.Log, *replay.Tail) api.Options { return o }, behind, test)
}

// bubbleOf is bubble with options created inside, where the clock is the bubble's.
func bubbleOf(t *testing.T, options func(*testing.T) api.Options,
	test func(t *testing.T, s *piped)) {
	bubbleWith(t, func(t *testing.T, _ store.Log, _ *replay.Tail) api.Options { return options(t) }, 0, test)
}

// bubbleWith is bubbleOf with options that may need the log and its tail.
func bubbleWith(t *testing.T, options func(*testing.T, store.Log, *replay.Tail) api.Options, behind time.Duration,
	test func(t *testing.T, s *piped)) {
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewModel(storetest.Options{})
		tail := replay.NewTail(lateLog{log, behind}, replay.TailOptions{})
		o := options(t, log, tail)
		s := &piped{t, log, api.New(copied{log}, tail, o),
			&pipes{conns: make(chan net.Conn), end: make(chan struct{})}}
		h := s.api.HTTPServer()
		ended := make(chan error, 1)
		go func() { ended <- h.Serve(s.pipes) }()
		test(t, s)
		s.api.Drain()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		// by the bubble's clock: for half a second net/http keeps a connection whose body it refused
		time.Sleep(time.Second)
		if o.Deliveries != nil {
			o.Deliveries.Close()
		}
		o.Alerts.Close()
		tail.Close()
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
}

// do sends a request, given as its method and path, and returns the response.
func (s *piped) do(request, body string) answer {
	s.t.Helper()
	text := fmt.Sprintf("%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", request,
		len(body), body)
	_, r := s.send(text)
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(got)}
}

// get sends a request on a new connection, which the test may read or not.
func (s *piped) get(path string, headers ...string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	return s.send("GET " + path + " HTTP/1.1\r\n" +
		strings.Join(append(headers, "Host: localhost"), "\r\n") + "\r\n\r\n")
}

// send sends text as it is on a new connection.
func (s *piped) send(text string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	client, server := net.Pipe()
	s.pipes.conns <- server
	s.t.Cleanup(func() { client.Close() })
	if _, err := io.WriteString(client, text); err != nil {
		s.t.Fatal(err)
	}
	return client, bufio.NewReader(client)
}

func (s *piped) stream(path string, headers ...string) *stream {
	s.t.Helper()
	_, r := s.get(path, headers...)
	return s.read(r)
}

// read reads the head of a stream's response.
func (s *piped) read(r *bufio.Reader) *stream {
	s.t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &stream{s.t, resp, sse.NewDecoder(resp.Body, 0)}
}

// TestHeartbeat: each heartbeat interval of silence ends with an ID that keeps the client's cursor recent; it moves
// with events that the client did not ask for.
func TestHeartbeat(t *testing.T) {
	bubble(t, api.Options{Heartbeat: 15 * time.Second}, func(t *testing.T, s *piped) {
		st := s.stream("/v1/stream?topic=orders")
		begin := time.Now()
		st.until("tidings.live")
		for n := 1; n <= 3; n++ {
			other := appendTo(t, s.log, "elsewhere")
			e := st.next()
			if e.Type != "tidings.heartbeat" || e.ID != other.String() || string(e.Data) != "{}" {
				t.Fatalf("got %+v, want a heartbeat with the ID %v", e, other)
			}
			if got, want := time.Since(begin), time.Duration(n)*15*time.Second; got != want {
				t.Errorf("heartbeat %d after %v, want %v", n, got, want)
			}
		}
	})
}

// TestHeartbeatWaitsForSilence: an event is as good as a heartbeat.
func TestHeartbeatWaitsForSilence(t *testing.T) {
	bubble(t, api.Options{Heartbeat: 15 * time.Second}, func(t *testing.T, s *piped) {
		st := s.stream("/v1/stream?topic=orders")
		st.until("tidings.live")
		for range 10 {
			time.Sleep(10 * time.Second) // the bubble's clock
			id := appendTo(t, s.log, "orders")
			if e := st.next(); e.ID != id.String() || e.Type != "message" {
				t.Fatalf("got %+v, want the event %v", e, id)
			}
		}
	})
}

// TestStall: a client that accepts nothing is disconnected after the stall timeout; one that accepts a little now and
// then is not, and gets everything.
func TestStall(t *testing.T) {
	const stall = time.Minute
	bubble(t, api.Options{StallTimeout: stall}, func(t *testing.T, s *piped) {
		for range 50 {
			appendData(t, s.log, "orders", make([]byte, 4<<10))
		}
		stuck, _ := s.get("/v1/stream?since=earliest")
		slow, _ := s.get("/v1/stream?since=earliest")
		readSlowly(t, slow, 50*(4<<10), stall)
		time.Sleep(time.Second) // the bubble's clock: readSlowly may have returned at the same instant
		if _, err := stuck.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("stuck client: %v, want the connection closed", err)
		}
	})
}

// TestDrain: every stream gets a bye and ends; so do new ones, at once; publishing is refused.
func TestDrain(t *testing.T) {
	bubble(t, api.Options{}, func(t *testing.T, s *piped) {
		st := s.stream("/v1/stream")
		st.until("tidings.live")
		s.api.Drain()
		for _, st := range []*stream{st, s.stream("/v1/stream")} {
			if e := st.next(); e.Type != "tidings.bye" ||
				string(e.Data) != `{"reason":"shutdown"}` {
				t.Errorf("got %+v, want a bye", e)
			}
			if e, err := st.Next(); err != io.EOF {
				t.Errorf("after the bye: %+v, %v, want the end", e, err)
			}
		}
		_, r := s.get("/readyz")
		if resp, err := http.ReadResponse(r, nil); err != nil ||
			resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("readyz: %v, %v, want 503", resp, err)
		}
	})
}

// readJSON reads a response's body.
func readJSON(t *testing.T, r *bufio.Reader, into any) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}
