package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/alert"
	"tidings/api"
	"tidings/internal/presence"
	"tidings/internal/sse"
	"tidings/replay"
	"tidings/store"
)

// subscriberOf returns the stream's ID from its tidings.open.
func (st *stream) subscriberOf() string {
	st.t.Helper()
	var open struct{ Subscriber string }
	events := st.until("tidings.open")
	if err := json.Unmarshal(events[len(events)-1].Data, &open); err != nil || open.Subscriber == "" {
		st.t.Fatalf("the stream has no name: %v", err)
	}
	return open.Subscriber
}

// hearingOf returns what the list of subscribers shows of a page's reports, as JSON, without the time.
func (s *server) hearingOf(id string, headers ...string) string {
	s.t.Helper()
	var list struct {
		Subscribers []struct {
			ID      string
			Hearing map[string]any
		}
	}
	s.do("GET", "/v1/subscribers", "", headers...).decode(s.t, &list)
	for _, x := range list.Subscribers {
		if x.ID == id {
			if _, err := time.Parse(time.RFC3339, fmt.Sprint(x.Hearing["at"])); x.Hearing != nil && err != nil {
				s.t.Errorf("it was said at %v", x.Hearing["at"])
			}
			delete(x.Hearing, "at")
			text, err := json.Marshal(x.Hearing)
			if err != nil {
				s.t.Fatal(err)
			}
			return string(text)
		}
	}
	return "none"
}

// TestReports: a page reports for its own stream what it can do, over HTTP/1.1 and HTTP/2, with keys and without, and
// the report is known as long as the stream is open.
func TestReports(t *testing.T) {
	ana := headers(bearer(holder{subject: "ana", subscribe: "orders.>"}.token(t)))
	for name, x := range map[string]struct {
		options api.Options
		mine    []string
		client  http.RoundTripper
	}{
		"open":        {api.Options{}, nil, http.DefaultTransport},
		"token":       {keyed(t, api.Options{}), ana, http.DefaultTransport},
		"HTTP/2":      {keyed(t, api.Options{}), ana, h2c(t)},
		"a goroutine": {keyed(t, api.Options{StreamWriter: api.WriterOrdinary}), ana, http.DefaultTransport},
	} {
		t.Run(name, func(t *testing.T) {
			x.options.Presence = presence.New(api.DefaultHeartbeat)
			s := newServer(t, newLog(t), 0, x.options)
			admin := bearer(holder{admin: true}.token(t))
			ask := func(method, path, body string) *http.Response {
				r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if body == "" {
					r.Body = nil
				}
				addHeaders(r, x.mine)
				resp, err := x.client.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { resp.Body.Close() })
				return resp
			}
			resp := ask("GET", "/v1/stream?topic=orders.>", "")
			id := (&stream{t, resp, sse.NewDecoder(resp.Body, 0)}).subscriberOf()
			if got := s.hearingOf(id, admin); got != "null" {
				t.Errorf("before a report it is %s", got)
			}
			orders, err := store.NewFilter("orders.>")
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				report, want string
				hears        bool
			}{
				{`"armed":null`, `{"allowed":false,"armed":null,"state":"no-alarm","visible":true}`, false},
				{`"armed":false`, `{"allowed":false,"armed":false,"state":"blocked","visible":true}`, false},
				{`"armed":true`, `{"allowed":false,"armed":true,"state":"able","visible":true}`, true},
			} {
				path := "/v1/subscribers/" + id + "/state"
				if a := ask("PUT", path, `{"visible":true,"allowed":false,`+c.report+`}`); a.StatusCode != 204 {
					t.Fatalf("%s: %s", c.report, a.Status)
				}
				if got := s.hearingOf(id, admin); got != c.want || x.options.Presence.Hears(orders) != c.hears {
					t.Errorf("%s: it is %s, want %s", c.report, got, c.want)
				}
			}
			wantSamples(t, s.do("GET", "/metrics", "", admin).samples(t), map[string]string{
				`tidings_pages{hearing="able"}`: "1", `tidings_pages{hearing="blocked"}`: "0"})
			if s.do("DELETE", "/v1/subscribers/"+id, "", admin).status != 204 {
				t.Fatal("it cannot be cut off")
			}
			for s.hearingOf(id, admin) != "none" { // the stream ends a moment later
			}
			if x.options.Presence.Hears(orders) {
				t.Error("it outlives its stream")
			}
		})
	}
}

