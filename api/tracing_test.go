package api_test

import (
	"encoding/json"
	"testing"
)

// TestTracing: the attributes of the CloudEvents distributed tracing extension come out as they
// went in, on a stream and on a page, whichever way the event was published.
func TestTracing(t *testing.T) {
	const parent, state = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
	s := start(t)
	s.do("POST", "/v1/topics/a/events", "1", "Content-Type: application/json",
		"Ce-Specversion: 1.0", "Ce-Id: 1", "Ce-Source: /s", "Ce-Type: t",
		"Ce-Traceparent: "+parent, "Ce-Tracestate: "+state)
	s.do("POST", "/v1/topics/a/events",
		`{"specversion":"1.0","id":"2","source":"/s","type":"t","traceparent":"`+parent+
			`","tracestate":"`+state+`"}`,
		"Content-Type: application/cloudevents+json")
	type trace struct{ TraceParent, TraceState string }
	want := trace{parent, state}

	var page struct {
		Events []struct{ CE trace }
	}
	s.do("GET", "/v1/events?topic=a", "").decode(t, &page)
	frames := s.open(t.Context(), "/v1/stream?since=earliest&format=cloudevents",
		"").until("tidings.live")
	if len(page.Events) != 2 || len(frames) != 4 {
		t.Fatalf("%d events on the page, %d frames, want 2 and 4", len(page.Events), len(frames))
	}
	for i := range page.Events {
		if got := page.Events[i].CE; got != want {
			t.Errorf("page, event %d: %+v, want %+v", i, got, want)
		}
		var got trace
		if err := json.Unmarshal(frames[i+1].Data, &got); err != nil || got != want {
			t.Errorf("stream, event %d: %+v, %v, want %+v", i, got, err, want)
		}
	}
}
