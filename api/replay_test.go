package api_test

import (
	"strings"
	"testing"
	"time"

	"tidings/internal/e2e"
)

// TestReplay: events are sent again from an ID, from a time and by ID, through HTTP only.
func TestReplay(t *testing.T) {
	s := start(t)
	r := newReceiver(t, 200)
	s.do("PUT", "/v1/deliveries/shop", hookBody(r.url, ""))
	var id []string
	for range 3 {
		id = append(id, s.publish("orders.eu", "1"))
		r.next(t)
	}
	for s.delivery(t, "shop").Cursor != id[2] {
	}
	for number, x := range []struct {
		body string
		want []string
	}{
		{`{"after":"` + id[0] + `"}`, []string{id[1], id[2]}},
		{`{"since":"1h","through":"` + id[1] + `"}`, []string{id[0], id[1]}},
		{`{"ids":["` + id[1] + `"],"new_ids":true}`, []string{id[1] + "-r3"}},
	} {
		a := s.do("POST", "/v1/deliveries/shop/replay", x.body)
		if a.status != 202 || !strings.Contains(a.body, `"kind":"replay"`) {
			t.Fatalf("%s: %d %s", x.body, a.status, a.body)
		}
		for _, want := range x.want {
			select {
			case req := <-r.got:
				if got, n := req.Header.Get("Webhook-Id"), req.Header.Get("Tidings-Replay"); got != want ||
					n != string(rune('1'+number)) {
					t.Errorf("%s: sent %s of replay %s, want %s", x.body, got, n, want)
				}
			case <-time.After(e2e.Patience):
				t.Fatalf("%s: nothing is sent", x.body)
			}
		}
		for a := s.do("GET", "/v1/deliveries/shop", ""); !strings.Contains(a.body, `"state":"done"`); {
			a = s.do("GET", "/v1/deliveries/shop", "")
		}
	}
}

// TestReplayRows: rows 310 to 312 of docs/ERRORS.md.
func TestReplayRows(t *testing.T) {
	s := start(t)
	c := newContract(t, s)
	r := newReceiver(t, 200)
	s.do("PUT", "/v1/deliveries/shop", hookBody(r.url, ""))
	id := s.publish("orders.eu", "1")
	r.next(t)
	for s.delivery(t, "shop").Cursor != id {
	}
	r.status.Store(500)
	const none = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
	many := `"` + strings.Repeat(id+`","`, 1000) + id + `"`
	for _, x := range []struct {
		name, request, body string
		status              int
		code, field         string
	}{
		{"row 310: nothing", "POST", `{}`, 400, "member-invalid", "after"},
		{"row 310: two places", "POST", `{"after":"` + id + `","since":"1h"}`, 400, "member-invalid", "after"},
		{"row 310: no ID", "POST", `{"after":"x"}`, 400, "member-invalid", "after"},
		{"row 310: no time", "POST", `{"since":"soon"}`, 400, "member-invalid", "since"},
		{"row 310: no IDs", "POST", `{"ids":[]}`, 400, "member-invalid", "ids"},
		{"row 310: too many", "POST", `{"ids":[` + many + `]}`, 400, "member-invalid", "ids"},
		{"row 310: an end of IDs", "POST", `{"ids":["` + id + `"],"through":"` + id + `"}`, 400, "member-invalid",
			"through"},
		{"row 310: through nothing", "POST", `{"since":"1h","through":"00000000000000000000000000"}`, 400,
			"member-invalid", "through"},
		{"row 310: new IDs", "POST", `{"since":"1h","new_ids":"yes"}`, 400, "member-invalid", "new_ids"},
		{"row 310: another member", "POST", `{"since":"1h","until":"now"}`, 400, "member-invalid", "until"},
		{"row 311", "POST", `{"after":"` + none + `"}`, 400, "id-invalid", "after"},
		{"row 312: the end of nothing", "DELETE", "", 409, "delivery-state", ""},
		{"row 312: while another one is under way", "POST", `{"since":"1h"}`, 409, "delivery-state", ""},
		{"row 312: while it is paused", "POST", `{"since":"1h"}`, 409, "delivery-state", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			const path = "/v1/deliveries/shop/replay"
			if strings.HasSuffix(x.name, "under way") {
				c.response(t, "POST", path, s.do("POST", path, `{"since":"1h"}`))
				defer func() { c.response(t, "DELETE", path, s.do("DELETE", path, "")) }()
			}
			if strings.HasSuffix(x.name, "paused") {
				s.do("POST", "/v1/deliveries/shop/pause", "")
			}
			a := s.do(x.request, path, x.body)
			c.response(t, x.request, path, a)
			if p := a.problem(t); a.status != x.status || p.Code != x.code || p.Field != x.field {
				t.Errorf("%d %s, want %d %s of %s", a.status, a.body, x.status, x.code, x.field)
			}
		})
	}
}
