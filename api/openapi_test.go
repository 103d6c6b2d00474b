package api_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"tidings/api"
	"tidings/internal/sse"
)

// TestOpenAPI: the document is valid, including its examples.
func TestOpenAPI(t *testing.T) {
	c := newContract(t, start(t))
	if !c.doc.IsOpenAPI31OrLater() {
		t.Errorf("openapi: %s", c.doc.OpenAPI)
	}
	if err := c.doc.Validate(t.Context(), openapi3.EnableExamplesValidation(),
		openapi3.EnableSchemaPatternValidation()); err != nil {
		t.Error(err)
	}
}

// TestOpenAPIRoutes: the document has the router's endpoints, and no others.
func TestOpenAPIRoutes(t *testing.T) {
	s := start(t)
	var documented []string
	for path, item := range newContract(t, s).doc.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	slices.Sort(documented)
	if diff := cmp.Diff(s.api.Endpoints(), documented); diff != "" {
		t.Errorf("(-router +document):\n%s", diff)
	}
}

// TestOpenAPICodes: the document has every code of the table of errors under its status, and no others; and each of
// them where a response can be looked up: with an operation, or with the responses that belong to none.
func TestOpenAPICodes(t *testing.T) {
	doc := newContract(t, start(t)).doc
	got := make(map[string]int)
	read := func(status int, r *openapi3.ResponseRef) {
		for mediaType, m := range r.Value.Content {
			if mediaType != "application/problem+json" {
				continue
			}
			p := narrowed(m.Schema.Value)
			if status != 0 && float64(status) != p.status {
				t.Errorf("an answer of status %d has the status %v in its problem",
					status, p.status)
			}
			for _, code := range p.codes {
				got[code.(string)] = int(p.status)
			}
		}
	}
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			for status, r := range operation.Responses.Map() {
				read(int(status[0]-'0')*100+int(status[1]-'0')*10+int(status[2]-'0'), r)
			}
		}
	}
	for _, name := range list("BadPath NoSuchPath NoSuchMethod") {
		read(0, doc.Components.Responses[name])
	}
	if diff := cmp.Diff(api.Codes(), got); diff != "" {
		t.Errorf("(-server +document):\n%s", diff)
	}
}

// problemSchema is what a schema of a problem allows beyond the general one.
type problemSchema struct {
	status float64
	codes  []any
}

func narrowed(s *openapi3.Schema) (p problemSchema) {
	if status, ok := s.Properties["status"]; ok && status.Value.Const != nil {
		p.status = status.Value.Const.(float64)
	}
	if code, ok := s.Properties["code"]; ok {
		p.codes = code.Value.Enum
	}
	for _, part := range s.AllOf {
		if q := narrowed(part.Value); q.status != 0 {
			p = q
		}
	}
	return p
}

