package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings/api"
	"tidings/deliver"
	"tidings/internal/e2e"
	"tidings/internal/presence"
)

// What a browser subscribed with: the keys of RFC 8291 §5.
const browserKeys = `"keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",` +
	`"auth":"BTBZMqHH6r4Tts7J_aSIgg"}`

// deviceJSON registers a browser at a push service that does not exist.
func deviceJSON(name, topics string) string {
	return deviceAt("http://127.0.0.1:9/send/"+name, topics, "")
}

func deviceAt(endpoint, topics, more string) string {
	return fmt.Sprintf(`{"subscription":{"endpoint":%q,"expirationTime":null,%s},"topics":[%s],`+
		`"page":"https://shop.example.com/orders"%s}`, endpoint, browserKeys, topics, more)
}

type deviceAnswer struct {
	ID, Subject, Name, Service, State string
	Topics                            []string
	Expires                           *time.Time
	Failure                           *string
}

// deviceIDOf registers a browser, and returns the ID of its device, which is always the same.
func deviceIDOf(t *testing.T, s *server, name string, headers ...string) string {
	t.Helper()
	var d deviceAnswer
	s.do("POST", "/v1/devices", deviceJSON(name, `"nothing"`), headers...).decode(t, &d)
	if a := s.do("DELETE", "/v1/devices/"+d.ID, "", headers...); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return d.ID
}

func (s *server) devices(t *testing.T, query string, headers ...string) []deviceAnswer {
	t.Helper()
	var list struct{ Devices []deviceAnswer }
	s.do("GET", "/v1/devices"+query, "", headers...).decode(t, &list)
	return list.Devices
}

// TestDevices: a browser from its registration to its end, through HTTP only. Nothing about how its push service is
// reached is shown.
func TestDevices(t *testing.T) {
	t.Parallel()
	pushes := make(chan *http.Request, 10)
	status := make(chan int, 10)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(<-status)
		pushes <- r
	}))
	t.Cleanup(service.Close)
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	ana := bearer(holder{publish: ">", subscribe: "orders.>", subject: "ana"}.token(t))
	ben := bearer(holder{subscribe: "orders.>", subject: "ben"}.token(t))
	administrator := bearer(holder{admin: true}.token(t))
	first, second := s.do("GET", "/v1/push", "", ana).body, s.do("GET", "/v1/push", "", ben).body
	if first != second || len(first) < 87 {
		t.Errorf("the key is %s, then %s", first, second)
	}
	body := deviceAt(service.URL+"/send/capability", `"orders.>"`, `,"name":"Till 1"`)
	a := s.do("POST", "/v1/devices", body, ana)
	if a.status != 201 || strings.Contains(a.body, "capability") || strings.Contains(a.body, "BTBZ") {
		t.Fatalf("%d %s, want it made, and no secret shown", a.status, a.body)
	}
	if again := s.do("POST", "/v1/devices", body, ana); again.status != 200 {
		t.Errorf("registered again: %d", again.status)
	}
	d := s.devices(t, "", ana)[0]
	if d.Name != "Till 1" || d.Subject != "ana" || d.State != "active" || d.Service != service.URL || d.Expires == nil {
		t.Errorf("%+v", d)
	}
	if len(s.devices(t, "", ben)) != 0 || len(s.devices(t, "?subject=ana", administrator)) != 1 {
		t.Error("a device is not its owner's alone")
	}
	if a := s.do("DELETE", "/v1/devices/"+d.ID, "", ben); a.status != 404 {
		t.Errorf("somebody else removes it: %d", a.status)
	}
	status <- http.StatusCreated
	s.do("POST", "/v1/topics/orders.eu/events", "1", ana)
	if r := awaitPush(t, pushes); r.URL.Path != "/send/capability" || r.Header.Get("TTL") == "" {
		t.Errorf("%v", r)
	}
	s.do("POST", "/v1/devices", deviceAt(service.URL+"/send/other", `"orders.>"`, ""), ben)
	status <- http.StatusGone
	s.do("POST", "/v1/topics/orders.eu/events", "2", ana)
	awaitPush(t, pushes)
	e2e.Eventually(t, "the device that is gone is removed", func() bool { return len(s.devices(t, "", ben)) == 0 })
	if a := s.do("DELETE", "/v1/devices?subject=ana", "", administrator); a.body != `{"removed":1}`+"\n" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if len(s.devices(t, "", ana)) != 0 {
		t.Error("it is still there")
	}
	for _, want := range []string{`tidings_devices{state="active"} 0`, `tidings_devices_removed_total{reason="gone"} 1`,
		`tidings_pushes_total{outcome="sent"} 1`} {
		if m := s.do("GET", "/metrics", "", administrator); !strings.Contains(m.body, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

// TestDeviceFailure: whoever registers a device learns nothing about the server's network from it except what a push
// service answered; administrators see everything.
func TestDeviceFailure(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) }))
	t.Cleanup(service.Close)
	s := newServer(t, newLog(t), 0, keyed(t, api.Options{}))
	ana := bearer(holder{publish: ">", subscribe: ">", subject: "ana"}.token(t))
	ben := bearer(holder{subscribe: ">", subject: "ben"}.token(t))
	s.do("POST", "/v1/devices", deviceJSON("nobody", `"orders"`), ana)
	s.do("POST", "/v1/devices", deviceAt(service.URL, `"orders"`, ""), ben)
	s.do("POST", "/v1/topics/orders/events", "1", ana)
	failure := func(query, who string) (text string) {
		e2e.Eventually(t, "failure", func() bool {
			d := s.devices(t, query, who)[0]
			if d.Failure != nil {
				text = *d.Failure
			}
			return d.State == "failing"
		})
		return text
	}
	if text := failure("", ben); text != "the push service answered 405 Method Not Allowed" {
		t.Errorf("ben reads %q", text)
	}
	if text := failure("", ana); text == "" || strings.Contains(text, "refused") || strings.Contains(text, "127.") {
		t.Errorf("ana reads %q", text)
	}
	administrator := bearer(holder{admin: true}.token(t))
	if text := failure("?subject=ana", administrator); !strings.Contains(text, "127.0.0.1:9") {
		t.Errorf("an administrator reads %q", text)
	}
}

