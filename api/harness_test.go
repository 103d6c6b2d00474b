package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/alert"
	"tidings/api"
	"tidings/deliver"
	"tidings/internal/outbound"
	"tidings/internal/seal"
	"tidings/internal/sse"
	"tidings/replay"
	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

// server is a real server on a real port, over a real log, shut down in the same order as in cmd.
type server struct {
	t    testing.TB
	url  string
	log  store.Log
	tail *replay.Tail
	api  *api.Server
}

func newServer(t testing.TB, log store.Log, tailBytes int64, o api.Options) *server {
	t.Helper()
	s := &server{t: t, log: log, tail: replay.NewTail(log, replay.TailOptions{Bytes: tailBytes})}
	_, err := log.Info()
	if err == nil && o.Alerts == nil {
		if o.Alerts, err = alert.New(log, s.tail, alert.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err == nil && o.Deliveries == nil {
		o.Deliveries = newSender(t, log, s.tail, nil, o.Alerts.Wants)
	}
	if err == nil && o.Devices == nil {
		o.Devices = newDevices(t, log, deliver.PushOptions{})
	}
	s.api = api.New(log, s.tail, o)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + listener.Addr().String()
	h := s.api.HTTPServer()
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(listener) }()
	t.Cleanup(func() {
		s.api.Drain()
		if err := h.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.api.Wait(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		o.Devices.Close()
		if o.Deliveries != nil {
			o.Deliveries.Close()
		}
		o.Alerts.Close()
		s.tail.Close()
	})
	return s
}

// newSender returns a Sender that reaches loopback, or only what the client does.
func newSender(t testing.TB, log store.Log, tail *replay.Tail, client *http.Client,
	wants func(string, *store.Event) bool) *deliver.Sender {
	t.Helper()
	sender, err := deliver.New(log, tail, deliver.Options{
		Guard: outbound.New(outbound.Options{HTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}),
		Key:   seal.NewFile(filepath.Join(t.TempDir(), "secrets.key")), Client: client,
		Wants: wants})
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

// newDevices returns the Devices of a server that reaches loopback.
func newDevices(t testing.TB, log store.Log, o deliver.PushOptions) *deliver.Devices {
	t.Helper()
	o.Guard = outbound.New(outbound.Options{Push: true, HTTP: true,
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	o.Key, o.Contact = seal.NewFile(filepath.Join(t.TempDir(), "secrets.key")), "mailto:ops@example.com"
	devices, err := deliver.NewDevices(log, o)
	if err != nil {
		t.Fatal(err)
	}
	return devices
}

func newLog(t testing.TB) store.Log { return newLogAt(t, time.Now) }

// newLogAt returns a log with this clock.
func newLogAt(t testing.TB, now func() time.Time) store.Log {
	t.Helper()
	return newLogIn(t, t.TempDir(), bolt.Options{Now: now})
}

// newLogIn opens a log, which is checked and closed when the test ends.
func newLogIn(t testing.TB, dir string, o bolt.Options) store.Log {
	t.Helper()
	log, err := bolt.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		storetest.Check(t, log)
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

// start returns a server with the defaults over a new log.
func start(t testing.TB) *server { return newServer(t, newLog(t), 0, api.Options{}) }

// ticking returns a clock that advances by a second on each read, so that no two IDs are neighbours.
func ticking() func() time.Time {
	var ticks atomic.Int64
	return func() time.Time { return time.Unix(1_800_000_000+ticks.Add(1), 0) }
}

// answer is the response to a request.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) problem(t testing.TB) (p struct {
	Type, Title, Detail, Code, Outcome, Field string
	Status                                    int
	RequestID                                 string `json:"request_id"`
	MaxBytes                                  int64  `json:"max_bytes"`
	Offset                                    int64
}) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("%d with Content-Type %q, want a problem: %s", a.status, got, a.body)
	}
	a.decode(t, &p)
	return p
}

func (a answer) decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
}

// addHeaders adds headers, "Name: value", to a request.
func addHeaders(r *http.Request, headers []string) {
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
}

// roundTrip sends a request; headers are "Name: value".
func (s *server) roundTrip(method, path, body string, headers []string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	addHeaders(r, headers)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp
}

// do sends a request and reads the whole response.
func (s *server) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	resp := s.roundTrip(method, path, body, headers)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if location, err := resp.Location(); err == nil { // resolved, as clients do
		resp.Header.Set("Location", location.Path)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// publish posts JSON data and returns the event's ID.
func (s *server) publish(topic, data string) string {
	s.t.Helper()
	a := s.do("POST", "/v1/topics/"+topic+"/events", data, "Content-Type: application/json")
	if a.status != http.StatusCreated {
		s.t.Fatalf("publish: %d %s", a.status, a.body)
	}
	var got struct{ ID string }
	a.decode(s.t, &got)
	return got.ID
}

func (s *server) trim(before string, patterns ...string) {
	s.t.Helper()
	f, err := store.NewFilter(patterns...)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := store.ParseID(before)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.log.Trim(context.Background(), f, id); err != nil {
		s.t.Fatal(err)
	}
}

// stream is an open event stream.
type stream struct {
	t    testing.TB
	resp *http.Response
	*sse.Decoder
}

// open opens a stream; lastEventID is sent as the header unless it is empty.
func (s *server) open(ctx context.Context, path, lastEventID string, headers ...string) *stream {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	addHeaders(r, headers)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := bufio.NewReader(resp.Body).ReadString('\n')
		s.t.Fatalf("%s: %s %q", path, resp.Status, text)
	}
	return &stream{s.t, resp, sse.NewDecoder(resp.Body, 0)}
}

func newStream(t testing.TB, resp *http.Response) *stream {
	return &stream{t, resp, sse.NewDecoder(resp.Body, 0)}
}

func (st *stream) next() sse.Event {
	st.t.Helper()
	e, err := st.Next()
	if err != nil {
		st.t.Fatal(err)
	}
	return e
}

// until returns the events up to and including the first of this type.
func (st *stream) until(eventType string) (events []sse.Event) {
	st.t.Helper()
	for {
		e := st.next()
		events = append(events, e)
		if e.Type == eventType {
			return events
		}
	}
}

func isControl(e sse.Event) bool {
	return strings.HasPrefix(e.Type, "tidings.") && e.Type != "tidings.end"
}

// The following makes tables of named events readable.

func list(names string) []string { return strings.Fields(names) }

func lower(s string) string { return strings.ToLower(s) }

func event(name string) func(map[string]string) string {
	return func(id map[string]string) string { return id[name] }
}

func trimBefore(name, pattern string) func(*server, map[string]string) {
	return func(s *server, id map[string]string) { s.trim(id[name], pattern) }
}

func appendTo(t testing.TB, log store.Log, topic string) store.ID {
	t.Helper()
	return appendData(t, log, topic, []byte(topic))
}

func appendData(t testing.TB, log store.Log, topic string, data []byte) store.ID {
	t.Helper()
	ids, err := store.Append(context.Background(), log,
		[]store.Draft{{Topic: topic, ContentType: "text/plain", Data: data}})
	if err != nil {
		t.Fatal(err)
	}
	return ids[0]
}

// untilEnd yields events until the server ends the stream.
func untilEnd(st *stream) iter.Seq[sse.Event] {
	return func(yield func(sse.Event) bool) {
		for {
			e, err := st.Next()
			if err == nil && !yield(e) {
				return
			}
			if err != nil {
				if err != io.EOF {
					st.t.Error(err)
				}
				return
			}
		}
	}
}
