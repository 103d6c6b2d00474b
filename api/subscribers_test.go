package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

type subscriberList struct {
	Subscribers []struct {
		ID, Format, Subject, Remote, Cursor, State string
		UserAgent                                  string `json:"user_agent"`
		Topics                                     []string
		LagEvents                                  int     `json:"lag_events"`
		LagSeconds                                 float64 `json:"lag_seconds"`
		Bytes                                      int64
	}
}

func (s *server) subscribers() (l subscriberList) {
	s.t.Helper()
	s.do("GET", "/v1/subscribers", "").decode(s.t, &l)
	return l
}

// TestSubscribers: who is connected, how far they are, and that none of it is in the log.
func TestSubscribers(t *testing.T) {
	s := start(t)
	st := s.open(t.Context(), "/v1/stream?topic=orders.>&topic=tickets&format=cloudevents", "")
	st.until("tidings.live")
	var last string
	for i := range 3 {
		last = s.publish("orders.eu", fmt.Sprint(i))
		st.next()
	}
	l := s.subscribers()
	for ; l.Subscribers[0].Cursor != last; l = s.subscribers() { // recorded right after the write
	}
	x := l.Subscribers[0]
	if len(l.Subscribers) != 1 || !slices.Equal(x.Topics, list("orders.> tickets")) ||
		x.Format != "cloudevents" || x.State != "live" ||
		x.LagEvents != 0 || x.LagSeconds != 0 || x.Bytes == 0 ||
		!strings.HasPrefix(x.UserAgent, "Go-http-client") || x.Remote == "" {
		t.Errorf("subscribers %+v", l)
	}
	if info := s.do("GET", "/v1/log", ""); !strings.Contains(info.body, `"events":3,`) {
		t.Errorf("log %s, want the three events alone", info.body)
	}
	if a := s.do("DELETE", "/v1/subscribers/nobody", ""); a.status != 404 ||
		a.problem(t).Code != "subscriber-not-found" {
		t.Errorf("unknown: %d", a.status)
	}
	if a := s.do("DELETE", "/v1/subscribers/"+x.ID, ""); a.status != http.StatusNoContent {
		t.Errorf("cut: %d %s", a.status, a.body)
	}
	events := slices.Collect(untilEnd(st))
	if n := len(events); n == 0 || string(events[n-1].Data) != `{"reason":"disconnected"}` {
		t.Errorf("after the cut: %+v, want a bye", events)
	}
	// It is not a ban, and nothing is lost.
	missed := s.publish("tickets", "1")
	if e := s.open(t.Context(), "/v1/stream?topic=orders.>&topic=tickets",
		st.LastEventID()).until("tidings.live"); e[1].ID != missed {
		t.Errorf("after the return: %+v, want %s", e, missed)
	}
}

// TestStalledSubscriber is shown as stalled, with what it has not received yet.
func TestStalledSubscriber(t *testing.T) {
	bubble(t, api.Options{}, func(t *testing.T, s *piped) {
		for range 40 {
			appendData(t, s.log, "orders", make([]byte, 16<<10))
		}
		s.get("/v1/stream?since=earliest") // and never reads
		time.Sleep(10 * time.Second)
		_, r := s.get("/v1/subscribers")
		var l subscriberList
		readJSON(t, r, &l)
		if len(l.Subscribers) != 1 || l.Subscribers[0].State != "stalled" ||
			l.Subscribers[0].LagEvents < 30 || l.Subscribers[0].LagSeconds < 10 {
			t.Errorf("%+v, want one stalled and far behind", l)
		}
		wantSamples(t, s.do("GET /metrics", "").samples(t), map[string]string{
			`tidings_subscribers{state="stalled"}`: "1",
			`tidings_subscriber_lag_events{quantile="0.5"}`: strconv.Itoa(
				l.Subscribers[0].LagEvents),
			`tidings_subscriber_lag_seconds_sum`: strconv.FormatFloat(
				l.Subscribers[0].LagSeconds, 'g', -1, 64),
		})
		time.Sleep(api.DefaultStallTimeout)
		wantSamples(t, s.do("GET /metrics", "").samples(t),
			map[string]string{`tidings_subscribers{state="catching up"}`: "0",
				`tidings_subscribers{state="stalled"}`: "0", `tidings_stalls_total`: "1"})
	})
}

