package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tidings/api"
)

// batchAnswer is the response to a batch.
type batchAnswer struct {
	Events []struct {
		ID, Topic, Type   string
		Replayed, Trimmed bool
	}
}

func TestBatches(t *testing.T) {
	for _, c := range []struct{ name, path, body, contentType string }{
		{"NDJSON", "/v1/events", `{"topic":"orders","type":"order.created","data":{"a": 1}}

{"data":"x", "topic":"tickets.eu"}
{"topic":"files","datacontenttype":"image/png","data_base64":"AP8B"}`, "application/x-ndjson"},
		{"CloudEvents", "/v1/events", `[{"specversion":"1.0","id":"1","source":"/s","type":"order.created","topic":"orders","data":{"a": 1}},
			{"specversion":"1.0","id":"2","source":"/s","type":"message","topic":"tickets.eu","data":"x"},
			{"specversion":"1.0","id":"3","source":"/s","type":"message","topic":"files","datacontenttype":"image/png","data_base64":"AP8B"}]`, "application/cloudevents-batch+json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			a := s.do("POST", c.path, c.body, "Content-Type: "+c.contentType)
			var got batchAnswer
			a.decode(t, &got)
			if a.status != http.StatusCreated || len(got.Events) != 3 ||
				got.Events[1].Topic != "tickets.eu" || got.Events[0].Type != "order.created" {
				t.Fatalf("%d %s", a.status, a.body)
			}
			events := s.open(t.Context(), "/v1/stream?since=earliest", "").until("tidings.live")
			want := []string{`{"a": 1}`, `"x"`, "AP8B"}
			for i, e := range events[1:4] {
				if string(e.Data) != want[i] || e.ID != got.Events[i].ID {
					t.Errorf("event %d: %s %s, want %s %s", i, e.ID, e.Data,
						got.Events[i].ID, want[i])
				}
			}
		})
	}
}

// TestBatchRefused: all or nothing, and the response names the entry.
func TestBatchRefused(t *testing.T) {
	s := newServer(t, newLog(t), 0, api.Options{MaxEventBytes: 100})
	good := `{"topic":"a","data":1}` + "\n"
	for name, c := range map[string]struct {
		body, code string
		index      int
	}{
		"no JSON":   {good + "{", "json-invalid", 1},
		"no object": {good + "[]", "json-invalid", 1},
		"unknown member": {good + `{"topic":"a","data":1,"tpye":"x"}`,
			"member-invalid", 1},
		"data and data_base64": {good +
			`{"topic":"a","data":1,"datacontenttype":"image/png","data_base64":""}`,
			"member-invalid", 1},
		"bytes without a type": {good + `{"topic":"a","data_base64":"AA=="}`,
			"member-invalid", 1},
		"no topic": {good + `{"data":1}`, "member-invalid", 1},
		"no data":  {good + good + `{"topic":"a"}`, "member-invalid", 2},
		"member twice": {good + `{"topic":"a","topic":"b","data":1}`,
			"member-invalid", 1},
		"bad topic":         {good + `{"topic":"a..b","data":1}`, "topic-invalid", 1},
		"topic is a number": {good + `{"topic":1,"data":1}`, "member-invalid", 1},
		"type of ours": {good + `{"topic":"a","type":"tidings.gap","data":1}`,
			"type-reserved", 1},
		"empty type": {good + `{"topic":"a","type":"","data":1}`, "type-invalid", 1},
		"data too large": {good + `{"topic":"a","data":"` + strings.Repeat("x",
			100) + `"}`, "body-too-large", 1},
		"lone surrogate":          {good + `{"topic":"a","data":"\ud800"}`, "json-invalid", 1},
		"nothing":                 {"\n\n", "empty-batch", -1},
		"one event too many":      {strings.Repeat(good, 1001), "batch-too-large", 1000},
		"more bytes than a batch": {strings.Repeat(" ", 16<<20+1), "body-too-large", -1},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.do("POST", "/v1/events", c.body, "Content-Type: application/x-ndjson")
			p := a.problem(t)
			if p.Code != c.code || p.Outcome != "not_stored" {
				t.Errorf("%d %s, want %s", a.status, a.body, c.code)
			}
			if want := fmt.Sprintf(`"index":%d`, c.index); c.index >= 0 &&
				!strings.Contains(a.body, want) {
				t.Errorf("%s, want %s", a.body, want)
			}
			if head := s.log.Head(); !head.IsZero() {
				t.Error("something was stored")
			}
		})
	}
	if a := s.do("POST", "/v1/events", good,
		"Content-Type: application/json"); a.problem(t).Code != "media-unsupported" {
		t.Errorf("JSON to /v1/events: %s", a.body)
	}
	if a := s.do("POST", "/v1/events", "[]",
		"Content-Type: application/cloudevents-batch+json"); a.problem(t).Code != "empty-batch" {
		t.Errorf("empty CloudEvents batch: %s", a.body)
	}
	for n, status := range map[int]int{999: 201, 1000: 201, 1001: 413} {
		if a := s.do("POST", "/v1/events", strings.Repeat(good, n),
			"Content-Type: application/x-ndjson"); a.status != status {
			t.Errorf("%d events: %d, want %d", n, a.status, status)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := start(t)
	post := func(path, body string, h ...string) answer { return s.do("POST", path, body, h...) }
	const orders = "/v1/topics/orders/events?type=created"
	first := post(orders, `{"a":1}`, "Idempotency-Key: k1")
	if first.status != 201 || first.header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("first: %d %v", first.status, first.header)
	}
	for _, key := range []string{"k1", `"k1"`} {
		again := post(orders, `{"a":1}`, "Idempotency-Key: "+key)
		if again.status != 200 || again.body != first.body ||
			again.header.Get("Idempotency-Replayed") != "true" ||
			again.header.Get("Location") != first.header.Get("Location") {
			t.Errorf("again as %s: %d %s, want 200 %s", key, again.status, again.body, first.body)
		}
	}
	for name, other := range map[string]answer{
		"topic": post("/v1/topics/tickets/events?type=created", `{"a":1}`,
			"Idempotency-Key: k1"),
		"type": post("/v1/topics/orders/events?type=paid", `{"a":1}`,
			"Idempotency-Key: k1"),
		"data":         post(orders, `{"a":2}`, "Idempotency-Key: k1"),
		"content type": post(orders, `{"a":1}`, "Idempotency-Key: k1", "Content-Type: text/plain"),
	} {
		if p := other.problem(t); other.status != 422 || p.Code != "idempotency-mismatch" ||
			p.Outcome != "not_stored" {
			t.Errorf("another %s: %d %s", name, other.status, other.body)
		}
	}
	for name, bad := range map[string]answer{
		"empty":         post(orders, `1`, "Idempotency-Key: "),
		"empty, quoted": post(orders, `1`, `Idempotency-Key: ""`),
		"256 bytes":     post(orders, `1`, "Idempotency-Key: "+strings.Repeat("k", 256)),
		"beyond ASCII":  post(orders, `1`, "Idempotency-Key: \xc3\xbc"),
		"a space":       post(orders, `1`, "Idempotency-Key: a b"),
		"half quoted":   post(orders, `1`, `Idempotency-Key: "k`),
		"two":           post(orders, `1`, "Idempotency-Key: a", "Idempotency-Key: a"),
	} {
		if bad.problem(t).Code != "key-invalid" {
			t.Errorf("%s: %d %s", name, bad.status, bad.body)
		}
	}
	if a := post(orders, `1`, "Idempotency-Key: "+strings.Repeat("k", 255)); a.status != 201 {
		t.Errorf("255 bytes: %d", a.status)
	}
	// Under its key a batch is one unit.
	lines := `{"topic":"a","data":1}` + "\n" + `{"topic":"b","data":2}`
	batch := post("/v1/events", lines, "Idempotency-Key: b", "Content-Type: application/x-ndjson")
	again := post("/v1/events", lines, "Idempotency-Key: b", "Content-Type: application/x-ndjson")
	if batch.status != 201 || again.status != 200 ||
		again.header.Get("Idempotency-Replayed") != "true" ||
		strings.ReplaceAll(again.body, `,"replayed":true`, "") != batch.body {
		t.Errorf("batch: %d %s, then %d %s", batch.status, batch.body, again.status, again.body)
	}
	// A key outlives its event.
	s.trim("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", ">")
	if a := post(orders, `{"a":1}`, "Idempotency-Key: k1"); a.status != 200 ||
		!strings.Contains(a.body, `"trimmed":true`) {
		t.Errorf("after trimming: %d %s", a.status, a.body)
	}
}