// TestReportRows: rows 343 and 344 of docs/ERRORS.md.
func TestReportRows(t *testing.T) {
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	c := newContract(t, s)
	ana, bo := bearer(holder{subject: "ana", subscribe: "a"}.token(t)), bearer(holder{subject: "bo", subscribe: "a",
		admin: true}.token(t))
	id := s.open(t.Context(), "/v1/stream", "", ana).subscriberOf()
	const good = `{"visible":true,"allowed":true,"armed":true}`
	for _, x := range []struct {
		name, id, who, body string
		status              int
		code, field         string
	}{
		{"row 343: not visible", id, ana, `{"allowed":true}`, 400, "member-invalid", "visible"},
		{"row 343: not allowed", id, ana, `{"visible":true,"armed":true}`, 400, "member-invalid", "allowed"},
		{"row 343: a text", id, ana, `{"visible":true,"allowed":true,"armed":"yes"}`, 400, "member-invalid", "armed"},
		{"row 343: member", id, ana, `{"visible":true,"allowed":true,"loud":true}`, 400, "member-invalid", ""},
		{"row 344: none", "MFRGGZDFMZTWQ2LK", ana, good, 404, "subscriber-not-found", ""},
		{"row 344: another's", id, bo, good, 404, "subscriber-not-found", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			path := "/v1/subscribers/" + x.id + "/state"
			a := s.do("PUT", path, x.body, x.who)
			c.response(t, "PUT", path, a)
			if p := a.problem(t); a.status != x.status || p.Code != x.code || p.Field != x.field {
				t.Errorf("%d %s, want %d %s of %q", a.status, a.body, x.status, x.code, x.field)
			}
			if got := s.hearingOf(id, bo); got != "null" {
				t.Errorf("it counts: %s", got)
			}
		})
	}
}

// epoch is when a bubble starts.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// TestUnheardTold: that nobody would hear the orders can be read by callers who may read all of them, also as an
// event, before any order arrives; a page that reports withdraws it.
func TestUnheardTold(t *testing.T) {
	bubbleWith(t, func(t *testing.T, log store.Log, tail *replay.Tail) api.Options {
		o := api.Options{Presence: presence.New(api.DefaultHeartbeat)}
		var err error
		if o.Alerts, err = alert.New(log, tail, alert.Options{Listeners: o.Presence}); err != nil {
			t.Fatal(err)
		}
		return o
	}, 0, func(t *testing.T, s *piped) {
		s.do("PUT /v1/alerts/orders", `{"topics":["orders.>"]}`)
		rules := func(query string) string {
			a := s.do("GET /v1/open"+query, "")
			var list struct{ Rules json.RawMessage }
			a.decode(t, &list)
			return string(list.Rules)
		}
		const quiet = `[{"name":"orders","unheard_since":null,"signed_off_until":null,"has_hours":false,"has_steps":false}]`
		if got := rules(""); got != quiet {
			t.Errorf("at first it is %s", got)
		}
		st := s.stream("/v1/stream?topic=orders.>&topic=$alerts.orders.>")
		id := st.subscriberOf()
		st.until("alert.unheard")
		if after := time.Since(epoch); after < 2*time.Minute || after > 2*time.Minute+2*time.Second {
			t.Errorf("it is said after %v", after)
		}
		if got := rules("?topic=orders.>"); !strings.Contains(got, `"unheard_since":"2`) {
			t.Errorf("nobody hears, and it is %s", got)
		}
		if got := rules("?topic=orders.eu"); got != "[]" {
			t.Errorf("to who asks for some of the orders it is %s", got)
		}
		wantSamples(t, s.do("GET /metrics", "").samples(t),
			map[string]string{`tidings_alert_unheard{rule="orders"}`: "1"})
		if a := s.do("GET /v1/open", ""); strings.Contains(a.body, `"alerts":[{`) {
			t.Errorf("it demands an answer: %s", a.body)
		}
		a := s.do("PUT /v1/subscribers/"+id+"/state", `{"visible":false,"allowed":false,"armed":true}`)
		if a.status != http.StatusNoContent {
			t.Errorf("a report: %d %s", a.status, a.body)
		}
		for _, e := range st.until("alert.withdrawn") {
			if !strings.HasPrefix(e.Type, "tidings.") && e.Type != "alert.withdrawn" {
				t.Errorf("it is said again: %+v", e)
			}
		}
		if got := rules(""); got != quiet {
			t.Errorf("somebody hears, and it is %s", got)
		}
	})
}