// TestPushWhileVisible: nothing is pushed to a person who has a page in view, on whichever device.
func TestPushWhileVisible(t *testing.T) {
	t.Parallel()
	pushes := make(chan *http.Request, 10)
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { pushes <- r }))
	t.Cleanup(service.Close)
	log, pages := newLog(t), presence.New(time.Minute)
	devices := newDevices(t, log, deliver.PushOptions{Visible: pages.Visible})
	s := newServer(t, log, 0, keyed(t, api.Options{Presence: pages, Devices: devices}))
	ana := bearer(holder{publish: ">", subscribe: ">", subject: "ana"}.token(t))
	ben := bearer(holder{subscribe: ">", subject: "ben"}.token(t))
	s.do("POST", "/v1/devices", deviceAt(service.URL+"/ana", `"orders"`, ""), ana)
	s.do("POST", "/v1/devices", deviceAt(service.URL+"/ben", `"orders"`, ""), ben)
	id := s.open(t.Context(), "/v1/stream", "", ana).subscriberOf()
	a := s.do("PUT", "/v1/subscribers/"+id+"/state", `{"visible":true,"allowed":false,"armed":null}`, ana)
	if a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.do("POST", "/v1/topics/orders/events", "1", ana)
	if r := awaitPush(t, pushes); r.URL.Path != "/ben" {
		t.Errorf("%s is told", r.URL.Path)
	}
	e2e.Eventually(t, "spared push", func() bool { return devices.Stats().Spared == 1 && devices.Stats().Due == 0 })
	if n := len(pushes); n != 0 {
		t.Errorf("%d more pushes", n)
	}
}

func awaitPush(t *testing.T, pushes chan *http.Request) *http.Request {
	t.Helper()
	select {
	case r := <-pushes:
		return r
	case <-time.After(e2e.Patience):
		t.Fatal("nothing is pushed")
		return nil
	}
}

