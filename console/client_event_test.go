package console_test

import (
	"net/http"
	"testing"
)

// TestEventObjects: whatever an event contains, and however it was published, a stream, another tab and pages return it
// as GET /v1/events does.
func TestEventObjects(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tabs := openTabs(t, s, p, 2, `{"name":"me"}`)
	publishAll(t, s)
	s.check(t, "", tabs...)

	s.set(buffering)
	polling := newProfile(t).openClient(t, s, `{"name":"me","since":"earliest"}`, clock(t))
	s.awaitStreams(t, 2) // including the other profile's
	polling.eval(t, `pass(15_000)`)
	polling.await(t, "state", "state", "live", "transport", "poll")
	s.check(t, "", polling)
}

// publishAll publishes events of all kinds.
func publishAll(t *testing.T, s *site) {
	t.Helper()
	for _, e := range []struct{ contentType, body string }{
		{"application/json", `{"a":[1,2.5,"x",null,true],"b":{}}`},
		{"application/json", `null`},
		{"application/json", `"text"`},
		{"application/json", `0`},
		{"application/vnd.order+json", `{}`},
		{"text/plain", "two\nlines\r\nand \"quotes\" \u2028 ü"},
		{"text/plain", ""},
		{"application/xml", "<a/>"},
		{"application/cloudevents+json",
			`{"specversion":"1.0","id":"1","source":"/shop","type":"order","time":"2026-01-02T03:04:05Z","subject":"x","ext":7,"sequence":"9","datacontenttype":"application/json","data":{"n":1}}`},
		{"application/cloudevents+json",
			`{"specversion":"1.0","id":"2","source":"/shop","type":"order"}`},
		{"application/cloudevents+json",
			`{"specversion":"1.0","id":"3","source":"/shop","type":"order","datacontenttype":"image/png","data_base64":"AAEC"}`},
		{"application/cloudevents+json",
			`{"specversion":"1.0","id":"4","source":"/shop","type":"order","datacontenttype":"text/plain","data":"text"}`},
	} {
		s.ask(t, http.MethodPost, "/v1/topics/orders/events", e.contentType, e.body, nil)
	}
	for _, line := range []string{
		`{"topic":"orders","type":"order.created","data":{}}`,
		`{"topic":"orders","datacontenttype":"application/octet-stream","data_base64":"/+8="}`,
		`{"topic":"orders","datacontenttype":"application/octet-stream","data_base64":""}`,
	} {
		s.ask(t, http.MethodPost, "/v1/events", "application/x-ndjson", line+"\n", nil)
	}
	s.publish(t, "orders", 5)
	for range 20 { // often enough that some times end with a zero
		s.publish(t, "tickets", 1)
	}
}
