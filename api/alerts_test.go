package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tidings/api"
)

// alertAnswer is an alert as a client sees it.
type alertAnswer struct {
	ID, Topic, Type, State, Handle string
	Rules                          []string
	Rings                          bool
	Holder                         *struct{ Subject, Device, Name string }
	Step                           int
}

// openList is GET /v1/open.
type openList struct {
	Alerts     []alertAnswer
	Next       *string
	Open, More int
	Held       bool
}

func (s *server) openAlerts(t *testing.T, query string, headers ...string) (list openList) {
	t.Helper()
	a := s.do("GET", "/v1/open"+query, "", headers...)
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a.decode(t, &list)
	return list
}

func (s *server) answer(t *testing.T, id, verb, body string, headers ...string) (a answer, alert alertAnswer) {
	t.Helper()
	a = s.do("POST", "/v1/events/"+id+"/"+verb, body, headers...)
	if a.status/100 == 2 {
		a.decode(t, &alert)
		if etag := a.header.Get("ETag"); alert.Handle != "" && etag != `"`+alert.Handle+`"` {
			t.Errorf("%s: ETag %s, handle %s", verb, etag, alert.Handle)
		}
	}
	return a, alert
}

// publishOf publishes an event of a type and returns its ID.
func (s *server) publishOf(topic, typ string, headers ...string) string {
	a := s.do("POST", "/v1/topics/"+topic+"/events?type="+typ, "1", headers...)
	return strings.TrimPrefix(a.header.Get("Location"), "/v1/events/")
}

func ifMatch(handle string) string { return `If-Match: "` + handle + `"` }

// TestOpenPages: open alerts come in pages, each of which counts all of them.
func TestOpenPages(t *testing.T) {
	s := start(t)
	if a := s.do("PUT", "/v1/alerts/orders", `{"topics":["orders.>"]}`); a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var ids []string
	for range 5 {
		ids = append(ids, s.publishOf("orders.eu", "order.created"))
	}
	for limit, pages := range map[int]int{1: 5, 2: 3, 4: 2, 5: 1, 6: 1} {
		var got []string
		query := fmt.Sprintf("?limit=%d", limit)
		for n := 1; ; n++ {
			list := s.openAlerts(t, query)
			for _, a := range list.Alerts {
				got = append(got, a.ID)
			}
			if len(list.Alerts) > limit || list.Open != 5 || n > pages || (list.Next == nil) != (n == pages) {
				t.Fatalf("limit %d, page %d is %+v, want %d pages", limit, n, list, pages)
			}
			if list.Next == nil {
				break
			}
			query = fmt.Sprintf("?limit=%d&after=%s", limit, *list.Next)
		}
		if !slices.Equal(got, ids) {
			t.Errorf("limit %d: %q, want %q", limit, got, ids)
		}
	}
}