// TestReadMarks: an inbox across devices.
func TestReadMarks(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	me, you := bearer(holder{subject: "me", publish: ">", subscribe: "users.me"}.token(t)),
		bearer(holder{subject: "you", publish: ">", subscribe: ">"}.token(t))
	var ids []string
	for i := range 5 {
		a := s.do("POST", "/v1/topics/users.me/events", fmt.Sprint(i), me)
		ids = append(ids, strings.TrimPrefix(a.header.Get("Location"), "/v1/events/"))
	}
	put := func(id, topics string, who string) answer {
		return s.do("PUT", "/v1/cursors/inbox", fmt.Sprintf(`{"id":%q%s}`, id, topics), who)
	}
	want := func(a answer, id string, unread int) {
		t.Helper()
		if a.status != 200 || a.body != fmt.Sprintf(`{"id":%q,"topics":["users.me"],"unread":%d}`+
			"\n", id, unread) {
			t.Errorf("%d %s, want %s with %d unread", a.status, a.body, id, unread)
		}
	}
	if a := put(ids[0], "", me); a.problem(t).Code != "member-invalid" {
		t.Errorf("a new mark without topics: %s", a.body)
	}
	want(put(ids[1], `,"topics":["users.me"]`, me), ids[1], 3)
	want(put(ids[3], "", me), ids[3], 1) // the phone
	want(put(ids[2], "", me), ids[3], 1) // the desk, late
	want(s.do("GET", "/v1/cursors/inbox", "", me), ids[3], 1)
	if a := s.do("GET", "/v1/cursors/inbox", "", you); a.status != 404 ||
		a.problem(t).Code != "mark-not-found" {
		t.Errorf("somebody else's: %d %s", a.status, a.body)
	}
	for what, a := range map[string]answer{
		"topics not granted": put(ids[0], `,"topics":["users.*"]`, me),
	} {
		if a.status != 403 || a.problem(t).Code != "topic-forbidden" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	for body, code := range map[string]string{
		`{"id":"x"}`: "id-invalid", `{"id":"7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}`: "id-invalid",
		`{"id":1}`:                                  "member-invalid",
		`{"id":"` + ids[0] + `","topic":"a"}`:       "member-invalid",
		`{"id":"` + ids[0] + `","topics":[]}`:       "member-invalid",
		`{"id":"` + ids[0] + `","topics":["a..b"]}`: "topic-invalid", `[]`: "json-invalid",
	} {
		if a := s.do("PUT", "/v1/cursors/inbox", body, me); a.status != 400 ||
			a.problem(t).Code != code {
			t.Errorf("%s: %d %s, want %s", body, a.status, a.body, code)
		}
	}
	if a := s.do("GET", "/v1/cursors/a%20b", "", me); a.problem(t).Code != "name-invalid" {
		t.Errorf("a name with a space: %s", a.body)
	}
	if a := s.do("DELETE", "/v1/cursors/inbox", "", me); a.status != 204 {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	if a := s.do("GET", "/v1/cursors/inbox", "", me); a.status != 404 {
		t.Errorf("after delete: %d", a.status)
	}
	// Unread is counted to a thousand.
	s.do("POST", "/v1/events", strings.Repeat(`{"topic":"users.me","data":1}`+"\n", 996), me,
		"Content-Type: application/x-ndjson")
	if a := put(ids[0], `,"topics":["users.me"]`, me); !strings.Contains(a.body, `"unread":1000}`) {
		t.Errorf("1,000 unread: %s", a.body)
	}
	s.do("POST", "/v1/topics/users.me/events", "1", me)
	if a := s.do("GET", "/v1/cursors/inbox", "", me); !strings.Contains(a.body,
		`"unread":1000,"capped":true}`) {
		t.Errorf("1,001 unread: %s", a.body)
	}
}

// TestMarksWithoutSubject: two tokens without a subject are not the same person.
func TestMarksWithoutSubject(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	one, two := bearer(holder{publish: ">", subscribe: ">"}.token(t)),
		bearer(holder{publish: ">", subscribe: ">", expires: 2 * time.Hour}.token(t))
	s.do("POST", "/v1/topics/a/events", "1", one)
	id := strings.TrimPrefix(s.do("POST", "/v1/topics/a/events", "1", one).header.Get("Location"),
		"/v1/events/")
	mark := fmt.Sprintf(`{"id":%q,"topics":["a"]}`, id)
	for _, step := range []struct {
		method, who string
		want        int
	}{{"PUT", one, 200}, {"GET", one, 200}, {"GET", two, 404}, {"DELETE", two, 404}, {"PUT", two, 200},
		{"DELETE", two, 204}, {"GET", one, 200}} {
		if a := s.do(step.method, "/v1/cursors/inbox", mark, step.who); a.status != step.want {
			t.Errorf("%s: %d %s, want %d", step.method, a.status, a.body, step.want)
		}
	}
}

// TestListMarks: callers find all their own read marks and nobody else's; the contents of a mark are for those who
// may read its topics.
func TestListMarks(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	ada := bearer(holder{subject: "ada", subscribe: ">"}.token(t))
	const zero = `"id":"00000000000000000000000000"`
	for i := range 120 {
		s.do("PUT", fmt.Sprintf("/v1/cursors/mark-%03d", i), `{`+zero+`,"topics":["orders"]}`, ada)
	}
	s.do("PUT", "/v1/cursors/a%2Fb%25", `{`+zero+`,"topics":["tickets.>"]}`, ada)
	var list struct {
		Cursors []struct {
			Name   string
			ID     *string
			Topics []string
		}
		Next *string
	}
	var names []string
	for path := "/v1/cursors"; ; path = "/v1/cursors?after=" + url.QueryEscape(*list.Next) {
		list.Next = nil
		s.do("GET", path, "", ada).decode(t, &list)
		for _, m := range list.Cursors {
			names = append(names, m.Name)
		}
		if list.Next == nil {
			break
		}
	}
	if len(names) != 121 || names[0] != "a/b%" || !slices.IsSorted(names) {
		t.Errorf("%d marks: %q", len(names), names)
	}
	for _, c := range []struct{ who, want string }{
		{bearer(holder{subject: "ada", subscribe: "tickets.>"}.token(t)),
			`{"name":"a/b%",` + zero + `,"topics":["tickets.>"]},{"name":"mark-000","id":null,"topics":null},`},
		{bearer(holder{subject: "eve", subscribe: ">"}.token(t)), `{"cursors":[],"next":null}`},
		{bearer(holder{subscribe: ">"}.token(t)), `{"cursors":[],"next":null}`},
	} {
		if a := s.do("GET", "/v1/cursors", "", c.who); !strings.Contains(a.body, c.want) {
			t.Errorf("%d %.300s, want %s", a.status, a.body, c.want)
		}
	}
}

// TestSubscriberSubject: with tokens the list shows who is connected, not only from where.
func TestSubscriberSubject(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	s.open(t.Context(), "/v1/stream", "",
		bearer(holder{subject: "ada", subscribe: ">"}.token(t))).until("tidings.live")
	var l subscriberList
	s.do("GET", "/v1/subscribers", "",
		bearer(holder{subject: "eve", admin: true}.token(t))).decode(t, &l)
	if len(l.Subscribers) != 1 || l.Subscribers[0].Subject != "ada" {
		t.Errorf("%+v, want ada", l)
	}
}
