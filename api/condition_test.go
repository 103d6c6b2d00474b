package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"tidings/store"
)

// current returns the newest event according to the response to a failed condition.
func current(t *testing.T, a answer) string {
	t.Helper()
	var body struct{ Current, Outcome string }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusPreconditionFailed ||
		body.Outcome != "not_stored" {
		t.Fatalf("%d %s, want 412, not stored", a.status, a.body)
	}
	return body.Current
}

// TestConditionRows: rows 260 to 264 of docs/ERRORS.md.
func TestConditionRows(t *testing.T) {
	const orders = "/v1/topics/orders/events"
	s := start(t)
	c := newContract(t, s)
	first := s.publish("orders", "1")
	s.publish("tickets", "1")
	match := func(id string) string { return `If-Match: "` + id + `"` }
	batch := func(topics ...string) (lines string) {
		for _, topic := range topics {
			lines += fmt.Sprintf(`{"topic":%q,"data":1}`+"\n", topic)
		}
		return lines
	}
	for _, r := range []publishRow{
		{"row 260: weak", orders, "1", headers(`If-Match: W/"` + first + `"`), 400, "condition-invalid"},
		{"row 260: a list", orders, "1", headers(match(first) + `, "x"`), 400, "condition-invalid"},
		{"row 260: two", orders, "1", headers(match(first), match(first)), 400, "condition-invalid"},
		{"row 260: any", orders, "1", headers("If-Match: *"), 400, "condition-invalid"},
		{"row 260: bare", orders, "1", headers("If-Match: " + first), 400, "condition-invalid"},
		{"row 260: half quoted", orders, "1", headers(`If-Match: "` + first), 400, "condition-invalid"},
		{"row 260: one quote", orders, "1", headers(`If-Match: "`), 400, "condition-invalid"},
		{"row 260: empty", orders, "1", headers("If-Match: "), 400, "condition-invalid"},
		{"row 260: no ID", orders, "1", headers(match("abc")), 400, "condition-invalid"},
		{"row 260: zero", orders, "1", headers(match(store.ID{}.String())), 400, "condition-invalid"},
		{"row 260: an end", "/v1/topics/orders/end", "", headers("If-Match: *"), 400,
			"condition-invalid"},
		{"row 261: an ID", orders, "1", headers(`If-None-Match: "` + first + `"`), 400,
			"condition-invalid"},
		{"row 261: a quoted star", orders, "1", headers(`If-None-Match: "*"`), 400, "condition-invalid"},
		{"row 261: two", orders, "1", headers("If-None-Match: *", "If-None-Match: *"), 400,
			"condition-invalid"},
		{"row 261: both", orders, "1", headers(match(first), "If-None-Match: *"), 400,
			"condition-invalid"},
		{"row 262: two topics", "/v1/events", batch("orders", "tickets"),
			headers(match(first), "Content-Type: application/x-ndjson"), 400, "condition-invalid"},
		{"row 263: another newest", orders, "1", headers(match(s.publish("orders", "2"))), 201, ""},
		{"row 263: an older one", orders, "1", headers(match(first)), 412, "condition-failed"},
		{"row 263: there is one", orders, "1", headers("If-None-Match: *"), 412, "condition-failed"},
		{"row 263: an end", "/v1/topics/orders/end", "", headers(match(first)), 412, "condition-failed"},
		{"row 263: a batch", "/v1/events", batch("orders", "orders"),
			headers(match(first), "Content-Type: application/x-ndjson"), 412, "condition-failed"},
		{"row 263: none yet", "/v1/topics/fresh/events", "1", headers("If-None-Match: *"), 201, ""},
		{"row 263: none yet, but one is expected", "/v1/topics/never/events", "1",
			headers(match(first)), 412, "condition-failed"},
	} {
		t.Run(r.name, func(t *testing.T) { r.check(t, s, c) })
	}
	t.Run("row 264", func(t *testing.T) {
		if a := s.do("GET", "/v1/topics/never", ""); a.status != 404 ||
			!strings.Contains(a.body, `"topic-not-found"`) {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// TestTakeAnOrder: of several publishers whose condition is what they have seen, only one succeeds. The others get
// the event that they have not seen, by its ID and nothing else.
func TestTakeAnOrder(t *testing.T) {
	s := start(t)
	const topic = "/v1/topics/orders.1001"
	order := s.publish("orders.1001", `{"total":1}`)
	info := s.do("GET", topic, "")
	tag := info.header.Get("ETag")
	if tag != `"`+order+`"` || !strings.Contains(info.body, `"newest":"`+order+`"`) {
		t.Fatalf("%v %s, want the entity tag %s", info.header, info.body, order)
	}
	answers := make([]answer, 16)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = s.do("POST", topic+"/events?type=taken", fmt.Sprintf(`{"by":%d}`, i),
				headers("If-Match: "+tag)...)
		})
	}
	all.Wait()
	winner := ""
	for _, a := range answers {
		if a.status != http.StatusCreated {
			continue
		}
		if winner != "" {
			t.Error("two took the order")
		}
		winner = strings.TrimPrefix(a.header.Get("Location"), "/v1/events/")
	}
	for _, a := range answers {
		if a.status != http.StatusCreated && current(t, a) != winner {
			t.Errorf("a loser is told %s, want %s", a.body, winner)
		}
	}
	// A trim does not change what is the newest event.
	s.trim(store.MaxID.String(), ">")
	if a := s.do("GET", topic, ""); a.header.Get("ETag") != `"`+winner+`"` {
		t.Errorf("after a trim: %v %s", a.header, a.body)
	}
	a := s.do("POST", topic+"/events", "1", headers("If-None-Match: *")...)
	if current(t, a) != winner {
		t.Errorf("after a trim: %s", a.body)
	}
	a = s.do("POST", "/v1/topics/never/events", "1", headers("If-Match: "+tag)...)
	if strings.Contains(a.body, "current") || current(t, a) != "" {
		t.Errorf("a topic that never had an event: %s, want no current", a.body)
	}
}

// TestConditionReplayed: the key is checked before the condition, so that a retry finds what it stored.
func TestConditionReplayed(t *testing.T) {
	s := start(t)
	publish := func() answer {
		return s.do("POST", "/v1/topics/orders/events", "1",
			headers("If-None-Match: *", "Idempotency-Key: k")...)
	}
	first, again := publish(), publish()
	if first.status != 201 || again.status != 200 || first.body != again.body {
		t.Errorf("%d %s, then %d %s", first.status, first.body, again.status, again.body)
	}
	s.do("POST", "/v1/topics/orders/end", "")
	if a := publish(); a.status != 200 {
		t.Errorf("after the end: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/v1/topics/orders/events", "1", headers("If-None-Match: *")...); a.status != 409 {
		t.Errorf("an end comes before the condition: %d %s", a.status, a.body)
	}
}
