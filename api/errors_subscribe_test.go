package api_test

import (
	"net/http"
	"strings"
	"testing"

	"tidings/api"
)

// TestSubscribeRows: rows 63 to 78 of docs/ERRORS.md; those about gaps are in TestGaps, those about overload with the
// limits.
func TestSubscribeRows(t *testing.T) {
	s := start(t)
	var ids []string
	for range 4 {
		ids = append(ids, s.publish("a", "1"))
	}
	// after returns the first event that a stream with these headers sends, "" if it is live at once.
	after := func(t *testing.T, query string, lastEventIDs ...string) string {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/stream?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Last-Event-ID"] = lastEventIDs
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for e := range untilEnd(newStream(t, resp)) {
			if !isControl(e) {
				return e.ID
			}
			if e.Type == "tidings.live" {
				return ""
			}
		}
		t.Error("the stream ended")
		return ""
	}
	for _, c := range []struct {
		name, query string
		headers     []string
		want        string
	}{
		{"row 68: two headers", "", []string{ids[0], ids[2]}, ids[3]},
		{"row 68: header and query differ", "after=" + ids[0], []string{ids[1]}, ids[2]},
		{"row 69: empty header", "since=earliest", []string{""}, ids[0]},
		{"row 69: an empty header behind another", "", []string{ids[0], ""}, ids[1]},
		{"row 130: undefined in the header", "since=earliest", []string{"undefined"}, ids[0]},
		{"row 130: undefined in the header, a cursor in the query", "after=" + ids[0],
			[]string{"undefined"}, ids[1]},
		{"row 130: null in the header", "last=1", []string{"null"}, ids[3]},
		{"row 130: null in the query", "lastEventId=null&since=earliest", nil, ids[0]},
		{"row 130: null behind another", "", []string{ids[0], "null"}, ids[1]},
		{"row 131: no ID in the header, one in the query", "after=" + ids[1],
			[]string{"nonsense"}, ids[2]},
		{"row 131: no ID in the header, one by another name", "last_event_id=" + lower(ids[1]),
			[]string{"42"}, ids[2]},
		{"row 131: no ID in the query, one in the header", "after=nonsense", []string{ids[1]},
			ids[2]},
		{"row 131: no ID in either", "since=earliest&after=nonsense", []string{"42"}, ""},
		{"row 71: a time to come", "since=2999-01-01T00:00:00Z", nil, ""},
		{"row 78: the ID of an event of another topic", "topic=a&topic=b", []string{ids[3]}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := after(t, c.query, c.headers...); got != c.want {
				t.Errorf("begins with %q, want %q", got, c.want)
			}
		})
	}
	for name, query := range map[string]string{
		"row 71: negative": "since=-5m", "row 71: too large": "since=999999999999h",
		"row 71: no unit": "since=5", "row 71: now": "since=now",
		"row 72: semicolon": "topic=a;since=1h", "row 72: bad escape": "topic=%zz",
		"row 132: since and last":                 "since=earliest&last=5",
		"row 132: since and last beside a cursor": "since=1h&last=0&after=" + ids[0],
		"row 73: twice":                           "since=1h&since=2h", "row 73: unknown": "topics=a",
	} {
		t.Run(name, func(t *testing.T) {
			if a := s.do("GET", "/v1/stream?"+query, ""); a.status != 400 ||
				a.problem(t).Code != "query-invalid" {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	t.Run("row 74: JSON alone is accepted", func(t *testing.T) {
		if a := s.do("GET", "/v1/stream", "", "Accept: text/event-stream;q=0.0"); a.status != 406 {
			t.Errorf("an Accept that refuses streams: %d %s", a.status, a.body)
		}
		if a := s.do("GET", "/v1/stream", "", "Accept: application/json"); a.status != 406 ||
			a.problem(t).Code != "not-acceptable" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	for _, accept := range []string{"*/*", "text/event-stream", "text/*;q=0.5, application/json"} {
		t.Run("row 75: Accept "+accept, func(t *testing.T) {
			if a := s.head("GET", "/v1/stream", "", "Accept: "+accept); a.status != 200 ||
				a.header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("%d %v", a.status, a.header)
			}
		})
	}
	t.Run("row 78: the event of another topic by its ID", func(t *testing.T) {
		guarded := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
		id := guarded.do("POST", "/v1/topics/b/events", "1",
			bearer(everything(t))).header.Get("Location")
		if a := guarded.do("GET", id, "",
			bearer(holder{subscribe: "a"}.token(t))); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("row 77: shutting down", func(t *testing.T) {
		s := start(t)
		s.api.Drain()
		if a := s.do("GET", "/v1/stream", ""); a.status != 200 || !strings.HasPrefix(a.body,
			"retry: ") || !strings.Contains(a.body, `{"reason":"shutdown"}`) {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.do("POST", "/v1/topics/a/events", "1"); a.status != 503 ||
			a.problem(t).Code != "draining" || a.problem(t).Outcome != "not_stored" ||
			a.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}
