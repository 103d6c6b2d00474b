package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

// TestPublish: what is accepted is stored byte for byte, and the response says where.
func TestPublish(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		headers          []string
		wantType         string
		wantData         string // in the frame
	}{
		{"JSON", "orders/events", `{"a": 1e400, "b":[ ]}`,
			headers("Content-Type: application/json"), "message", `{"a": 1e400, "b":[ ]}`},
		{"JSON, type in the query", "orders/events?type=order.created", `1`,
			headers("Content-Type: application/json; charset=utf-8"), "order.created", `1`},
		{"JSON, type in a header", "orders/events", `"\ud83d\ude00"`,
			headers("Content-Type: application/vnd.shop+json", "Event-Type: order paid"),
			"order paid", `"\ud83d\ude00"`},
		{"curl -d", "orders/events", `{"a":1}`,
			headers("Content-Type: application/x-www-form-urlencoded"), "message", `{"a":1}`},
		{"no content type", "orders/events", `[1]`, nil, "message", `[1]`},
		{"text", "orders/events", "two\r\nlines\rand a third\n", headers(
			"Content-Type: text/plain; charset=us-ascii"), "message", "two\nlines\nand a third\n"},
		{"empty text", "orders/events", "", headers("Content-Type: text/plain"), "message", "null"},
		{"fields of a stream in the text", "orders/events", "id: 7\nevent: x\n\ndata: y",
			headers("Content-Type: text/plain"), "message", "id: 7\nevent: x\n\ndata: y"},
		{"XML", "orders/events", "<a/>", headers("Content-Type: application/xml"),
			"message", "<a/>"},
		{"a topic with an escaped dot", "orders%2Eeu/events", "1", nil, "message", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			st := s.open(t.Context(), "/v1/stream", "")
			st.until("tidings.live")
			a := s.do("POST", "/v1/topics/"+c.path, c.body, c.headers...)
			if a.status != http.StatusCreated {
				t.Fatalf("%d %s", a.status, a.body)
			}
			var got struct {
				ID, Topic, Type string
				Time            time.Time
			}
			a.decode(t, &got)
			if got.Type != c.wantType || a.header.Get("Location") != "/v1/events/"+got.ID {
				t.Errorf("answer %+v at %q, want type %q",
					got, a.header.Get("Location"), c.wantType)
			}
			if e := st.next(); e.ID != got.ID || e.Type != c.wantType ||
				string(e.Data) != c.wantData {
				t.Errorf("streamed %q %q %q, want type %q, data %q", e.ID, e.Type, e.Data,
					c.wantType, c.wantData)
			}
			if one := s.do("GET", a.header.Get("Location"), ""); one.status != http.StatusOK ||
				!strings.Contains(one.body, `"id":"`+got.ID+`"`) {
				t.Errorf("by ID: %d %s", one.status, one.body)
			}
		})
	}
}

func headers(h ...string) []string { return h }