// TestAlerts: an order from its alarm to its end, through HTTP only; the answers can be read as events.
func TestAlerts(t *testing.T) {
	s := start(t)
	c := newContract(t, s)
	rule := `{"topics":["orders.>"],"types":["order.created"]}`
	if a := s.do("PUT", "/v1/alerts/orders", rule); a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.do("POST", "/v1/topics/orders.eu/events?type=order.shipped", "1")
	id := s.publishOf("orders.eu", "order.created")
	list := s.openAlerts(t, "")
	if len(list.Alerts) != 1 || list.Open != 1 || list.Alerts[0].ID != id || !list.Alerts[0].Rings ||
		list.Alerts[0].State != "open" || list.Alerts[0].Type != "order.created" {
		t.Fatalf("open: %+v", list)
	}
	step := func(verb, body string, status int, state, holder string, headers ...string) string {
		t.Helper()
		a, alert := s.answer(t, id, verb, body, headers...)
		c.response(t, "POST", "/v1/events/"+id+"/"+verb, a)
		name := ""
		if alert.Holder != nil {
			name = alert.Holder.Name
		}
		if a.status != status || alert.State != state || name != holder {
			t.Fatalf("%s: %d %s", verb, a.status, a.body)
		}
		return alert.Handle
	}
	step("snooze", `{"name":"Ana","seconds":60}`, 200, "snoozed", "")
	first := step("claim", `{"name":"Ana","note":"mine"}`, 201, "claimed", "Ana")
	step("claim", `{"name":"Ana"}`, 200, "claimed", "Ana")
	second := step("claim", `{"name":"Bo","force":true}`, 201, "claimed", "Bo")
	third := step("hand-over", `{"to":{"name":"Cy"}}`, 200, "claimed", "Cy", ifMatch(second))
	step("release", "", 200, "open", "", ifMatch(third))
	fourth := step("claim", `{"name":"Di"}`, 201, "claimed", "Di")
	if a, _ := s.answer(t, id, "done", "", ifMatch(first)); a.status != 412 || !strings.Contains(a.body, fourth) {
		t.Errorf("done by another claim: %d %s", a.status, a.body)
	}
	done := step("done", "", 200, "done", "Di", ifMatch(fourth))
	if list := s.openAlerts(t, ""); len(list.Alerts) != 0 {
		t.Errorf("done, it is open: %+v", list)
	}
	if list := s.openAlerts(t, "?done=true"); len(list.Alerts) != 1 || list.Alerts[0].State != "done" {
		t.Errorf("done a moment ago: %+v", list)
	}
	step("undo", "", 200, "open", "", ifMatch(done))
	page := s.do("GET", "/v1/topics/$alerts.orders.eu/events?after="+id, "").body
	at := 0
	for _, typ := range strings.Fields("alert.snoozed alert.claimed alert.claimed alert.handed-over alert.released alert.claimed alert.done alert.undone") {
		i := strings.Index(page[at:], `"`+typ+`"`)
		if i < 0 {
			t.Fatalf("no %s in its place: %s", typ, page)
		}
		at += i
	}
	if !strings.Contains(page, `"subject":"`+id+`"`) || !strings.Contains(page, `"note":"mine"`) {
		t.Errorf("the answers: %s", page)
	}
	stream := s.open(t.Context(), "/v1/topics/$alerts.orders.eu/stream?since=earliest&format=cloudevents", "")
	for _, e := range stream.until("tidings.live") {
		if strings.HasPrefix(e.Type, "tidings.") {
			continue
		}
		for _, member := range []string{`"id":"` + e.ID + `"`, `"source":"/v1/topics/$alerts.orders.eu"`,
			`"subject":"` + id} {
			if !strings.Contains(string(e.Data), member) {
				t.Errorf("as a CloudEvent it is %s, without %s", e.Data, member)
			}
		}
	}
}

// TestAlertGrants: a clerk of one region sees, claims and follows only that region; reading is not answering.
func TestAlertGrants(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	admin := bearer(holder{publish: ">", subscribe: ">", answer: ">", admin: true}.token(t))
	if a := s.do("PUT", "/v1/alerts/all", `{"topics":[">"]}`, admin); a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	eu, us := s.publishOf("orders.eu", "order.created", admin), s.publishOf("orders.us", "order.created", admin)
	clerk := bearer(holder{subject: "ana", subscribe: "orders.eu", answer: ">"}.token(t))
	reader := bearer(holder{subject: "bo", subscribe: "orders.>", publish: "orders.>"}.token(t))
	if list := s.openAlerts(t, "", clerk); len(list.Alerts) != 1 || list.Alerts[0].ID != eu || list.Open != 1 {
		t.Errorf("the clerk sees %+v", list)
	}
	if list := s.openAlerts(t, "?topic=orders.us", reader); len(list.Alerts) != 1 || list.Alerts[0].ID != us {
		t.Errorf("the reader sees %+v", list)
	}
	if a, _ := s.answer(t, us, "claim", "", clerk); a.status != 404 || a.problem(t).Code != "alert-not-found" {
		t.Errorf("a claim of what may not be read: %d %s", a.status, a.body)
	}
	a, _ := s.answer(t, eu, "claim", "", reader)
	if a.status != 403 || a.problem(t).Code != "topic-forbidden" {
		t.Errorf("row 333: %d %s", a.status, a.body)
	}
	a, got := s.answer(t, eu, "claim", `{"name":"somebody else"}`, clerk)
	if a.status != 201 || got.Holder.Subject != "ana" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a, _ := s.answer(t, us, "claim", `{"device":"desk"}`, admin); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if list := s.openAlerts(t, "", admin); len(list.Alerts) != 2 {
		t.Errorf("a rule on everything alarms about itself: %+v", list)
	}
	for _, path := range []string{"/v1/topics/$alerts.orders.eu/events", "/v1/topics/$alerts.orders.eu/end"} {
		if a := s.do("POST", path, "1", admin); a.status != 403 {
			t.Errorf("a forged answer: %d %s", a.status, a.body)
		}
	}
}

