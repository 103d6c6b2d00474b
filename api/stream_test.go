package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/internal/sse"
	"tidings/store"
)

// TestFrames compares a whole stream with DESIGN §4, byte for byte except for random values.
func TestFrames(t *testing.T) {
	s := start(t)
	s.do("POST", "/v1/topics/orders/events?type=order.created", `{"order":1001}`)
	s.do("POST", "/v1/topics/orders/events", "two\nlines", "Content-Type: text/plain")
	resp := s.open(t.Context(), "/v1/topics/orders/stream?after=42&since=earliest", "").resp
	var begin bytes.Buffer
	(&stream{t, resp, sse.NewDecoder(io.TeeReader(resp.Body, &begin), 0)}).until("tidings.live")
	resp.Body = io.NopCloser(io.MultiReader(&begin, resp.Body))
	s.api.Drain()
	live := s.open(t.Context(), "/v1/stream?since=earliest", "").resp
	for _, c := range []struct {
		name string
		resp *http.Response
		want string
	}{
		{"gap", resp, `retry: RETRY
event: tidings.gap
data: {"reason":"malformed","requested":"42","through":"ID2","first":"ID1","last":"ID2","detail":"the cursor is not a ULID; continuing live"}

id: ID2
event: tidings.open
data: {"log":"LOG","who":"WHO","resume":false,"heartbeat_seconds":15,"subscriber":"SUBSCRIBER"}

event: tidings.live
data: {"last":"ID2"}

event: tidings.bye
data: {"reason":"shutdown"}

`},
		{"draining", live, `retry: RETRY
event: tidings.bye
data: {"reason":"shutdown"}

`},
	} {
		body, err := io.ReadAll(c.resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.mask(string(body)); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
		if h := c.resp.Header; h.Get("Cache-Control") != "no-store, no-transform" ||
			h.Get("X-Accel-Buffering") != "no" || h.Get("Incremental") != "?1" {
			t.Errorf("%s: headers %v", c.name, h)
		}
	}
}

// TestReplayFrames is TestFrames for events.
func TestReplayFrames(t *testing.T) {
	s := start(t)
	s.do("POST", "/v1/topics/orders/events?type=order.created", `{"order":1001}`)
	s.do("POST", "/v1/topics/orders/events", "two\nlines", "Content-Type: text/plain")
	resp := s.open(t.Context(), "/v1/stream?since=earliest", "").resp
	want := `retry: RETRY
id: 00000000000000000000000000
event: tidings.open
data: {"log":"LOG","who":"WHO","resume":false,"heartbeat_seconds":15,"subscriber":"SUBSCRIBER"}

id: ID1
event: order.created
data: {"order":1001}

id: ID2
data: two
data: lines

event: tidings.live
data: {"last":"ID2"}

`
	got := make([]byte, 4096)
	n := 0
	for !strings.Contains(string(got[:n]), "tidings.live\ndata: {\"last\":\"") ||
		!strings.HasSuffix(string(got[:n]), "\n\n") {
		m, err := resp.Body.Read(got[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	if got := s.mask(string(got[:n])); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// mask replaces what differs from run to run.
func (s *server) mask(text string) string {
	var info struct{ Log, First, Last string }
	s.do("GET", "/v1/log", "").decode(s.t, &info)
	who := s.do("GET", "/v1/events", "").header.Get("Tidings-Who")
	text = strings.NewReplacer(info.Log, "LOG", who, "WHO", info.First, "ID1", info.Last, "ID2").Replace(text)
	text = regexp.MustCompile(`"subscriber":"[A-Z2-7]{16}"`).ReplaceAllString(text, `"subscriber":"SUBSCRIBER"`)
	return regexp.MustCompile(`retry: [1-4]\d{3}`).ReplaceAllString(text, "retry: RETRY")
}

// TestRetryIsJittered: clients that lose the server together do not reconnect together.
func TestRetryIsJittered(t *testing.T) {
	s := start(t)
	seen := make(map[string]bool)
	for range 20 {
		st := s.open(t.Context(), "/v1/stream", "")
		st.next()
		retry, ok := st.Retry()
		if !ok || retry < 1e9 || retry > 4e9 {
			t.Fatalf("retry %v, want 1 to 4 s", retry)
		}
		seen[retry.String()] = true
	}
	if len(seen) < 5 {
		t.Errorf("20 streams got only %d different delays", len(seen))
	}
}

// TestStreamRefused: a malformed request is an error; a typo must not subscribe to everything.
func TestStreamRefused(t *testing.T) {
	s := start(t)
	for query, code := range map[string]string{
		"?topc=orders":                       "query-invalid",
		"?topic=a..b":                        "topic-invalid",
		"?topic=a.>.b":                       "topic-invalid",
		"?topic=":                            "topic-invalid",
		"?topic=%zz":                         "query-invalid",
		"?topic=a;b":                         "query-invalid",
		"?since=yesterday":                   "query-invalid",
		"?since=-5m":                         "query-invalid",
		"?since=5":                           "query-invalid",
		"?last=-1":                           "query-invalid",
		"?last=x":                            "query-invalid",
		"?since=1h&since=2h":                 "query-invalid",
		"?after=A&last_event_id=B":           "query-invalid",
		"?" + strings.Repeat("topic=a&", 65): "too-many-topics",
	} {
		if a := s.do("GET", "/v1/stream"+query, ""); a.problem(t).Code != code || a.status != 400 {
			t.Errorf("%s: %d %s, want 400 %s", query, a.status, a.body, code)
		}
	}
	if a := s.do("GET", "/v1/topics/orders/stream?topic=tickets",
		""); a.problem(t).Code != "query-invalid" {
		t.Errorf("topic in path and query: %s", a.body)
	}
	if a := s.do("GET", "/v1/stream", "", "Accept: application/json"); a.status != 406 ||
		a.problem(t).Code != "not-acceptable" {
		t.Errorf("Accept: application/json: %d %s", a.status, a.body)
	}
}

// TestHeadDoesNotSubscribe: HEAD answers with the headers and ends.
func TestHeadDoesNotSubscribe(t *testing.T) {
	s := start(t)
	if a := s.do("HEAD", "/v1/stream", ""); a.status != 200 ||
		a.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if feeds := s.tail.Stats().Feeds; feeds != 0 {
		t.Errorf("%d feeds, want none", feeds)
	}
}

// TestStart: where a stream starts, and which of several parameters counts.
func TestStart(t *testing.T) {
	log := newLogAt(t, ticking())
	id := make(map[string]string)
	for _, name := range list("e1 e2 e3 e4 e5") { // a second or more apart
		id[name] = appendData(t, log, "a", []byte(`"`+name+`"`)).String()
	}
	at := func(name string) string {
		parsed, _ := store.ParseID(id[name])
		return parsed.Time().Format("2006-01-02T15:04:05.000Z")
	}
	e4, _ := store.ParseID(id["e4"])
	now := e4.Time().Add(time.Minute)
	s := newServer(t, log, 0, api.Options{Now: func() time.Time { return now }})
	for _, c := range []struct{ query, header, want string }{
		{"", "", ""},
		{"since=latest", "", ""},
		{"since=earliest", "", "e1 e2 e3 e4 e5"},
		{"since=" + at("e3"), "", "e3 e4 e5"},
		{"since=1m", "", "e4 e5"},
		{"since=1d", "", "e1 e2 e3 e4 e5"},
		{"since=2999-01-01T00:00:00Z", "", ""},
		{"last=2", "", "e4 e5"},
		{"last=0", "", ""},
		{"last=99", "", "e1 e2 e3 e4 e5"},
		{"after=" + id["e3"], "", "e4 e5"},
		{"last_event_id=" + id["e3"], "", "e4 e5"},
		{"lastEventId=" + id["e3"], "", "e4 e5"},
		{"after=null&since=earliest", "", "e1 e2 e3 e4 e5"},
		{"after=undefined&last=1", "", "e5"},
		{"after=&last=1", "", "e5"},
		{"since=earliest&after=" + id["e2"], id["e4"], "e5"},
		{"since=earliest&after=" + id["e2"], "", "e3 e4 e5"},
		{"last=1&after=" + id["e2"], id["e4"], "e5"},
	} {
		var got []string
		for _, e := range s.open(t.Context(), "/v1/stream?"+c.query,
			c.header).until("tidings.live") {
			var name string
			if !isControl(e) && json.Unmarshal(e.Data, &name) == nil {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("?%s, Last-Event-ID %q: got %v, want %s", c.query, c.header, got, c.want)
		}
	}
}