// TestOpenAPIExchanges: what the server accepts and answers is what the document says, for every endpoint.
func TestOpenAPIExchanges(t *testing.T) {
	log := newLog(t)
	s := newServer(t, log, 0, keyed(t, api.Options{MaxEventBytes: 100}))
	c := newContract(t, s)
	everybody := holder{publish: ">", subscribe: ">", answer: ">", admin: true, subject: "ana"}.token(t)
	token := bearer(everybody)
	s.do("PUT", "/v1/alerts/alarms", `{"topics":["alarms"]}`, token)
	ring := func(verbs ...string) (path, handle string) {
		id := s.publishOf("alarms", "alarm", token)
		for _, verb := range verbs {
			_, a := s.answer(t, id, verb, `{"name":"Ana"}`, token, ifMatch(handle))
			handle = a.Handle
		}
		return "/v1/events/" + id + "/", ifMatch(handle)
	}
	rings, _ := ring()
	released, release := ring("claim")
	ended, end := ring("claim")
	given, give := ring("claim")
	undone, undo := ring("claim", "done")
	const ndjson, batch, event = "Content-Type: application/x-ndjson",
		"Content-Type: application/cloudevents-batch+json",
		"Content-Type: application/cloudevents+json"
	const ce = `{"specversion":"1.0","id":"1","source":"/s","type":"t","topic":"orders","time":"2026-01-02T03:04:05Z","data":{}}`
	id := s.do("POST", "/v1/topics/orders/events", "1", token).header.Get("Location")
	gone := appendData(t, log, "trimmed", []byte("1")).String()
	later := appendData(t, log, "trimmed", []byte("2"))
	s.trim(later.String(), "trimmed")
	s.open(t.Context(), "/v1/stream", "", token).until("tidings.live")
	var open struct{ Subscribers []struct{ ID string } }
	s.do("GET", "/v1/subscribers", "", token).decode(t, &open)
	seen := make(map[string]bool)
	for _, x := range []struct {
		endpoint, path, body string
		headers              []string
		status               int
	}{
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events?type=order.created", `{"a":1}`,
			headers("Content-Type: application/json", "Idempotency-Key: k"), 201},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events?type=order.created", `{"a":1}`,
			headers("Content-Type: application/json", "Idempotency-Key: k"), 200},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events", `[1]`,
			headers("Content-Type: application/vnd.shop+json", "Event-Type: paid"), 201},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events", "text",
			headers("Content-Type: text/plain"), 201},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events", "<a/>",
			headers("Content-Type: application/xml"), 201},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events", ce, headers(event), 201},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events", "[" + ce + "]",
			headers(batch), 200},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events", "\x00",
			headers("Content-Type: image/png", "Ce-Specversion: 1.0", "Ce-Id: 2", "Ce-Source: /s",
				"Ce-Type: t"), 201},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events", "{", nil, 400},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events", `{"b":1}`,
			headers("Idempotency-Key: k"), 422},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events",
			strings.Repeat("1", 101), nil, 413},
		{"POST /v1/topics/{topic}/events", "/v1/topics/orders/events", "1",
			headers("Content-Type: image/png"), 415},
		{"POST /v1/topics/{topic}/end", "/v1/topics/over/end", "", nil, 201},
		{"POST /v1/topics/{topic}/end", "/v1/topics/over/end", "", nil, 200},
		{"POST /v1/topics/{topic}/end", "/v1/topics/over/end", "1", nil, 400},
		{"POST /v1/topics/{topic}/events", "/v1/topics/over/events", "1", nil, 409},
		{"POST /v1/events", "/v1/events",
			`{"topic":"orders","data":1}` + "\n" +
				`{"topic":"files","datacontenttype":"image/png","data_base64":"AA=="}`,
			headers(ndjson, "Idempotency-Key: b"), 201},
		{"POST /v1/events", "/v1/events",
			`{"topic":"orders","data":1}` + "\n" +
				`{"topic":"files","datacontenttype":"image/png","data_base64":"AA=="}`,
			headers(ndjson, "Idempotency-Key: b"), 200},
		{"POST /v1/events", "/v1/events",
			"[" + ce + "," + strings.Replace(ce, `"1"`, `"7"`, 1) + "]", headers(batch), 201},
		{"POST /v1/events", "/v1/events", "[" + ce + "]", headers(batch), 200},
		{"POST /v1/events", "/v1/events", `{"topic":"orders","data":1,"x":1}`,
			headers(ndjson), 400},
		{"POST /v1/events", "/v1/events", strings.Repeat(`{"topic":"a","data":1}`+"\n", 1001),
			headers(ndjson), 413},
		{"POST /v1/events", "/v1/events", "1", nil, 415},
		{"GET /v1/events", "/v1/events", "", nil, 200},
		{"GET /v1/events", "/v1/events?topic=orders&topic=files&since=earliest&limit=2",
			"", nil, 200},
		{"GET /v1/events", "/v1/events?topic=trimmed&after=" + gone, "", nil, 200},
		{"GET /v1/events", "/v1/events?after=x", "", headers("Accept: application/x-ndjson"), 200},
		{"GET /v1/events", "/v1/events?before=" + later.String(),
			"", headers("Accept: application/x-ndjson"), 200},
		{"GET /v1/events", "/v1/events?limit=0", "", nil, 400},
		{"GET /v1/events", "/v1/events", "", headers("Accept: text/html"), 406},
		{"GET /v1/topics/{topic}/events", "/v1/topics/orders/events?last=2&wait=1s", "", nil, 200},
		{"GET /v1/topics/{topic}/events", "/v1/topics/orders/events?topic=x", "", nil, 400},
		{"GET /v1/events/{id}", id, "", nil, 200},
		{"GET /v1/events/{id}", strings.ToLower(id), "", nil, 200},
		{"GET /v1/events/{id}", "/v1/events/7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "", nil, 404},
		{"GET /v1/events/{id}", "/v1/events/x", "", nil, 400},
		{"GET /v1/topics/{topic}", "/v1/topics/trimmed", "", nil, 200},
		{"GET /v1/topics/{topic}", "/v1/topics/never", "", nil, 404},
		{"GET /v1/topics", "/v1/topics", "", nil, 200},
		{"GET /v1/topics", "/v1/topics?topic=over&topic=trimmed", "", nil, 200},
		{"GET /v1/topics", "/v1/topics?x=1", "", nil, 400},
		{"POST /v1/topics/{topic}/trim", "/v1/topics/trimmed/trim?before=" + later.String(),
			"", nil, 200},
		{"POST /v1/topics/{topic}/trim", "/v1/topics/trimmed/trim", "", nil, 400},
		{"POST /v1/clock/trust", "/v1/clock/trust", "", nil, 200},
		{"POST /v1/clock/trust", "/v1/clock/trust?x=1", "", nil, 400},
		{"PUT /v1/cursors/{name}", "/v1/cursors/inbox", `{"id":"` + gone +
			`","topics":["trimmed","a.>"]}`, headers("Content-Type: application/json"), 200},
		{"PUT /v1/cursors/{name}", "/v1/cursors/inbox", `{"id":"` + later.String() + `"}`,
			headers("Content-Type: application/json"), 200},
		{"PUT /v1/cursors/{name}", "/v1/cursors/inbox", `{"id":"x"}`, nil, 400},
		{"PUT /v1/cursors/{name}", "/v1/cursors/inbox", "{}",
			headers("Content-Encoding: gzip"), 415},
		{"GET /v1/cursors/{name}", "/v1/cursors/inbox", "", nil, 200},
		{"GET /v1/cursors/{name}", "/v1/cursors/outbox", "", nil, 404},
		{"GET /v1/cursors/{name}", "/v1/cursors/a%20b", "", nil, 400},
		{"GET /v1/cursors", "/v1/cursors", "", nil, 200},
		{"GET /v1/cursors", "/v1/cursors?after=inbox", "", nil, 200},
		{"GET /v1/cursors", "/v1/cursors?after=", "", nil, 400},
		{"GET /v1/cursors", "/v1/cursors?limit=5", "", nil, 400},
		{"DELETE /v1/cursors/{name}", "/v1/cursors/inbox", "", nil, 204},
		{"DELETE /v1/cursors/{name}", "/v1/cursors/inbox", "", nil, 404},
		{"PUT /v1/deliveries/{name}", "/v1/deliveries/shop", hookBody("http://127.0.0.1:9/", ""),
			headers("Content-Type: application/json"), 201},
		{"PUT /v1/deliveries/{name}", "/v1/deliveries/shop", `{"topics":["nothing"],"format":null}`,
			headers("Content-Type: application/json"), 200},
		{"PUT /v1/deliveries/{name}", "/v1/deliveries/shop", `{"x":1}`, nil, 400},
		{"PUT /v1/deliveries/{name}", "/v1/deliveries/shop", strings.Repeat(" ", 33<<10), nil, 413},
		{"PUT /v1/deliveries/{name}", "/v1/deliveries/shop", "{}", headers("Content-Encoding: gzip"), 415},
		{"PUT /v1/deliveries/{name}", "/v1/deliveries/shop", `{"url":"https://10.0.0.1"}`, nil, 422},
		{"GET /v1/deliveries/{name}", "/v1/deliveries/shop", "", nil, 200},
		{"GET /v1/deliveries", "/v1/deliveries", "", nil, 200},
		{"GET /v1/deliveries", "/v1/deliveries?after=", "", nil, 400},
		{"POST /v1/deliveries/{name}/test", "/v1/deliveries/shop/test", "", nil, 200},
		{"POST /v1/deliveries/{name}/pause", "/v1/deliveries/shop/pause", "", nil, 200},
		{"POST /v1/deliveries/{name}/resume", "/v1/deliveries/shop/resume", "", nil, 200},
		{"POST /v1/deliveries/{name}/skip", "/v1/deliveries/shop/skip?id=x", "", nil, 409},
		{"GET /v1/deliveries/{name}/dead", "/v1/deliveries/shop/dead", "", nil, 200},
		{"GET /v1/deliveries/{name}/dead", "/v1/deliveries/shop/dead?after=x", "", nil, 400},
		{"DELETE /v1/deliveries/{name}/dead", "/v1/deliveries/shop/dead?all=true", "", nil, 200},
		{"DELETE /v1/deliveries/{name}/dead", "/v1/deliveries/shop/dead", "", nil, 400},
		{"POST /v1/deliveries/{name}/redrive", "/v1/deliveries/shop/redrive?all=true", "", nil, 409},
		{"POST /v1/deliveries/{name}/redrive", "/v1/deliveries/shop/redrive?id=01ARZ3NDEKTSV4RRFFQ69G5FAV", "",
			nil, 404},
		{"POST /v1/deliveries/{name}/replay", "/v1/deliveries/shop/replay", `{"since":"1d","new_ids":true}`, nil, 202},
		{"POST /v1/deliveries/{name}/replay", "/v1/deliveries/shop/replay", `{"since":"1d","ids":[]}`, nil, 400},
		{"POST /v1/deliveries/{name}/replay", "/v1/deliveries/none/replay", `{"since":"1d"}`, nil, 404},
		{"DELETE /v1/deliveries/{name}/replay", "/v1/deliveries/none/replay", "", nil, 404},
		{"POST /v1/deliveries", "/v1/deliveries?all=pause", "", nil, 200},
		{"POST /v1/deliveries", "/v1/deliveries", "", nil, 400},
		{"DELETE /v1/deliveries/{name}", "/v1/deliveries/shop", "", nil, 204},
		{"DELETE /v1/deliveries/{name}", "/v1/deliveries/shop", "", nil, 404},
		{"PUT /v1/subscribers/{id}/state", "/v1/subscribers/" + open.Subscribers[0].ID + "/state",
			`{"visible":true,"allowed":false,"armed":null}`, headers(isJSON), 204},
		{"PUT /v1/subscribers/{id}/state", "/v1/subscribers/x/state", `{"visible":true,"allowed":false,"armed":true}`,
			headers(isJSON), 404},
		{"PUT /v1/subscribers/{id}/state", "/v1/subscribers/x/state", `{"visible":1}`, nil, 400},
		{"PUT /v1/subscribers/{id}/state", "/v1/subscribers/x/state", strings.Repeat(" ", 2<<10), nil, 413},
		{"PUT /v1/subscribers/{id}/state", "/v1/subscribers/x/state", "{}", headers("Content-Encoding: gzip"), 415},
		{"PUT /v1/subscribers/{id}/state", "/v1/subscribers/x/state", `{"armed":` + deep(129) + `}`, nil, 422},
		{"GET /v1/push", "/v1/push", "", nil, 200},
		{"GET /v1/push", "/v1/push?x=1", "", nil, 400},
		{"POST /v1/devices", "/v1/devices", deviceJSON("a", `"nothing"`), headers(isJSON), 201},
		{"POST /v1/devices", "/v1/devices", deviceJSON("a", `"nothing","nowhere"`), headers(isJSON), 200},
		{"POST /v1/devices", "/v1/devices", "{}", nil, 400},
		{"POST /v1/devices", "/v1/devices", strings.Repeat(" ", 33<<10), nil, 413},
		{"POST /v1/devices", "/v1/devices", "{}", headers("Content-Encoding: gzip"), 415},
		{"POST /v1/devices", "/v1/devices", `{"topics":` + deep(129) + `}`, nil, 422},
		{"GET /v1/devices", "/v1/devices", "", nil, 200},
		{"GET /v1/devices", "/v1/devices?subject=ana&after=-", "", nil, 200},
		{"GET /v1/devices", "/v1/devices?after=", "", nil, 400},
		{"DELETE /v1/devices/{id}", "/v1/devices/" + deviceIDOf(t, s, "a", token), "", nil, 204},
		{"DELETE /v1/devices/{id}", "/v1/devices/none", "", nil, 404},
		{"DELETE /v1/devices", "/v1/devices?subject=ana", "", nil, 200},
		{"DELETE /v1/devices", "/v1/devices", "", nil, 400},
		{"GET /v1/subscribers", "/v1/subscribers", "", nil, 200},
		{"DELETE /v1/subscribers/{id}", "/v1/subscribers/" + open.Subscribers[0].ID, "", nil, 204},
		{"DELETE /v1/subscribers/{id}", "/v1/subscribers/x", "", nil, 404},
		{"GET /v1/backup", "/v1/backup", "", nil, 200},
		{"GET /metrics", "/metrics", "", nil, 200},
		{"GET /v1/log", "/v1/log", "", nil, 200},
		{"GET /v1/log", "/v1/log?x=1", "", nil, 400},
		{"GET /v1/session", "/v1/session", "", nil, 200},
		{"GET /v1/session", "/v1/session?x=1", "", nil, 400},
		{"PUT /v1/session", "/v1/session", "", nil, 204},
		{"PUT /v1/session", "/v1/session", `{"token":"` + everybody + `"}`,
			headers("Content-Type: application/json"), 204},
		{"PUT /v1/session", "/v1/session?x=1", "", nil, 400},
		{"DELETE /v1/session", "/v1/session", "", nil, 204},
		{"GET /v1/stream", "/v1/stream?x=1", "", nil, 400},
		{"GET /v1/stream", "/v1/stream", "", headers("Accept: application/json"), 406},
		{"GET /v1/topics/{topic}/stream", "/v1/topics/a..b/stream", "", nil, 400},
		{"HEAD /v1/stream", "/v1/stream?topic=orders&topic=a.%3E&last=1", "", nil, 200},
		{"HEAD /v1/topics/{topic}/stream", "/v1/topics/orders/stream?since=1d&format=cloudevents",
			"", headers("Last-Event-ID: x"), 200},
		{"GET /v1/open", "/v1/open?topic=alarms&limit=10&done=true&after=01KAJ8F3QK3T7S3B8ZK8X9P1RD", "", nil, 200},
		{"POST /v1/events/{id}/snooze", rings + "snooze", `{"seconds":60,"name":null}`, headers(isJSON), 200},
		{"POST /v1/events/{id}/claim", rings + "claim", `{"name":"Ana","device":"till-1"}`, headers(isJSON), 201},
		{"POST /v1/events/{id}/claim", rings + "claim", `{"name":"Ana","device":"till-1","note":null}`,
			headers(isJSON), 200},
		{"POST /v1/events/{id}/claim", rings + "claim", `{"name":"Bo"}`, headers(isJSON), 409},
		{"POST /v1/events/{id}/claim", rings + "claim", strings.Repeat(" ", 17<<10), nil, 413},
		{"POST /v1/events/{id}/claim", rings + "claim", "{}", headers("Content-Encoding: gzip"), 415},
		{"POST /v1/events/{id}/claim", rings + "claim", `{"note":` + deep(129) + `}`, headers(isJSON), 422},
		{"POST /v1/events/{id}/release", released + "release", `{"note":"no driver"}`, headers(isJSON, release), 200},
		{"POST /v1/events/{id}/release", released + "release", "", headers(release), 412},
		{"POST /v1/events/{id}/done", ended + "done", "", headers(end), 200},
		{"POST /v1/events/{id}/hand-over", given + "hand-over", `{"to":{"name":"Bo"}}`, headers(isJSON, give), 200},
		{"POST /v1/events/{id}/undo", undone + "undo", "", headers(undo), 200},
		{"POST /v1/events/{id}/undo", undone + "undo", "", headers(undo), 409},
		{"PUT /v1/alerts/{name}", "/v1/alerts/orders",
			`{"topics":["orders"],"types":["a"],"min_severity":9,"always":true,` +
				`"muted_until":"2030-01-01T00:00:00Z","unheard_after_seconds":0,"hours":{"zone":"UTC","open":[{"days":["mon"],"from":"09:00","to":"18:00"}]}}`,
			headers(isJSON), 201},
		{"PUT /v1/alerts/{name}", "/v1/alerts/orders", `{"topics":["orders"],"types":null,"hours":null,"steps":[],"unheard_after_seconds":600}`,
			headers(isJSON), 200},
		{"PUT /v1/alerts/{name}", "/v1/alerts/orders", `{"topics":["orders"],"steps":[{"after_seconds":60,"push":true}]}`,
			headers(isJSON), 200},
		{"PUT /v1/alerts/{name}", "/v1/alerts/orders", `{}`, nil, 400},
		{"PUT /v1/alerts/{name}", "/v1/alerts/orders", strings.Repeat(" ", 33<<10), nil, 413},
		{"PUT /v1/alerts/{name}", "/v1/alerts/orders", "{}", headers("Content-Encoding: gzip"), 415},
		{"PUT /v1/alerts/{name}", "/v1/alerts/orders", `{"topics":` + deep(129) + `}`, nil, 422},
		{"POST /v1/alerts/{name}/sign-off", "/v1/alerts/alarms/sign-off", `{"name":"Ana","seconds":3600}`,
			headers(isJSON), 200},
		{"GET /v1/open", "/v1/open", "", nil, 200},
		{"DELETE /v1/alerts/{name}/sign-off", "/v1/alerts/alarms/sign-off", "", nil, 200},
		{"POST /v1/alerts/{name}/sign-off", "/v1/alerts/alarms/sign-off", "", nil, 400},
		{"POST /v1/alerts/{name}/sign-off", "/v1/alerts/none/sign-off", "", nil, 404},
		{"POST /v1/alerts/{name}/sign-off", "/v1/alerts/alarms/sign-off", strings.Repeat(" ", 17<<10), nil, 413},
		{"POST /v1/alerts/{name}/sign-off", "/v1/alerts/alarms/sign-off", "{}", headers("Content-Encoding: gzip"), 415},
		{"POST /v1/alerts/{name}/sign-off", "/v1/alerts/alarms/sign-off", `{"note":` + deep(129) + `}`, nil, 422},
		{"GET /v1/alerts/{name}", "/v1/alerts/orders", "", nil, 200},
		{"GET /v1/alerts", "/v1/alerts", "", nil, 200},
		{"POST /v1/alerts", "/v1/alerts?all=resume", "", nil, 200},
		{"DELETE /v1/alerts/{name}", "/v1/alerts/orders", "", nil, 204},
		{"GET /healthz", "/healthz", "", nil, 200},
		{"GET /readyz", "/readyz", "", nil, 200},
		{"GET /openapi.yaml", "/openapi.yaml", "", nil, 200},
		{"GET /openapi.yaml", "/openapi.yaml?x=1", "", nil, 400},
		{"GET /", "/", "", nil, 200},
		{"HEAD /", "/", "", nil, 200},
		{"GET /console/{file}", "/console/main.js", "", nil, 200},
		{"GET /console/{file}", "/console/nothing", "", nil, 404},
		{"HEAD /console/{file}", "/console/main.js", "", nil, 200},
		{"GET /tidings.js", "/tidings.js", "", nil, 200},
		{"HEAD /tidings.js", "/tidings.js", "", nil, 200},
		{"GET /tidings.d.ts", "/tidings.d.ts", "", nil, 200},
		{"HEAD /tidings.d.ts", "/tidings.d.ts", "", nil, 200},
		{"GET /locks.js", "/locks.js", "", nil, 200},
		{"HEAD /locks.js", "/locks.js", "", nil, 200},
		{"GET /alarm.js", "/alarm.js", "", nil, 200},
		{"HEAD /alarm.js", "/alarm.js", "", nil, 200},
		{"GET /push.js", "/push.js", "", nil, 200},
		{"HEAD /push.js", "/push.js", "", nil, 200},
		{"GET /push.d.ts", "/push.d.ts", "", nil, 200},
		{"HEAD /push.d.ts", "/push.d.ts", "", nil, 200},
		{"GET /sw.js", "/sw.js", "", nil, 200},
		{"HEAD /sw.js", "/sw.js", "", nil, 200},
		{"GET /alarm.d.ts", "/alarm.d.ts", "", nil, 200},
		{"HEAD /alarm.d.ts", "/alarm.d.ts", "", nil, 200},
		{"GET /presence.js", "/presence.js", "", nil, 200},
		{"HEAD /presence.js", "/presence.js", "", nil, 200},
		{"GET /presence.d.ts", "/presence.d.ts", "", nil, 200},
		{"HEAD /presence.d.ts", "/presence.d.ts", "", nil, 200},
	} {
		seen[x.endpoint] = true
		method, _, _ := strings.Cut(x.endpoint, " ")
		given := append(headers(token), x.headers...)
		a := s.do(method, x.path, x.body, given...)
		if a.status != x.status {
			t.Errorf("%s %s: %d %.300s, want %d", method, x.path, a.status, a.body, x.status)
			continue
		}
		// without a content type the body is not described
		if x.status < 300 && (x.body == "" || len(x.headers) > 0) {
			c.request(t, method, x.path, x.body, given...)
		}
		c.response(t, method, x.path, a)
		c.response(t, method, x.path, s.do(method, x.path, x.body, x.headers...)) // without a token
	}
	for _, endpoint := range s.api.Endpoints() {
		if !seen[endpoint] && !strings.HasSuffix(endpoint, "/stream") { // TestOpenAPIStreams
			t.Errorf("%s has no exchange", endpoint)
		}
	}
}

