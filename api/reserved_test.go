package api_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tidings/api"
	"tidings/store"
)

// reservedServer is a server with keys whose log has an event in each of two topics, and one about each.
func reservedServer(t *testing.T) (*server, []store.ID) {
	t.Helper()
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	var drafts []store.Draft
	for _, topic := range list("orders.eu orders.us $alerts.orders.eu $alerts.orders.us") {
		drafts = append(drafts, store.Draft{Topic: topic, Type: "t", ContentType: "application/json",
			Data: []byte("1")})
	}
	ids, err := store.Append(t.Context(), s.log, drafts)
	if err != nil {
		t.Fatal(err)
	}
	return s, ids
}

// TestReservedRows: rows 289 to 291 of docs/ERRORS.md.
func TestReservedRows(t *testing.T) {
	s, ids := reservedServer(t)
	c := newContract(t, s)
	all := bearer(holder{publish: ">", subscribe: ">", admin: true}.token(t))
	const path, envelope = "/v1/topics/$alerts.orders.eu", `{"specversion":"1.0","id":"1","source":"/s","type":"t",`
	lines := "Content-Type: application/x-ndjson"
	for _, r := range []publishRow{
		{"row 289: publish", path + "/events", "1", headers(all), 403, "topic-reserved"},
		{"row 289: escaped", "/v1/topics/%24alerts.orders.eu/events", "1", headers(all), 403, "topic-reserved"},
		{"row 289: any name", "/v1/topics/$mine.a/events", "1", headers(all), 403, "topic-reserved"},
		{"row 289: end", path + "/end", "", headers(all), 403, "topic-reserved"},
		{"row 289: a line of a batch", "/v1/events",
			`{"topic":"a","data":1}` + "\n" + `{"topic":"$alerts.a","data":1}`, headers(all, lines), 403,
			"topic-reserved"},
		{"row 289: a CloudEvent", path + "/events", envelope + `"data":1}`,
			headers(all, "Content-Type: application/cloudevents+json"), 403, "topic-reserved"},
		{"row 289: a CloudEvent in binary mode", path + "/events", "1", headers(all, "Content-Type: application/json",
			"ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", "ce-type: t"), 403, "topic-reserved"},
		{"row 289: a batch of CloudEvents", "/v1/events", "[" + envelope + `"topic":"$alerts.a","data":1}]`,
			headers(all, "Content-Type: application/cloudevents-batch+json"), 403, "topic-reserved"},
		{"row 289: CloudEvents to one topic", path + "/events", "[" + envelope + `"data":1}]`,
			headers(all, "Content-Type: application/cloudevents-batch+json"), 403, "topic-reserved"},
		{"row 289: no name", "/v1/topics/$alerts/events", "1", headers(all), 400, "topic-invalid"},
		{"row 289: further on", "/v1/topics/a.$alerts.b/events", "1", headers(all), 400, "topic-invalid"},
	} {
		t.Run(r.name, func(t *testing.T) { r.check(t, s, c) })
	}
	t.Run("row 289: trim", func(t *testing.T) {
		path := path + "/trim?before=" + ids[3].String()
		a := s.do("POST", path, "", all)
		if a.status != 403 || a.problem(t).Code != "topic-reserved" {
			t.Errorf("%d %s", a.status, a.body)
		}
		c.response(t, "POST", path, a)
		if _, err := s.log.Get(ids[2]); err != nil {
			t.Error(err)
		}
	})
	t.Run("row 290: who may not read what it is about", func(t *testing.T) {
		eu := bearer(holder{publish: ">", subscribe: "orders.eu", admin: true}.token(t))
		for _, path := range list("/v1/stream?topic=$alerts.orders.us /v1/stream?topic=$alerts.> " +
			"/v1/topics/$alerts.orders.us/events /v1/topics/$alerts.orders.us /v1/topics?topic=$alerts.orders.*") {
			a := s.do("GET", path, "", eu)
			if a.status != 403 || a.problem(t).Code != "topic-forbidden" {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
			c.response(t, "GET", path, a)
		}
		for id, status := range map[store.ID]int{ids[2]: 200, ids[3]: 404} {
			if a := s.do("GET", "/v1/events/"+id.String(), "", eu); a.status != status {
				t.Errorf("%s: %d, want %d", id, a.status, status)
			}
		}
	})
}

// TestReservedIsRead: whoever may read a topic may read what is about it, but only on request.
func TestReservedIsRead(t *testing.T) {
	s, ids := reservedServer(t)
	eu := bearer(holder{subscribe: "orders.eu"}.token(t))
	all := bearer(holder{subscribe: ">"}.token(t))
	for _, c := range []struct {
		token, query string
		want         []store.ID
	}{
		{all, "", ids[:2]},
		{all, "&topic=>", ids[:2]},
		{all, "&topic=*.eu&topic=*.>", ids[:2]},
		{all, "&topic=>&topic=$alerts.>", ids},
		{all, "&topic=$alerts.orders.*", ids[2:]},
		{eu, "", ids[:1]},
		{eu, "&topic=$alerts.orders.eu", ids[2:3]},
	} {
		var got []store.ID
		for _, e := range s.open(t.Context(), "/v1/stream?since=earliest"+c.query, "", c.token).until("tidings.live") {
			if !strings.HasPrefix(e.Type, "tidings.") {
				id, err := store.ParseID(e.ID)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, id)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("stream of %q: %v, want %v", c.query, got, c.want)
		}
		for _, id := range c.want {
			a := s.do("GET", "/v1/events?after=00000000000000000000000000"+c.query, "", c.token)
			if !strings.Contains(a.body, id.String()) || strings.Count(a.body, `"id"`) != len(c.want) {
				t.Errorf("page of %q: %d %s, want %v", c.query, a.status, a.body, c.want)
			}
		}
	}
	// by the feeds, not by the log
	everything, named := s.open(t.Context(), "/v1/stream", "", all), s.open(t.Context(),
		"/v1/stream?topic=$alerts.orders.eu", "", eu)
	everything.until("tidings.live")
	named.until("tidings.live")
	later, err := store.Append(t.Context(), s.log, []store.Draft{
		{Topic: "$alerts.orders.eu", Type: "t", Data: []byte("2")},
		{Topic: "orders.eu", Type: "u", Data: []byte("3")}})
	if err != nil {
		t.Fatal(err)
	}
	if events := everything.until("u"); len(events) != 1 || events[0].ID != later[1].String() {
		t.Errorf("of everything: %v, want %s alone", events, later[1])
	}
	if events := named.until("t"); len(events) != 1 || events[0].ID != later[0].String() {
		t.Errorf("by its name: %v, want %s alone", events, later[0])
	}
}

// TestNothingForges: no route, with any form of events, writes to a reserved topic for somebody who may do everything.
// An event that says it is an answer, in another topic, answers nothing.
func TestNothingForges(t *testing.T) {
	s, ids := reservedServer(t)
	all := bearer(holder{publish: ">", subscribe: ">", answer: ">", admin: true}.token(t))
	s.do("PUT", "/v1/alerts/orders", `{"topics":["orders.>"],"types":["order.created"]}`, all)
	order := s.publishOf("orders.eu", "order.created", all)
	hook := httptest.NewServer(http.NotFoundHandler())
	defer hook.Close()
	s.do("PUT", "/v1/deliveries/forged", hookBody(hook.URL, ""), all)

	stored := 0
	for _, endpoint := range slices.Backward(s.api.Endpoints()) { // to publish comes before to end
		method, path, _ := strings.Cut(endpoint, " ")
		if !slices.Contains(list("POST PUT PATCH"), method) {
			continue
		}
		for _, name := range list("$alerts.orders.eu %24alerts.orders.eu orders.eu forged") {
			path := strings.NewReplacer("{id}", ids[2].String(), "{topic}", name, "{name}", name).Replace(path)
			for _, f := range forgeries(order, ids[2].String()) {
				for _, query := range list("? ?type=alert.done ?topic=$alerts.orders.eu&type=alert.done") {
					a := s.do(method, path+query, f.body, append(f.headers, all)...)
					reserved := strings.Contains(endpoint, "{topic}") && strings.Contains(name, "alerts")
					if a.status/100 == 2 && reserved || a.status >= 500 {
						t.Errorf("%s of %s with %q: %d %s", endpoint, name, f.body, a.status, a.body)
					}
					if a.status == http.StatusCreated && strings.HasSuffix(path, "/events") {
						stored++
					}
				}
			}
		}
	}
	s.expectUnforged(t, ids, order, all)
	if stored < 5 {
		t.Errorf("of topics that are not reserved %d forms were stored: the others show nothing", stored)
	}
}

// expectUnforged expects of reservedServer that the reserved topics have what they had, and that an order is open.
func (s *server) expectUnforged(t *testing.T, ids []store.ID, order, token string) {
	t.Helper()
	f, err := store.NewFilter("$alerts.>")
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.log.NewReader(f, store.ID{}).Next(10)
	if err != nil || len(page.Events) != 2 || page.Events[0].ID != ids[2] || page.Events[1].ID != ids[3] {
		t.Errorf("the reserved topics have %+v, %v", page.Events, err)
	}
	list := s.openAlerts(t, "", token)
	if len(list.Alerts) != 1 || list.Alerts[0].ID != order || !list.Alerts[0].Rings {
		t.Errorf("open is %+v", list)
	}
}

type forgery struct {
	body    string
	headers []string
}

// forgeries are the forms in which an event can be sent that claims to end an alert, and what other routes take.
func forgeries(order, id string) []forgery {
	said := `"topic":"$alerts.orders.eu","type":"alert.done","subject":"` + order + `","data":{"by":{"name":"Mallory"}}`
	envelope := `{"specversion":"1.0","id":"1","source":"/s",` + said + `}`
	const asJSON, asLines = "Content-Type: application/json", "Content-Type: application/x-ndjson"
	return []forgery{
		{`{` + said + `}`, headers(asJSON)},
		{`{` + said + `}` + "\n", headers(asLines)},
		{`{"topic":"a","data":1}` + "\n" + `{` + said + `}` + "\n", headers(asLines)},
		{envelope, headers("Content-Type: application/cloudevents+json")},
		{"[" + envelope + "]", headers("Content-Type: application/cloudevents-batch+json")},
		{"{}", headers(asJSON, "ce-specversion: 1.0", "ce-id: 2", "ce-source: /s", "ce-type: alert.done",
			"ce-subject: "+order, "ce-topic: $alerts.orders.eu")},
		{"{}", headers(asJSON, "If-None-Match: *")},
		{"{}", headers(asJSON, "Idempotency-Key: k")},
		{`{"id":"` + id + `"}`, headers(asJSON)}, // of a read mark
		{`{"name":"Mallory"}`, headers(asJSON, `If-Match: "`+id+`"`)},
		{"", nil},
	}
}