// TestAlertRows: rows 330 to 349, except 343 and 344, of docs/ERRORS.md.
func TestAlertRows(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	c := newContract(t, s)
	all := bearer(holder{publish: ">", subscribe: ">", answer: ">", admin: true}.token(t))
	few := bearer(holder{subscribe: "orders.>", admin: true}.token(t))
	publish := func(topic string) string { return s.publishOf(topic, "order.created", all) }
	s.do("PUT", "/v1/alerts/orders", `{"topics":["orders.>"]}`, all)
	s.do("PUT", "/v1/alerts/refunds", `{"topics":["refunds"]}`, all)
	s.do("PUT", "/v1/alerts/long", `{"topics":["`+strings.Repeat("a", 250)+`"]}`, all)
	s.do("PUT", "/v1/deliveries/shop", hookBody("https://shop.example.com/", ""), all)
	open, claimed, done, none := publish("orders.eu"), publish("orders.eu"), publish("orders.eu"), publish("tickets")
	_, taken := s.answer(t, claimed, "claim", `{"name":"Ana"}`, all)
	_, ended := s.answer(t, done, "claim", `{"name":"Ana"}`, all)
	s.answer(t, done, "done", "", all, ifMatch(ended.Handle))
	token := map[string]string{"": all, "few": few}
	for _, x := range []struct {
		name, request, body, match, who string
		status                          int
		code, field                     string
	}{
		{"row 330", "POST events/" + claimed + "/claim", `{"name":"Bo"}`, "", "", 409, "alert-claimed", ""},
		{"row 330: snooze", "POST events/" + claimed + "/snooze", `{"seconds":1}`, "", "", 409, "alert-claimed", ""},
		{"row 331: claim", "POST events/" + done + "/claim", `{"name":"Bo"}`, "", "", 409, "alert-closed", ""},
		{"row 331: undo", "POST events/" + open + "/undo", "", open, "", 409, "alert-open", ""},
		{"row 332", "POST events/" + none + "/claim", "", "", "", 404, "alert-not-found", ""},
		{"row 333", "POST events/" + open + "/claim", "", "", "few", 403, "topic-forbidden", "topic"},
		{"row 334", "POST events/" + claimed + "/done", "", "", "", 400, "condition-invalid", "If-Match"},
		{"row 334: any", "POST events/" + claimed + "/release", "", "*", "", 400, "condition-invalid", "If-Match"},
		{"row 335", "POST events/" + claimed + "/done", "", open, "", 412, "condition-failed", "If-Match"},
		{"row 336: name", "POST events/" + open + "/claim", `{"name":"` + strings.Repeat("é", 65) + `"}`, "", "",
			400, "member-invalid", "name"},
		{"row 336: nobody", "POST events/" + open + "/claim", "{}", "", "", 400, "member-invalid", "name"},
		{"row 336: device", "POST events/" + open + "/claim", `{"device":"a\u0007"}`, "", "", 400,
			"member-invalid", "device"},
		{"row 336: note", "POST events/" + open + "/claim", `{"note":7}`, "", "", 400, "member-invalid", "note"},
		{"row 336: to", "POST events/" + claimed + "/hand-over", "{}", taken.Handle, "", 400, "member-invalid", "to"},
		{"row 336: seconds", "POST events/" + open + "/snooze", `{"seconds":3601}`, "", "", 400, "member-invalid",
			"seconds"},
		{"row 336: member", "POST events/" + open + "/claim", `{"nmae":"Ana"}`, "", "", 400, "member-invalid", ""},
		{"row 337: topics", "PUT alerts/x", `{"topics":[]}`, "", "", 400, "member-invalid", "topics"},
		{"row 337: name", "PUT alerts/" + strings.Repeat("x", 65), `{"topics":["a"]}`, "", "", 400,
			"member-invalid", "name"},
		{"row 337: muted", "PUT alerts/x", `{"topics":["a"],"muted_until":"9999-12-31T23:59:59-23:59"}`, "", "",
			400, "member-invalid", "muted_until"},
		{"row 337: reserved", "PUT alerts/x", `{"topics":["$alerts.a"]}`, "", "", 400, "member-invalid", "topics"},
		{"row 337: zone", "PUT alerts/x", `{"topics":["a"],"hours":{"zone":"Mars","open":[]}}`, "", "", 400,
			"member-invalid", "hours"},
		{"row 337: delay", "PUT alerts/x",
			`{"topics":["orders.>"],"steps":[{"after_seconds":-1,"delivery":"shop"}]}`, "", "",
			400, "member-invalid", "steps[0]"},
		{"row 338: no delivery", "PUT alerts/x",
			`{"topics":["orders.>"],"steps":[{"after_seconds":1,"delivery":"chat"}]}`, "", "",
			400, "member-invalid", "steps[0]"},
		{"row 338: another topic", "PUT alerts/x",
			`{"topics":["orders.>"],"steps":[{"after_seconds":1,"delivery":"shop"}]}`, "", "",
			400, "member-invalid", "steps[0]"},
		{"row 338: neither", "PUT alerts/x", `{"topics":["orders.>"],"steps":[{"after_seconds":1}]}`, "", "",
			400, "member-invalid", "steps[0]"},
		{"row 338: both", "PUT alerts/x",
			`{"topics":["orders.>"],"steps":[{"after_seconds":1,"delivery":"shop","push":true}]}`, "", "",
			400, "member-invalid", "steps[0]"},
		{"row 339", "PUT alerts/x", `{"topics":["tickets"]}`, "", "few", 403, "topic-forbidden", "topic"},
		{"row 371", "PUT alerts/orders", `{"topics":["x"]}`, open, "", 400, "condition-invalid", "If-Match"},
		{"row 371: any", "PUT alerts/orders", `{"topics":["x"]}`, "*", "", 400, "condition-invalid", "If-Match"},
		{"row 372", "PUT alerts/orders", `{"topics":["x"]}`, "0123456789abcdef", "", 412, "condition-failed",
			"If-Match"},
		{"row 372: gone", "PUT alerts/x", `{"topics":["x"]}`, "0123456789abcdef", "", 412, "condition-failed",
			"If-Match"},
		{"row 340: get", "GET alerts/none", "", "", "", 404, "alert-rule-not-found", ""},
		{"row 340: delete", "DELETE alerts/none", "", "", "", 404, "alert-rule-not-found", ""},
		{"row 345: text", "PUT alerts/x", `{"topics":["a"],"unheard_after_seconds":"2m"}`, "", "", 400,
			"member-invalid", "unheard_after_seconds"},
		{"row 345: less than a second", "PUT alerts/x", `{"topics":["a"],"unheard_after_seconds":0.5}`, "", "", 400,
			"member-invalid", "unheard_after_seconds"},
		{"row 345: more than a week", "PUT alerts/x", `{"topics":["a"],"unheard_after_seconds":604801}`, "", "", 400,
			"member-invalid", "unheard_after_seconds"},
		{"row 346: no hours", "POST alerts/orders/sign-off", `{"name":"Ana"}`, "", "", 400,
			"member-invalid", "seconds"},
		{"row 346: eight days", "POST alerts/orders/sign-off", `{"seconds":691200}`, "", "", 400,
			"member-invalid", "seconds"},
		{"row 346: negative", "POST alerts/orders/sign-off", `{"seconds":-1}`, "", "", 400,
			"member-invalid", "seconds"},
		{"row 346: member", "POST alerts/orders/sign-off", `{"force":true}`, "", "", 400, "member-invalid", ""},
		{"row 347: none", "POST alerts/none/sign-off", `{"seconds":60}`, "", "", 404, "alert-rule-not-found", ""},
		{"row 347: not readable", "DELETE alerts/refunds/sign-off", "", "", "few", 404, "alert-rule-not-found", ""},
		{"row 348", "POST alerts/orders/sign-off", `{"seconds":60}`, "", "few", 403, "topic-forbidden", "topic"},
		{"row 349", "POST alerts/long/sign-off", `{"seconds":60}`, "", "", 400, "member-invalid", "topics"},
		{"row 342: limit", "GET open?limit=0", "", "", "", 400, "query-invalid", "limit"},
		{"row 342: after", "GET open?after=x", "", "", "", 400, "query-invalid", "after"},
		{"row 342: done", "GET open?done=1", "", "", "", 400, "query-invalid", "done"},
		{"row 342: all", "POST alerts?all=pause", "", "", "", 400, "query-invalid", "all"},
	} {
		t.Run(x.name, func(t *testing.T) {
			method, path, _ := strings.Cut(x.request, " ")
			given := []string{token[x.who]}
			if x.match == "*" {
				given = append(given, "If-Match: *")
			} else if x.match != "" {
				given = append(given, ifMatch(x.match))
			}
			a := s.do(method, "/v1/"+path, x.body, given...)
			c.response(t, method, "/v1/"+path, a)
			if p := a.problem(t); a.status != x.status || p.Code != x.code || p.Field != x.field {
				t.Errorf("%d %s, want %d %s of %q", a.status, a.body, x.status, x.code, x.field)
			}
		})
	}
	t.Run("row 341", func(t *testing.T) {
		for i := range 100 {
			a := s.do("PUT", fmt.Sprintf("/v1/alerts/rule-%d", i), `{"topics":["a"]}`, all)
			want := map[bool]int{true: http.StatusTooManyRequests, false: http.StatusCreated}[i >= 97]
			if a.status != want {
				t.Fatalf("rule %d: %d %s, want %d", i+2, a.status, a.body, want)
			}
		}
	})
}