// TestPublishRefused: the response names the rule that was broken, and nothing is stored.
func TestPublishRefused(t *testing.T) {
	const js, text = "Content-Type: application/json", "Content-Type: text/plain"
	s := newServer(t, newLog(t), 0, api.Options{MaxEventBytes: 64})
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		code             string
	}{
		{"topic with an empty segment", "a..b/events", "1", nil, 400, "topic-invalid"},
		{"topic of dots", "../events", "1", nil, 400, "topic-invalid"},
		{"topic with an escaped slash", "a%2Fb/events", "1", nil, 400, "topic-invalid"},
		{"topic with a twice escaped slash", "a%252Fb/events", "1", nil, 400, "topic-invalid"},
		{"topic with NUL", "a%00b/events", "1", nil, 400, "topic-invalid"},
		{"topic with a line end", "a%0d%0adata:x/events", "1", nil, 400, "topic-invalid"},
		{"topic beyond ASCII", "caf%C3%A9/events", "1", nil, 400, "topic-invalid"},
		{"topic with a wildcard", "orders.*/events", "1", nil, 400, "topic-invalid"},
		{"topic of 256 bytes", strings.Repeat("a", 256) + "/events", "1", nil, 400,
			"topic-invalid"},
		{"topic of 17 segments", strings.Repeat("a.", 16) + "a/events", "1", nil,
			400, "topic-invalid"},
		{"no topic", "/events", "1", nil, 400, "bad-path"},
		{"type given twice", "a/events?type=x", "1", headers("Event-Type: x"), 400, "type-invalid"},
		{"type empty", "a/events?type=", "1", nil, 400, "type-invalid"},
		{"type with a line end", "a/events?type=a%0ab", "1", nil, 400, "type-invalid"},
		{"type with a line separator", "a/events?type=a%E2%80%A8b", "1", nil, 400, "type-invalid"},
		{"type of 256 bytes", "a/events?type=" + strings.Repeat("a", 256), "1", nil, 400,
			"type-invalid"},
		{"type of ours", "a/events?type=tidings.open", "1", nil, 422, "type-reserved"},
		{"type of EventSource", "a/events?type=error", "1", nil, 422, "type-reserved"},
		{"unknown parameter", "a/events?typ=x", "1", nil, 400, "query-invalid"},
		{"parameter twice", "a/events?type=x&type=y", "1", nil, 400, "query-invalid"},
		{"query with a bad escape", "a/events?type=%zz", "1", nil, 400, "query-invalid"},
		{"query with a semicolon", "a/events?type=a;x=b", "1", nil, 400, "query-invalid"},
		{"compressed body", "a/events", "1", headers(js, "Content-Encoding: gzip"), 415,
			"encoding-unsupported"},
		{"image", "a/events", "1", headers("Content-Type: image/png"), 415, "media-unsupported"},
		{"text in Latin-1", "a/events", "1",
			headers("Content-Type: text/plain; charset=iso-8859-1"), 415, "media-unsupported"},
		{"two content types", "a/events", "1", headers(js, text), 415, "media-unsupported"},
		{"no JSON", "a/events", "{", headers(js), 400, "json-invalid"},
		{"form that is no JSON", "a/events", "a=b",
			headers("Content-Type: application/x-www-form-urlencoded"), 400, "json-invalid"},
		{"two JSON texts", "a/events", "1 2", headers(js), 400, "json-invalid"},
		{"JSON with a byte order mark", "a/events", "\ufeff1", headers(js), 400, "json-invalid"},
		{"JSON that is not UTF-8", "a/events", "\"\xff\"", headers(js), 400, "json-invalid"},
		{"JSON with half a surrogate pair", "a/events", `["\\", "\ud800x"]`, headers(js),
			400, "json-invalid"},
		{"JSON with a pair the wrong way round", "a/events", `"\ude00\ud83d"`, headers(js), 400,
			"json-invalid"},
		{"empty JSON", "a/events", " \n", headers(js), 400, "empty-body"},
		{"text with NUL", "a/events", "a\x00b", headers(text), 400, "data-not-text"},
		{"text that is not UTF-8", "a/events", "\xff", headers(text), 400, "data-not-text"},
		{"one byte too many", "a/events", strings.Repeat("x", 65), headers(text),
			413, "body-too-large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.do("POST", "/v1/topics/"+c.path, c.body, c.headers...)
			p := a.problem(t)
			if a.status != c.status || p.Status != c.status || p.Code != c.code {
				t.Fatalf("%d %q, want %d %q: %s", a.status, p.Code, c.status, c.code, a.body)
			}
			if p.Type != "/problems/"+c.code || p.Title == "" || p.Detail == "" ||
				p.RequestID == "" {
				t.Errorf("incomplete problem: %s", a.body)
			}
			if wantOutcome := c.code != "bad-path"; wantOutcome && p.Outcome != "not_stored" {
				t.Errorf("outcome %q, want not_stored", p.Outcome)
			}
			if head := s.log.Head(); !head.IsZero() {
				t.Errorf("something was stored: %v", head)
			}
		})
	}
}

// TestSizeLimit: exactly the limit is accepted, with a known length or without.
func TestSizeLimit(t *testing.T) {
	s := newServer(t, newLog(t), 0, api.Options{MaxEventBytes: 64})
	for size, want := range map[int]int{63: 201, 64: 201, 65: 413} {
		for _, known := range []bool{true, false} {
			body := fmt.Sprintf("%0*d", size, 1)
			r, err := http.NewRequest("POST", s.url+"/v1/topics/a/events",
				unsized{strings.NewReader(body)})
			if err != nil {
				t.Fatal(err)
			}
			if known {
				r.ContentLength = int64(size)
			}
			r.Header.Set("Content-Type", "text/plain")
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%d bytes (length known: %v): %s, want %d", size, known, resp.Status, want)
			}
		}
	}
}

// unsized hides the length of a reader.
type unsized struct{ *strings.Reader }

func (unsized) Len() {}

// TestMethods: the response to a method that a path does not have lists those it has.
func TestMethods(t *testing.T) {
	s := start(t)
	for path, allow := range map[string]string{
		"/v1/topics/a/events": "GET, HEAD, POST", "/v1/events": "GET, HEAD, POST",
		"/v1/topics":       "GET, HEAD",
		"/v1/topics/a/end": "POST", "/v1/stream": "GET, HEAD", "/v1/topics/a/stream": "GET, HEAD",
		"/v1/events/x": "GET, HEAD", "/v1/log": "GET, HEAD", "/healthz": "GET, HEAD",
		"/readyz": "GET, HEAD",
	} {
		a := s.do("PATCH", path, "")
		if p := a.problem(t); a.status != 405 || p.Code != "method-not-allowed" ||
			a.header.Get("Allow") != allow {
			t.Errorf("PATCH %s: %d %q, Allow %q, want 405 and %q", path, a.status, p.Code,
				a.header.Get("Allow"), allow)
		}
	}
	for path, code := range map[string]string{
		"/nothing": "not-found", "/v1//topics/a/events": "bad-path",
		"/v1/topics//events": "bad-path", "/v1/./log": "bad-path", "/console": "not-found",
		"/console/": "bad-path", "/console/../x": "bad-path",
	} {
		if a := s.do("GET", path, ""); a.problem(t).Code != code {
			t.Errorf("GET %s: %d %s, want %s", path, a.status, a.body, code)
		}
	}
}
