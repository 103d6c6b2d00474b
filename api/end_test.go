package api_test

import (
	"encoding/json"
	"io"
	"testing"
	"time"

	"tidings/api"
	"tidings/store"
)

// TestEndedStream: a stream of topics that end delivers the ends and closes; the cursor it leaves behind, and any
// later request, gets 204.
func TestEndedStream(t *testing.T) {
	s := start(t)
	s.publish("a", "1")
	s.publish("b", "1")
	both := s.open(t.Context(), "/v1/stream?topic=a&topic=b", "")
	wide := s.open(t.Context(), "/v1/stream?topic=*", "")
	both.until("tidings.live")
	wide.until("tidings.live")
	s.do("POST", "/v1/topics/a/end", "")
	both.until("tidings.end")
	last := s.publish("b", "2")
	if e := both.next(); e.ID != last {
		t.Fatalf("after one of two ends: %+v, want %s", e, last)
	}
	s.do("POST", "/v1/topics/b/end", "")
	both.until("tidings.end")
	for {
		e, err := both.Next()
		if err == io.EOF {
			break
		}
		if err != nil || e.Type != "tidings.heartbeat" {
			t.Fatalf("after the last end: %+v, %v, want at most a heartbeat", e, err)
		}
	}
	if e := wide.until("tidings.end"); e[len(e)-1].ID == "" {
		t.Error("the wildcard did not get the end")
	}
	for name, query := range map[string]string{"latest": "",
		"cursor": "&after=" + both.LastEventID(), "unknown start": "&since=latest"} {
		if a := s.do("GET", "/v1/stream?topic=a&topic=b"+query, ""); a.status != 204 ||
			a.header.Get("Content-Type") != "" {
			t.Errorf("%s: %d %v, want 204", name, a.status, a.header)
		}
	}
	again := s.open(t.Context(), "/v1/stream?topic=a&topic=b&since=earliest", "")
	again.until("tidings.end")
	again.until("tidings.end")

	// A due gap is reported first, with 200; the cursor that the client has then gets 204.
	s.trim(store.MaxID.String(), ">")
	gap := s.open(t.Context(), "/v1/stream?topic=a&topic=b", last)
	if e := gap.until("tidings.open"); e[0].Type != "tidings.gap" {
		t.Errorf("first %+v, want a gap", e[0])
	}
	if _, err := io.ReadAll(gap.resp.Body); err != nil {
		t.Error(err)
	}
	for e, err := gap.Next(); err == nil; e, err = gap.Next() {
		_ = e
	}
	if a := s.do("GET", "/v1/stream?topic=a&topic=b",
		"", "Last-Event-ID: "+both.LastEventID()); a.status != 204 {
		t.Errorf("after the gap: %d", a.status)
	}
}

// TestLifetime: a stream that has reached its lifetime gets a bye, and ends.
func TestLifetime(t *testing.T) {
	bubble(t, api.Options{MaxLifetime: time.Hour}, func(t *testing.T, s *piped) {
		begin := time.Now()
		st := s.stream("/v1/stream")
		for e := range untilEnd(st) {
			if e.Type == "tidings.bye" && string(e.Data) != `{"reason":"lifetime"}` {
				t.Errorf("bye %s", e.Data)
			}
		}
		if lived := time.Since(begin); lived > time.Hour || lived < 54*time.Minute {
			t.Errorf("lived for %v, want an hour or a little less", lived)
		}
	})
}

// TestCloudEventsFormat: the whole event is in the data, for one onmessage.
func TestCloudEventsFormat(t *testing.T) {
	s := start(t)
	s.do("POST", "/v1/topics/orders/events?type=order.created", `{"a": 1e400, "b":"<&>"}`)
	s.do("POST", "/v1/topics/notes/events", "two\r\nlines", "Content-Type: text/plain")
	s.do("POST", "/v1/topics/files/events", "\x00\xff", "Content-Type: image/png",
		"Ce-Specversion: 1.0", "Ce-Id: 7", "Ce-Source: /s", "Ce-Type: file.saved",
		"Ce-Sequence: 99")
	events := s.open(t.Context(), "/v1/stream?since=earliest&format=cloudevents",
		"").until("tidings.live")
	type envelope struct {
		SpecVersion, ID, Source, Type, Topic, Sequence, Time, DataContentType string
		Data                                                                  json.RawMessage
		DataBase64                                                            string `json:"data_base64"`
	}
	var got [3]envelope
	for i := range got {
		e := events[i+1]
		if err := json.Unmarshal(e.Data, &got[i]); err != nil || e.Type != "message" {
			t.Fatalf("%v in %+v", err, e)
		}
		if got[i].SpecVersion != "1.0" || got[i].Sequence != e.ID {
			t.Errorf("%+v, want specversion 1.0 and the ID %s as sequence", got[i], e.ID)
		}
	}
	if g := got[0]; g.ID != events[1].ID || g.Source != "/v1/topics/orders" ||
		g.Type != "order.created" || g.Topic != "orders" ||
		string(g.Data) != `{"a":1e400,"b":"<&>"}` || g.Time == "" {
		t.Errorf("JSON: %+v", g)
	}
	if g := got[1]; string(g.Data) != `"two\r\nlines"` || g.DataContentType != "text/plain" ||
		g.Type != "message" {
		t.Errorf("text: %+v", g)
	}
	if g := got[2]; g.ID != "7" || g.Source != "/s" || g.Type != "file.saved" ||
		g.Topic != "files" || g.DataBase64 != "AP8=" || g.Time != "" {
		t.Errorf("a CloudEvent of its own: %+v", g)
	}
	if a := s.do("GET", "/v1/stream?format=xml", ""); a.status != 400 {
		t.Errorf("format=xml: %d", a.status)
	}
}