// TestOpenAPIStreams: whole streams, and the data of each control event.
func TestOpenAPIStreams(t *testing.T) {
	controls := map[string]string{"tidings.gap": "Gap", "tidings.open": "Open",
		"tidings.live": "Live", "tidings.heartbeat": "Heartbeat", "tidings.bye": "Bye"}
	seen := make(map[string]bool)
	c := newContract(t, start(t))
	bubble(t, keyed(t, api.Options{Heartbeat: time.Second, MaxStreams: 1}),
		func(t *testing.T, s *piped) {
			appendTo(t, s.log, "orders")
			for _, path := range []string{"/v1/stream?since=earliest",
				"/v1/topics/orders/stream?after=x&format=cloudevents"} {
				token := bearer(holder{subscribe: ">", expires: 10 * time.Second}.token(t))
				c.request(t, "GET", path, "")
				_, r := s.get(path, token)
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				s.stream("/v1/stream", token).overload()
				body, err := io.ReadAll(resp.Body) // until the token's end
				if err != nil {
					t.Fatal(err)
				}
				c.response(t, "GET", path, answer{resp.StatusCode, resp.Header, string(body)})
				st := &stream{t, resp, sse.NewDecoder(bytes.NewReader(body), 0)}
				for _, e := range st.until("tidings.bye") {
					if name, ok := controls[e.Type]; ok {
						c.schema(t, name, string(e.Data))
						seen[e.Type] = true
					} else if strings.Contains(path, "format=cloudevents") {
						c.schema(t, "CloudEvent", string(e.Data))
					}
				}
			}
		})
	for control := range controls {
		if !seen[control] {
			t.Errorf("no %s was seen", control)
		}
	}
}

const isJSON = "Content-Type: application/json"

// deep returns a list in lists.
func deep(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