// TestCloudEventsAreIdempotent: source and id make a key, for each event of a batch.
func TestCloudEventsAreIdempotent(t *testing.T) {
	s := start(t)
	ce := func(id, topic, data string) string {
		return fmt.Sprintf(
			`{"specversion":"1.0","id":%q,"source":"/s","type":"t","topic":%q,"data":%s}`,
			id, topic, data)
	}
	post := func(events ...string) answer {
		return s.do("POST", "/v1/events", "["+strings.Join(events, ",")+"]",
			"Content-Type: application/cloudevents-batch+json")
	}
	var first, second batchAnswer
	post(ce("1", "a", "1"), ce("2", "a", "2")).decode(t, &first)
	a := post(ce("2", "a", "2"), ce("3", "a", "3"), ce("1", "b", "1"))
	a.decode(t, &second)
	if a.status != 201 || !second.Events[0].Replayed || second.Events[0].ID != first.Events[1].ID ||
		second.Events[1].Replayed || second.Events[2].Replayed {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := post(ce("1", "a", "1"), ce("3", "a", "3")); a.status != 200 ||
		a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("nothing new: %d %s", a.status, a.body)
	}
	if a := post(ce("9", "a", "9"), ce("1", "a", `"other"`)); a.status != 422 ||
		!strings.Contains(a.body, `"index":1`) {
		t.Errorf("a mismatch: %d %s", a.status, a.body)
	}
}

func TestEnd(t *testing.T) {
	s := start(t)
	s.publish("orders", "1")
	if a := s.do("POST", "/v1/topics/orders/end", "{}"); a.problem(t).Code != "body-not-empty" {
		t.Errorf("with a body: %s", a.body)
	}
	first := s.do("POST", "/v1/topics/orders/end", "")
	if first.status != 201 || !strings.Contains(first.body, `"type":"tidings.end"`) {
		t.Fatalf("%d %s", first.status, first.body)
	}
	if again := s.do("POST", "/v1/topics/orders/end", ""); again.status != 200 ||
		again.body != first.body {
		t.Errorf("again: %d %s, want 200 %s", again.status, again.body, first.body)
	}
	if a := s.do("POST", "/v1/topics/orders/events", "1"); a.status != 409 ||
		a.problem(t).Code != "topic-ended" {
		t.Errorf("publish after the end: %d %s", a.status, a.body)
	}
	events := s.open(t.Context(), "/v1/topics/orders/stream?since=earliest",
		"").until("tidings.end")
	if e := events[len(events)-1]; string(e.Data) != `{"topic":"orders"}` || e.ID == "" {
		t.Errorf("streamed %+v", e)
	}
}