// TestDeviceRows: rows 360 to 369 of docs/ERRORS.md.
func TestDeviceRows(t *testing.T) {
	t.Parallel()
	log := newLog(t)
	s := newServer(t, log, 0, keyed(t, api.Options{Devices: newDevices(t, log, deliver.PushOptions{PerOwner: 2})}))
	c := newContract(t, s)
	ana := holder{subscribe: "orders.>", subject: "ana"}.token(t)
	at := func(topics, more string) string { return deviceAt("https://push.example.com/send/1", topics, more) }
	for _, x := range []struct {
		name, body string
		holder     string
		status     int
		code       string
		field      string
	}{
		{"row 360: no sub", at(`"orders.eu"`, ""), holder{subscribe: ">"}.token(t), 403, "subject-required", ""},
		{"row 361: not granted", at(`"orders.eu","tickets"`, ""), ana, 403, "topic-forbidden", "topic"},
		{"row 361: all", at(`">"`, ""), ana, 403, "topic-forbidden", "topic"},
		{"row 361: nothing", at(`"orders.eu"`, ""), holder{subject: "ana"}.token(t), 403, "topic-forbidden", ""},
		{"row 362: loopback", deviceAt("https://127.0.0.2/", `"orders.eu"`, ""), ana, 422, "address-refused",
			"subscription"},
		{"row 362: mapped", deviceAt("https://[::ffff:10.0.0.1]/", `"orders.eu"`, ""), ana, 422, "address-refused",
			"subscription"},
		{"row 362: metadata", deviceAt("https://169.254.169.254/", `"orders.eu"`, ""), ana, 422, "address-refused",
			"subscription"},
		{"row 363: no URL", deviceAt("push", `"orders.eu"`, ""), ana, 400, "member-invalid", "subscription"},
		{"row 363: a password", deviceAt("https://a:b@push.example.com", `"orders.eu"`, ""), ana, 400, "member-invalid",
			"subscription"},
		{"row 363: no keys", `{"subscription":{"endpoint":"https://push.example.com/"},"topics":["orders.eu"],` +
			`"page":"https://a.example/"}`, ana, 400, "member-invalid", "subscription"},
		{"row 364: no topics", `{"subscription":{}}`, ana, 400, "member-invalid", "topics"},
		{"row 364: a bad topic", at(`"a..b"`, ""), ana, 400, "topic-invalid", "topics"},
		{"row 364: a page", strings.Replace(at(`"orders.eu"`, ""), "https://shop", "javascript://shop", 1), ana,
			400, "member-invalid", "page"},
		{"row 364: a language", at(`"orders.eu"`, `,"language":"fr"`), ana, 400, "member-invalid", "language"},
		{"row 364: an urgency", at(`"orders.eu"`, `,"urgency":"asap"`), ana, 400, "member-invalid", "urgency"},
		{"row 364: a name", at(`"orders.eu"`, `,"name":"a\nb"`), ana, 400, "member-invalid", "name"},
		{"row 364: a mark", at(`"orders.eu"`, `,"read_mark":"a b"`), ana, 400, "name-invalid", "read_mark"},
		{"row 364: a member", at(`"orders.eu"`, `,"x":1`), ana, 400, "member-invalid", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			a := s.do("POST", "/v1/devices", x.body, bearer(x.holder), isJSON)
			c.response(t, "POST", "/v1/devices", a)
			if p := a.problem(t); p.Status != x.status || p.Code != x.code || p.Field != x.field {
				t.Errorf("%s", a.body)
			}
			if strings.Contains(a.body, "/send/1") || strings.Contains(a.body, "a:b") {
				t.Errorf("the endpoint is shown: %s", a.body)
			}
		})
	}
	t.Run("row 365: one more than a subject may have", func(t *testing.T) {
		for i, want := range []int{201, 201, 429, 429} {
			a := s.do("POST", "/v1/devices", deviceJSON(fmt.Sprint(i), `"orders.eu"`), bearer(ana), isJSON)
			c.response(t, "POST", "/v1/devices", a)
			if a.status != want {
				t.Errorf("%d: %d %s, want %d", i, a.status, a.body, want)
			} else if want == 429 && (a.problem(t).Code != "device-quota" || a.header.Get("Retry-After") == "") {
				t.Errorf("%d: %v %s", i, a.header, a.body)
			}
		}
		if a := s.do("POST", "/v1/devices", deviceJSON("0", `"orders.eu"`), bearer(ana), isJSON); a.status != 200 {
			t.Errorf("one that is there: %d", a.status)
		}
	})
	t.Run("row 366: another's device", func(t *testing.T) {
		id := s.devices(t, "", bearer(ana))[0].ID
		for _, path := range []string{"/v1/devices/" + id, "/v1/devices/none", "/v1/devices/" + id + "x"} {
			a := s.do("DELETE", path, "", bearer(holder{subscribe: ">", subject: "ben"}.token(t)))
			c.response(t, "DELETE", path, a)
			if p := a.problem(t); p.Status != 404 || p.Code != "device-not-found" {
				t.Errorf("%s: %s", path, a.body)
			}
		}
	})
	t.Run("row 367: of a subject, by somebody else", func(t *testing.T) {
		for method, want := range map[string]string{"GET": "admin-required", "DELETE": "admin-required"} {
			a := s.do(method, "/v1/devices?subject=ana", "", bearer(holder{subscribe: ">", subject: "ben"}.token(t)))
			c.response(t, method, "/v1/devices?subject=ana", a)
			if p := a.problem(t); p.Status != 403 || p.Code != want {
				t.Errorf("%s: %s", method, a.body)
			}
		}
	})
	t.Run("row 368: of nobody", func(t *testing.T) {
		a := s.do("DELETE", "/v1/devices", "", bearer(holder{admin: true}.token(t)))
		c.response(t, "DELETE", "/v1/devices", a)
		if p := a.problem(t); p.Code != "query-invalid" || p.Field != "subject" {
			t.Errorf("%s", a.body)
		}
	})
}
