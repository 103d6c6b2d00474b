package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/api"
)

// TestAccess calls every endpoint as every kind of caller, with keys set and without. An endpoint without a row
// fails.
func TestAccess(t *testing.T) {
	visitors := []struct {
		name   string
		holder *holder
		code   string // of a 401
	}{
		{"no token", nil, "token-missing"},
		{"wrong key", &holder{publish: ">", subscribe: ">", key: otherKey}, "token-invalid"},
		{"expired", &holder{publish: ">", subscribe: ">", expires: -time.Hour}, "token-invalid"},
		{"no grant", &holder{}, ""},
		{"partial grant", &holder{publish: "orders.>", subscribe: "orders.>"}, ""},
		{"full grant", &holder{publish: ">", subscribe: ">"}, ""},
		{"admin", &holder{admin: true}, ""},
	}
	const n = 7
	all := func(status int) (row [n]int) {
		for i := range row {
			row[i] = status
		}
		return row
	}
	token := func(none, partial, full, admin int) [n]int {
		return [n]int{401, 401, 401, none, partial, full, admin}
	}
	type row struct {
		endpoint string
		path     string
		open     [n]int // without keys
		keyed    [n]int
		body     string
	}
	rows := []row{
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders.eu/events", all(201),
			token(403, 201, 201, 403), "1"},
		{"POST /v1/topics/{topic}/events", "/v1/topics/tickets/events", all(201),
			token(403, 403, 201, 403), "1"},
		{"POST /v1/topics/{topic}/end", "/v1/topics/orders.over/end", all(200),
			token(403, 200, 200, 403), ""},
		{"POST /v1/topics/{topic}/end", "/v1/topics/over/end", all(200),
			token(403, 403, 200, 403), ""},
		{"POST /v1/events", "/v1/events", all(201), token(403, 201, 201, 403),
			`{"topic":"orders.eu","data":1}`},
		{"POST /v1/events", "/v1/events", all(201), token(403, 403, 201, 403),
			`{"topic":"orders.eu","data":1}` + "\n" + `{"topic":"tickets","data":1}`},
		{"GET /v1/stream", "/v1/stream", all(200), token(403, 200, 200, 403), ""},
		{"GET /v1/stream", "/v1/stream?topic=orders.eu&topic=orders.>", all(200),
			token(403, 200, 200, 403), ""},
		{"GET /v1/stream", "/v1/stream?topic=orders.eu&topic=tickets", all(200),
			token(403, 403, 200, 403), ""},
		{"GET /v1/stream", "/v1/stream?topic=>", all(200), token(403, 403, 200, 403), ""},
		{"HEAD /v1/stream", "/v1/stream", all(200), token(403, 200, 200, 403), ""},
		{"HEAD /v1/stream", "/v1/stream?topic=tickets", all(200), token(403, 403, 200, 403), ""},
		{"GET /v1/topics/{topic}/stream", "/v1/topics/orders.eu/stream", all(200),
			token(403, 200, 200, 403), ""},
		{"GET /v1/topics/{topic}/stream", "/v1/topics/orders/stream", all(200),
			token(403, 403, 200, 403), ""},
		{"HEAD /v1/topics/{topic}/stream", "/v1/topics/orders.eu/stream", all(200),
			token(403, 200, 200, 403), ""},
		{"HEAD /v1/topics/{topic}/stream", "/v1/topics/tickets/stream", all(200),
			token(403, 403, 200, 403), ""},
		{"GET /v1/events/{id}", "/v1/events/ORDER", all(200), token(404, 200, 200, 404), ""},
		{"GET /v1/events/{id}", "/v1/events/TICKET", all(200), token(404, 404, 200, 404), ""},
		{"GET /v1/events", "/v1/events", all(200), token(403, 200, 200, 403), ""},
		{"GET /v1/events", "/v1/events?topic=orders.eu&before=TICKET", all(200),
			token(403, 200, 200, 403), ""},
		{"GET /v1/events", "/v1/events?topic=orders.*&topic=tickets", all(200),
			token(403, 403, 200, 403), ""},
		{"GET /v1/topics/{topic}/events", "/v1/topics/orders.eu/events", all(200),
			token(403, 200, 200, 403), ""},
		{"GET /v1/topics/{topic}/events", "/v1/topics/tickets/events", all(200),
			token(403, 403, 200, 403), ""},
		{"GET /v1/topics/{topic}", "/v1/topics/orders.eu", all(200), token(403, 200, 200, 403), ""},
		{"GET /v1/topics/{topic}", "/v1/topics/tickets", all(200), token(403, 403, 200, 403), ""},
		{"GET /v1/topics", "/v1/topics", all(200), token(403, 200, 200, 403), ""},
		{"GET /v1/topics", "/v1/topics?topic=tickets", all(200), token(403, 403, 200, 403), ""},
		{"GET /v1/cursors", "/v1/cursors", all(200), token(200, 200, 200, 200), ""},
		{"GET /v1/cursors/{name}", "/v1/cursors/inbox", all(404), token(404, 404, 404, 404), ""},
		{"PUT /v1/cursors/{name}", "/v1/cursors/orders", all(200), token(403, 200, 200, 403),
			`{"id":"00000000000000000000000000","topics":["orders.eu"]}`},
		{"PUT /v1/cursors/{name}", "/v1/cursors/tickets", all(200), token(403, 403, 200, 403),
			`{"id":"00000000000000000000000000","topics":["tickets"]}`},
		{"DELETE /v1/cursors/{name}", "/v1/cursors/inbox", all(404), token(404, 404, 404, 404), ""},
		{"GET /v1/push", "/v1/push", all(200), token(200, 200, 200, 200), ""},
		{"GET /v1/devices", "/v1/devices", all(200), token(200, 200, 200, 200), ""},
		{"GET /v1/devices", "/v1/devices?subject=ana", all(200), token(403, 403, 403, 200), ""},
		{"POST /v1/devices", "/v1/devices", all(200), token(403, 403, 403, 403), deviceJSON("", `"orders.eu"`)},
		{"DELETE /v1/devices", "/v1/devices?subject=ana", all(200), token(403, 403, 403, 200), ""},
		{"DELETE /v1/devices/{id}", "/v1/devices/none", all(404), token(404, 404, 404, 404), ""},
		{"GET /v1/subscribers", "/v1/subscribers", all(200), token(403, 403, 403, 200), ""},
		{"DELETE /v1/subscribers/{id}", "/v1/subscribers/x", all(404),
			token(403, 403, 403, 404), ""},
		{"PUT /v1/subscribers/{id}/state", "/v1/subscribers/x/state", all(404), token(404, 404, 404, 404),
			`{"visible":true,"allowed":false}`},
		{"POST /v1/topics/{topic}/trim", "/v1/topics/orders.eu/trim?before=ORDER", all(200),
			token(403, 403, 403, 200), ""},
		{"GET /v1/deliveries", "/v1/deliveries", all(200), token(403, 403, 403, 200), ""},
		{"POST /v1/deliveries", "/v1/deliveries?all=resume", all(200), token(403, 403, 403, 200), ""},
		{"PUT /v1/deliveries/{name}", "/v1/deliveries/shop", all(200), token(403, 403, 403, 403),
			`{"url":"https://shop.example.com/","topics":["orders.eu"],"secret":"` + hookSecret + `"}`},
		{"GET /v1/deliveries/{name}", "/v1/deliveries/none", all(404), token(403, 403, 403, 404), ""},
		{"DELETE /v1/deliveries/{name}", "/v1/deliveries/none", all(404), token(403, 403, 403, 404), ""},
		{"POST /v1/deliveries/{name}/pause", "/v1/deliveries/none/pause", all(404), token(403, 403, 403, 404), ""},
		{"POST /v1/deliveries/{name}/resume", "/v1/deliveries/none/resume", all(404), token(403, 403, 403, 404), ""},
		{"POST /v1/deliveries/{name}/skip", "/v1/deliveries/none/skip", all(404), token(403, 403, 403, 404), ""},
		{"GET /v1/deliveries/{name}/dead", "/v1/deliveries/none/dead", all(404), token(403, 403, 403, 404), ""},
		{"DELETE /v1/deliveries/{name}/dead", "/v1/deliveries/none/dead?all=true", all(404),
			token(403, 403, 403, 404), ""},
		{"POST /v1/deliveries/{name}/redrive", "/v1/deliveries/none/redrive?all=true", all(404),
			token(403, 403, 403, 404), ""},
		{"POST /v1/deliveries/{name}/replay", "/v1/deliveries/none/replay", all(404), token(403, 403, 403, 404),
			`{"since":"earliest"}`},
		{"DELETE /v1/deliveries/{name}/replay", "/v1/deliveries/none/replay", all(404), token(403, 403, 403, 404), ""},
		{"POST /v1/deliveries/{name}/test", "/v1/deliveries/none/test", all(404), token(403, 403, 403, 404), ""},
		{"POST /v1/events/{id}/claim", "/v1/events/ORDER/claim", all(404), token(404, 404, 404, 404), ""},
		{"POST /v1/events/{id}/snooze", "/v1/events/ORDER/snooze", all(404), token(404, 404, 404, 404), ""},
		{"POST /v1/events/{id}/release", "/v1/events/ORDER/release", all(404), token(404, 404, 404, 404), ""},
		{"POST /v1/events/{id}/done", "/v1/events/ORDER/done", all(404), token(404, 404, 404, 404), ""},
		{"POST /v1/events/{id}/hand-over", "/v1/events/ORDER/hand-over", all(404), token(404, 404, 404, 404), ""},
		{"POST /v1/events/{id}/undo", "/v1/events/ORDER/undo", all(404), token(404, 404, 404, 404), ""},
		{"GET /v1/open", "/v1/open", all(200), token(403, 200, 200, 403), ""},
		{"GET /v1/open", "/v1/open?topic=tickets", all(200), token(403, 403, 200, 403), ""},
		{"GET /v1/alerts", "/v1/alerts", all(200), token(403, 403, 403, 200), ""},
		{"POST /v1/alerts", "/v1/alerts?all=resume", all(200), token(403, 403, 403, 200), ""},
		{"PUT /v1/alerts/{name}", "/v1/alerts/orders", all(200), token(403, 403, 403, 403), `{"topics":["orders.eu"]}`},
		{"GET /v1/alerts/{name}", "/v1/alerts/none", all(404), token(403, 403, 403, 404), ""},
		{"DELETE /v1/alerts/{name}", "/v1/alerts/none", all(404), token(403, 403, 403, 404), ""},
		{"POST /v1/alerts/{name}/sign-off", "/v1/alerts/orders/sign-off", all(200), token(404, 403, 403, 404),
			`{"seconds":60}`},
		{"DELETE /v1/alerts/{name}/sign-off", "/v1/alerts/orders/sign-off", all(200), token(404, 403, 403, 404), ""},
		{"POST /v1/clock/trust", "/v1/clock/trust", all(200), token(403, 403, 403, 200), ""},
		{"GET /v1/log", "/v1/log", all(200), token(200, 200, 200, 200), ""},
		{"GET /v1/backup", "/v1/backup", all(200), token(403, 403, 403, 200), ""},
		{"GET /v1/session", "/v1/session", all(200), all(200), ""},
		{"PUT /v1/session", "/v1/session", all(204), token(204, 204, 204, 204), ""},
		{"DELETE /v1/session", "/v1/session", all(204), token(204, 204, 204, 204), ""},
		{"GET /healthz", "/healthz", all(200), all(200), ""},
		{"GET /readyz", "/readyz", all(200), all(200), ""},
		{"GET /openapi.yaml", "/openapi.yaml", all(200), all(200), ""},
		{"GET /", "/", all(200), all(200), ""},
		{"HEAD /", "/", all(200), all(200), ""},
		{"GET /console/{file}", "/console/main.js", all(200), all(200), ""},
		{"HEAD /console/{file}", "/console/main.js", all(200), all(200), ""},
		{"GET /tidings.js", "/tidings.js", all(200), all(200), ""},
		{"HEAD /tidings.js", "/tidings.js", all(200), all(200), ""},
		{"GET /tidings.d.ts", "/tidings.d.ts", all(200), all(200), ""},
		{"HEAD /tidings.d.ts", "/tidings.d.ts", all(200), all(200), ""},
		{"GET /locks.js", "/locks.js", all(200), all(200), ""},
		{"HEAD /locks.js", "/locks.js", all(200), all(200), ""},
		{"GET /alarm.js", "/alarm.js", all(200), all(200), ""},
		{"HEAD /alarm.js", "/alarm.js", all(200), all(200), ""},
		{"GET /push.js", "/push.js", all(200), all(200), ""},
		{"HEAD /push.js", "/push.js", all(200), all(200), ""},
		{"GET /push.d.ts", "/push.d.ts", all(200), all(200), ""},
		{"HEAD /push.d.ts", "/push.d.ts", all(200), all(200), ""},
		{"GET /sw.js", "/sw.js", all(200), all(200), ""},
		{"HEAD /sw.js", "/sw.js", all(200), all(200), ""},
		{"GET /alarm.d.ts", "/alarm.d.ts", all(200), all(200), ""},
		{"HEAD /alarm.d.ts", "/alarm.d.ts", all(200), all(200), ""},
		{"GET /presence.js", "/presence.js", all(200), all(200), ""},
		{"HEAD /presence.js", "/presence.js", all(200), all(200), ""},
		{"GET /presence.d.ts", "/presence.d.ts", all(200), all(200), ""},
		{"HEAD /presence.d.ts", "/presence.d.ts", all(200), all(200), ""},
		{"GET /metrics", "/metrics", all(200), token(403, 403, 403, 200), ""},
	}

	open := newServer(t, newLog(t), 0, api.Options{})
	guarded := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	for _, endpoint := range open.api.Endpoints() {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.endpoint == endpoint }) {
			t.Errorf("%s has no row", endpoint)
		}
	}
	for _, s := range []*server{open, guarded} {
		order := s.do("POST", "/v1/topics/orders.eu/events", "1",
			bearer(everything(t))).header.Get("Location")
		ticket := s.do("POST", "/v1/topics/tickets/events", "1",
			bearer(everything(t))).header.Get("Location")
		administrator := bearer(holder{subscribe: ">", admin: true}.token(t))
		s.do("PUT", "/v1/deliveries/shop", `{"url":"https://shop.example.com/","topics":["orders.eu"],"secret":"`+
			hookSecret+`"}`, administrator)
		s.do("PUT", "/v1/alerts/orders", `{"topics":["orders.eu"]}`, administrator)
		if s == open {
			s.do("POST", "/v1/devices", deviceJSON("", `"orders.eu"`))
		}
		for _, topic := range list("orders.over over") {
			s.do("POST", "/v1/topics/"+topic+"/end", "", bearer(everything(t)))
		}
		ids := strings.NewReplacer("/v1/events/ORDER", order, "/v1/events/TICKET", ticket, "ORDER",
			strings.TrimPrefix(order, "/v1/events/"), "TICKET",
			strings.TrimPrefix(ticket, "/v1/events/"))
		for _, row := range rows {
			method, _, _ := strings.Cut(row.endpoint, " ")
			for i, v := range visitors {
				var given []string
				if v.holder != nil {
					given = headers(bearer(v.holder.token(t)))
				}
				want := row.keyed[i]
				if s == open {
					want = row.open[i]
				}
				if row.endpoint == "POST /v1/events" {
					given = append(given, "Content-Type: application/x-ndjson")
				}
				a := s.head(method, ids.Replace(row.path), row.body, given...)
				// the last one is still being sent
				for strings.HasSuffix(row.path, "/backup") && a.status == 409 {
					a = s.head(method, ids.Replace(row.path), row.body, given...)
				}
				if a.status != want {
					t.Errorf("%s %s (keys: %v) by %s: %d, want %d", method, row.path, s == guarded,
						v.name, a.status, want)
					continue
				}
				if want < 400 || method == "HEAD" {
					continue
				}
				code := map[int]string{401: v.code, 403: "topic-forbidden",
					404: "event-not-found"}[want]
				switch {
				case strings.Contains(row.path, "/cursors/") && want == 404:
					code = "mark-not-found"
				case row.endpoint == "POST /v1/devices" && want == 403:
					code = "subject-required"
				case strings.Contains(row.path, "/devices") && want == 403:
					code = "admin-required"
				case strings.Contains(row.path, "/devices") && want == 404:
					code = "device-not-found"
				case strings.Contains(row.path, "/alerts/") && want == 404:
					code = "alert-rule-not-found"
				case strings.Contains(row.path, "/alerts") && !strings.HasSuffix(row.path, "/sign-off") &&
					want == 403 && v.name != "admin":
					code = "admin-required"
				case strings.HasPrefix(row.path, "/v1/events/ORDER/") && want == 404:
					code = "alert-not-found"
				case strings.Contains(row.path, "/deliveries") && want == 404:
					code = "delivery-not-found"
				case strings.Contains(row.path, "/deliveries") && want == 403 && (v.name != "admin"):
					code = "admin-required"
				case strings.Contains(row.path, "/subscribers") && want == 404:
					code = "subscriber-not-found"
				case (row.path == "/metrics" || row.path == "/v1/backup" ||
					strings.Contains(row.path, "/trim") || row.path == "/v1/clock/trust" ||
					strings.Contains(row.path, "/subscribers")) && want == 403:
					code = "admin-required"
				}
				p := s.do(method, ids.Replace(row.path), row.body, given...).problem(t)
				if p.Code != code || strings.HasPrefix(row.path, "/v1/topics") &&
					method == "POST" && !strings.Contains(row.path, "/trim") && p.Outcome != "not_stored" {
					t.Errorf("%s %s by %s: %+v, want %s", method, row.path, v.name, p, code)
				}
			}
		}
	}
}
